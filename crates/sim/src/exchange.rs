//! One request and its answer on the wire: encoded, decoded and held to the protocol.

use bytes::Bytes;
use wiber_model::{Offset, PartitionId, TopicId};
use wiber_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, ApiVersionsRequest, ApiVersionsResponse,
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, CreatePartitionsRequest,
    CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteGroupsRequest,
    DeleteGroupsResponse, DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, DescribeGroupsRequest, DescribeGroupsResponse, FetchRequest,
    FetchResponse, FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest,
    HeartbeatResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    InitProducerIdRequest, InitProducerIdResponse, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse,
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, ProduceRequest, ProduceResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use wiber_protocol::{
    ApiKey, DecodeError, EncodeError, Response, Str, decode_response, encode_request,
};

/// Bytes before a frame that say how long it is.
const SIZE_BYTES: usize = 4;

/// A partition as a client knows it: requests name it by name or by id, as their versions go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The topic's name.
    pub name: Str,
    /// The topic's id.
    pub topic: TopicId,
    /// The partition's index.
    pub index: i32,
}

impl Place {
    /// The partition, by its id.
    pub fn partition(&self) -> PartitionId {
        PartitionId {
            topic: self.topic,
            partition: self.index,
        }
    }
}

/// A request, with what the checker must know beside it.
#[derive(Clone, Debug)]
pub enum Ask {
    /// What is served.
    ApiVersions(ApiVersionsRequest),
    /// Batches, with the name of each batch's content.
    Produce(ProduceRequest, Vec<(Place, u64)>),
    /// A fetch, with every partition that it, or its session, reads, from where, and in which epoch.
    Fetch(FetchRequest, Vec<(Place, Offset)>),
    /// Offsets.
    ListOffsets(ListOffsetsRequest, Vec<Place>),
    /// Ends of epochs.
    EpochEnds(OffsetForLeaderEpochRequest, Vec<Place>),
    /// Topics.
    Metadata(MetadataRequest),
    /// New topics.
    CreateTopics(CreateTopicsRequest),
    /// Topics that are to go.
    DeleteTopics(DeleteTopicsRequest),
    /// More partitions of one topic.
    CreatePartitions(CreatePartitionsRequest),
    /// Other settings of one topic.
    AlterConfigs(IncrementalAlterConfigsRequest),
    /// All settings of one topic.
    ReplaceConfigs(AlterConfigsRequest),
    /// Records of one partition that are to go.
    DeleteRecords(DeleteRecordsRequest, Place),
    /// A producer id.
    InitProducerId(InitProducerIdRequest),
    /// Who has a group.
    FindCoordinator(FindCoordinatorRequest),
    /// A place in a classic group.
    JoinGroup(JoinGroupRequest),
    /// A share of its work.
    SyncGroup(SyncGroupRequest),
    /// A sign of life, to a classic group.
    Heartbeat(HeartbeatRequest),
    /// An end of that.
    LeaveGroup(LeaveGroupRequest),
    /// Where a group goes on, by partition.
    OffsetCommit(OffsetCommitRequest, Vec<(Place, Offset)>),
    /// Where it goes on.
    OffsetFetch(OffsetFetchRequest, Vec<Place>),
    /// Offsets of a group that are to go.
    OffsetDelete(OffsetDeleteRequest),
    /// Groups that are to go.
    DeleteGroups(DeleteGroupsRequest),
    /// All groups.
    ListGroups(ListGroupsRequest),
    /// Classic groups, with their members.
    DescribeGroups(DescribeGroupsRequest),
    /// A sign of life, to a group of the consumer protocol (KIP-848).
    ConsumerHeartbeat(ConsumerGroupHeartbeatRequest),
}

