//! One request and its answer on the wire: encoded, decoded and held to the protocol.

use bytes::Bytes;
use wiber_model::{Offset, PartitionId, TopicId};
use wiber_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, ApiVersionsRequest, ApiVersionsResponse,
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    FetchRequest, FetchResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    InitProducerIdRequest, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    ProduceRequest, ProduceResponse,
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
