//! ShareFetch (key 78): KIP-74, KIP-932, KIP-1206, KIP-1222.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::records::Records;
use crate::str::Str;

/// Acquires records for a share group, and acknowledges others (KIP-932).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "0+")]
pub struct ShareFetchRequest {
    /// The group's id.
    #[field(default = null)]
    pub group_id: Option<Str>,
    /// The member's id.
    pub member_id: Option<Str>,
    /// The position of the request in its share session: 0 opens one, −1 closes it.
    pub share_session_epoch: i32,
    /// How long the broker may wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// The broker answers at once when it has this many bytes.
    pub min_bytes: i32,
    /// The most that the response should hold, in bytes; the first batch is sent even if it is longer (KIP-74).
    #[field(default = i32::MAX)]
    pub max_bytes: i32,
    /// About how many records to fetch at most: batches are not cut.
    pub max_records: i32,
    /// How many records a batch of acquired records should have.
    pub batch_size: i32,
    /// 0 to acquire whole batches, 1 to stop at `max_records` (KIP-1206).
    #[field(versions = "2+", ignorable)]
    pub share_acquire_mode: i8,
    /// Whether some acknowledgements extend the lock (KIP-1222).
    #[field(versions = "2+")]
    pub is_renew_ack: bool,
    /// The topics.
    pub topics: Vec<FetchTopic>,
    /// What to drop from the share session.
    pub forgotten_topics_data: Vec<ForgottenTopic>,
}

/// An element of [`ShareFetchRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct FetchTopic {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<FetchPartition>,
}

/// An element of [`FetchTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct FetchPartition {
    /// The partition's index.
    pub partition_index: i32,
    /// What the client acknowledges.
    pub acknowledgement_batches: Vec<AcknowledgementBatch>,
}

/// An element of [`FetchPartition::acknowledgement_batches`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AcknowledgementBatch {
    /// The first offset.
    pub first_offset: i64,
    /// The last offset, included.
    pub last_offset: i64,
    /// For each offset, or once for all: 0 a gap, 1 accept, 2 release, 3 reject, 4 extend the lock.
    pub acknowledge_types: Vec<i8>,
}

/// An element of [`ShareFetchRequest::forgotten_topics_data`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ForgottenTopic {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Answers [`ShareFetchRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "0+")]
pub struct ShareFetchResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
    /// How long acquired records stay locked, in milliseconds.
    pub acquisition_lock_timeout_ms: i32,
    /// The outcome for each topic.
    pub responses: Vec<ShareFetchableTopicResponse>,
    /// Where to reach the leaders that the response names (KIP-951).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// An element of [`ShareFetchResponse::responses`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ShareFetchableTopicResponse {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
}

/// An element of [`ShareFetchableTopicResponse::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionData {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
    /// What became of the acknowledgements: an error, or 0.
    pub acknowledge_error_code: i16,
    /// What went wrong with the acknowledgements, in words.
    #[field(default = null)]
    pub acknowledge_error_message: Option<Str>,
    /// Who leads now.
    pub current_leader: LeaderIdAndEpoch,
    /// Record batches.
    pub records: Records,
    /// The records that the client now holds.
    pub acquired_records: Vec<AcquiredRecords>,
}

/// The value of [`PartitionData::current_leader`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// The leader's node id; −1 if there is none.
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
}

/// An element of [`PartitionData::acquired_records`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AcquiredRecords {
    /// The first offset.
    pub first_offset: i64,
    /// The last offset, included.
    pub last_offset: i64,
    /// How often the records were delivered.
    pub delivery_count: i16,
}

/// An element of [`ShareFetchResponse::node_endpoints`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct NodeEndpoint {
    /// The node's id.
    pub node_id: i32,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: i32,
    /// The rack, if it has one.
    #[field(default = null)]
    pub rack: Option<Str>,
}