/// An answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Ask::ApiVersions`].
    ApiVersions(ApiVersionsResponse),
    /// To [`Ask::Produce`].
    Produce(ProduceResponse),
    /// To [`Ask::Produce`] with acks=0: nothing comes, the request is only done with.
    Nothing,
    /// To [`Ask::Fetch`].
    Fetch(FetchResponse),
    /// To [`Ask::ListOffsets`].
    ListOffsets(ListOffsetsResponse),
    /// To [`Ask::EpochEnds`].
    EpochEnds(OffsetForLeaderEpochResponse),
    /// To [`Ask::Metadata`].
    Metadata(MetadataResponse),
    /// To [`Ask::CreateTopics`].
    CreateTopics(CreateTopicsResponse),
    /// To [`Ask::DeleteTopics`].
    DeleteTopics(DeleteTopicsResponse),
    /// To [`Ask::CreatePartitions`].
    CreatePartitions(CreatePartitionsResponse),
    /// To [`Ask::AlterConfigs`].
    AlterConfigs(IncrementalAlterConfigsResponse),
    /// To [`Ask::ReplaceConfigs`].
    ReplaceConfigs(AlterConfigsResponse),
    /// To [`Ask::DeleteRecords`].
    DeleteRecords(DeleteRecordsResponse),
    /// To [`Ask::InitProducerId`].
    InitProducerId(InitProducerIdResponse),
    /// To [`Ask::FindCoordinator`].
    FindCoordinator(FindCoordinatorResponse),
    /// To [`Ask::JoinGroup`].
    JoinGroup(JoinGroupResponse),
    /// To [`Ask::SyncGroup`].
    SyncGroup(SyncGroupResponse),
    /// To [`Ask::Heartbeat`].
    Heartbeat(HeartbeatResponse),
    /// To [`Ask::LeaveGroup`].
    LeaveGroup(LeaveGroupResponse),
    /// To [`Ask::OffsetCommit`].
    OffsetCommit(OffsetCommitResponse),
    /// To [`Ask::OffsetFetch`].
    OffsetFetch(OffsetFetchResponse),
    /// To [`Ask::OffsetDelete`].
    OffsetDelete(OffsetDeleteResponse),
    /// To [`Ask::DeleteGroups`].
    DeleteGroups(DeleteGroupsResponse),
    /// To [`Ask::ListGroups`].
    ListGroups(ListGroupsResponse),
    /// To [`Ask::DescribeGroups`].
    DescribeGroups(DescribeGroupsResponse),
    /// To [`Ask::ConsumerHeartbeat`].
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
}

/// What a partition was when a request came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Which partition the name or the id led to.
    pub partition: PartitionId,
    /// Its log start.
    pub start: Offset,
    /// Its high watermark.
    pub visible_end: Offset,
}

/// What was known of a group when a request came in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupSeen {
    /// The request's own number.
    pub number: u64,
    /// The newest generation that members were told of.
    pub generation: i32,
    /// Whether the member's end in the group was answered.
    pub gone: bool,
    /// Of each partition: who has it, if that is another member.
    pub holders: Vec<Option<Str>>,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What is asked.
    pub ask: Ask,
    /// The version of request and answer.
    pub version: i16,
    /// What the answer repeats.
    pub correlation_id: i32,
    /// When it was sent, in nanoseconds.
    pub sent_ns: u64,
    /// When it came in, in nanoseconds; none if it has not.
    pub arrived_ns: Option<u64>,
    /// What each partition that it names was then; none where there was none.
    pub seen: Vec<Option<Seen>>,
    /// What was known of its group then.
    pub group: GroupSeen,
}

impl Ask {
    /// The API.
    pub fn key(&self) -> ApiKey {
        match self {
            Ask::ApiVersions(_) => ApiKey::ApiVersions,
            Ask::Produce(..) => ApiKey::Produce,
            Ask::Fetch(..) => ApiKey::Fetch,
            Ask::ListOffsets(..) => ApiKey::ListOffsets,
            Ask::EpochEnds(..) => ApiKey::OffsetForLeaderEpoch,
            Ask::Metadata(_) => ApiKey::Metadata,
            Ask::CreateTopics(_) => ApiKey::CreateTopics,
            Ask::DeleteTopics(_) => ApiKey::DeleteTopics,
            Ask::CreatePartitions(_) => ApiKey::CreatePartitions,
            Ask::AlterConfigs(_) => ApiKey::IncrementalAlterConfigs,
            Ask::ReplaceConfigs(_) => ApiKey::AlterConfigs,
            Ask::DeleteRecords(..) => ApiKey::DeleteRecords,
            Ask::InitProducerId(_) => ApiKey::InitProducerId,
            Ask::FindCoordinator(_) => ApiKey::FindCoordinator,
            Ask::JoinGroup(_) => ApiKey::JoinGroup,
            Ask::SyncGroup(_) => ApiKey::SyncGroup,
            Ask::Heartbeat(_) => ApiKey::Heartbeat,
            Ask::LeaveGroup(_) => ApiKey::LeaveGroup,
            Ask::OffsetCommit(..) => ApiKey::OffsetCommit,
            Ask::OffsetFetch(..) => ApiKey::OffsetFetch,
            Ask::OffsetDelete(_) => ApiKey::OffsetDelete,
            Ask::DeleteGroups(_) => ApiKey::DeleteGroups,
            Ask::ListGroups(_) => ApiKey::ListGroups,
            Ask::DescribeGroups(_) => ApiKey::DescribeGroups,
            Ask::ConsumerHeartbeat(_) => ApiKey::ConsumerGroupHeartbeat,
        }
    }

    /// The partitions that it names.
    pub fn places(&self) -> Vec<&Place> {
        match self {
            Ask::Produce(_, parts) => parts.iter().map(|(place, _)| place).collect(),
            Ask::Fetch(_, parts) => parts.iter().map(|(place, _)| place).collect(),
            Ask::DeleteRecords(_, place) => vec![place],
            Ask::ListOffsets(_, places) | Ask::EpochEnds(_, places) => places.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it names topics by id.
    pub fn is_by_id(&self, version: i16) -> bool {
        const FIRST_WITH_IDS: i16 = 13;
        matches!(self, Ask::Produce(..) | Ask::Fetch(..)) && version >= FIRST_WITH_IDS
    }

    /// Whether it is about groups.
    pub fn is_about_groups(&self) -> bool {
        matches!(
            self.key(),
            ApiKey::FindCoordinator
                | ApiKey::JoinGroup
                | ApiKey::SyncGroup
                | ApiKey::Heartbeat
                | ApiKey::LeaveGroup
                | ApiKey::OffsetCommit
                | ApiKey::OffsetFetch
                | ApiKey::OffsetDelete
                | ApiKey::DeleteGroups
                | ApiKey::ListGroups
                | ApiKey::DescribeGroups
                | ApiKey::ConsumerGroupHeartbeat
        )
    }

    /// Whether an answer comes.
    pub fn is_answered(&self) -> bool {
        !matches!(self, Ask::Produce(request, _) if request.acks == 0)
    }
}

impl Exchange {
    /// The frame, without its size, in memory of its own.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let (version, id) = (self.version, self.correlation_id);
        let client = Some(Str::from_static("sim"));
        let frame = match &self.ask {
            Ask::ApiVersions(request) => encode_request(request, version, id, client),
            Ask::Produce(request, _) => encode_request(request, version, id, client),
            Ask::Fetch(request, _) => encode_request(request, version, id, client),
            Ask::ListOffsets(request, _) => encode_request(request, version, id, client),
            Ask::EpochEnds(request, _) => encode_request(request, version, id, client),
            Ask::Metadata(request) => encode_request(request, version, id, client),
            Ask::CreateTopics(request) => encode_request(request, version, id, client),
            Ask::DeleteTopics(request) => encode_request(request, version, id, client),
            Ask::CreatePartitions(request) => encode_request(request, version, id, client),
            Ask::AlterConfigs(request) => encode_request(request, version, id, client),
            Ask::ReplaceConfigs(request) => encode_request(request, version, id, client),
            Ask::DeleteRecords(request, _) => encode_request(request, version, id, client),
            Ask::InitProducerId(request) => encode_request(request, version, id, client),
            Ask::FindCoordinator(request) => encode_request(request, version, id, client),
            Ask::JoinGroup(request) => encode_request(request, version, id, client),
            Ask::SyncGroup(request) => encode_request(request, version, id, client),
            Ask::Heartbeat(request) => encode_request(request, version, id, client),
            Ask::LeaveGroup(request) => encode_request(request, version, id, client),
            Ask::OffsetCommit(request, _) => encode_request(request, version, id, client),
            Ask::OffsetFetch(request, _) => encode_request(request, version, id, client),
            Ask::OffsetDelete(request) => encode_request(request, version, id, client),
            Ask::DeleteGroups(request) => encode_request(request, version, id, client),
            Ask::ListGroups(request) => encode_request(request, version, id, client),
            Ask::DescribeGroups(request) => encode_request(request, version, id, client),
            Ask::ConsumerHeartbeat(request) => encode_request(request, version, id, client),
        }?;
        // A network frame is nobody else's: the broker may write into it.
        let mut bytes = Vec::with_capacity(frame.len());
        frame
            .chunks()
            .for_each(|chunk| bytes.extend_from_slice(&chunk));
        Ok(Bytes::from(bytes).slice(SIZE_BYTES..))
    }

    /// Reads the answer. An error says in words how it breaks the protocol.
    pub fn decode(&self, frame: &Bytes) -> Result<Answer, String> {
        let size = frame
            .first_chunk::<SIZE_BYTES>()
            .map_or(0, |size| u32::from_be_bytes(*size) as usize);
        if size + SIZE_BYTES != frame.len() {
            return Err(format!(
                "a frame of {} bytes says that it has {size}",
                frame.len()
            ));
        }
        let body = frame.slice(SIZE_BYTES..);
        match &self.ask {
            Ask::ApiVersions(_) => self.response(body).map(Answer::ApiVersions),
            Ask::Produce(..) => self.response(body).map(Answer::Produce),
            Ask::Fetch(..) => self.response(body).map(Answer::Fetch),
            Ask::ListOffsets(..) => self.response(body).map(Answer::ListOffsets),
            Ask::EpochEnds(..) => self.response(body).map(Answer::EpochEnds),
            Ask::Metadata(_) => self.response(body).map(Answer::Metadata),
            Ask::CreateTopics(_) => self.response(body).map(Answer::CreateTopics),
            Ask::DeleteTopics(_) => self.response(body).map(Answer::DeleteTopics),
            Ask::CreatePartitions(_) => self.response(body).map(Answer::CreatePartitions),
            Ask::AlterConfigs(_) => self.response(body).map(Answer::AlterConfigs),
            Ask::ReplaceConfigs(_) => self.response(body).map(Answer::ReplaceConfigs),
            Ask::DeleteRecords(..) => self.response(body).map(Answer::DeleteRecords),
            Ask::InitProducerId(_) => self.response(body).map(Answer::InitProducerId),
            Ask::FindCoordinator(_) => self.response(body).map(Answer::FindCoordinator),
            Ask::JoinGroup(_) => self.response(body).map(Answer::JoinGroup),
            Ask::SyncGroup(_) => self.response(body).map(Answer::SyncGroup),
            Ask::Heartbeat(_) => self.response(body).map(Answer::Heartbeat),
            Ask::LeaveGroup(_) => self.response(body).map(Answer::LeaveGroup),
            Ask::OffsetCommit(..) => self.response(body).map(Answer::OffsetCommit),
            Ask::OffsetFetch(..) => self.response(body).map(Answer::OffsetFetch),
            Ask::OffsetDelete(_) => self.response(body).map(Answer::OffsetDelete),
            Ask::DeleteGroups(_) => self.response(body).map(Answer::DeleteGroups),
            Ask::ListGroups(_) => self.response(body).map(Answer::ListGroups),
            Ask::DescribeGroups(_) => self.response(body).map(Answer::DescribeGroups),
            Ask::ConsumerHeartbeat(_) => self.response(body).map(Answer::ConsumerHeartbeat),
        }
    }

    fn response<R: Response>(&self, body: Bytes) -> Result<R, String> {
        let wrong =
            |error: DecodeError| format!("an answer to {} cannot be read: {error}", self.ask.key());
        let (id, response) = decode_response(body, self.version).map_err(wrong)?;
        if id == self.correlation_id {
            Ok(response)
        } else {
            Err(format!(
                "answer {id} came in place of {}",
                self.correlation_id
            ))
        }
    }
}
