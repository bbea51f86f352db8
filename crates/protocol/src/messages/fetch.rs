//! Fetch (key 1): KIP-74, KIP-110, KIP-320, KIP-405, KIP-516, KIP-853, KIP-903, KIP-951, KIP-1166.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::records::Records;
use crate::str::Str;
use crate::wire::Uuid;

/// Reads record batches from partitions, for consumers and followers.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "4-18", flexible = "12+")]
pub struct FetchRequest {
    /// The cluster's id.
    #[field(versions = "12+", tag = 0, default = null, ignorable)]
    pub cluster_id: Option<Str>,
    /// The follower that asks; −1 for a consumer.
    #[field(versions = "4-14", default = -1)]
    pub replica_id: i32,
    /// The follower that asks, in place of `replica_id` (KIP-903).
    #[field(versions = "15+", tag = 1)]
    pub replica_state: ReplicaState,
    /// How long the broker may wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// The broker answers at once when it has this many bytes.
    pub min_bytes: i32,
    /// The most that the response should hold, in bytes; the first batch is sent even if it is longer (KIP-74).
    #[field(default = i32::MAX)]
    pub max_bytes: i32,
    /// 0 to read everything up to the high watermark, 1 to read only what is committed.
    pub isolation_level: i8,
    /// The fetch session, 0 for none (KIP-227).
    #[field(versions = "7+", ignorable)]
    pub session_id: i32,
    /// The position of the request in its session: 0 opens one, −1 means or ends none.
    #[field(versions = "7+", default = -1, ignorable)]
    pub session_epoch: i32,
    /// The topics.
    pub topics: Vec<FetchTopic>,
    /// What to drop from the session.
    #[field(versions = "7+")]
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// The consumer's rack, to be sent to a replica nearby.
    #[field(versions = "11+", ignorable)]
    pub rack_id: Str,
}

/// The value of [`FetchRequest::replica_state`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ReplicaState {
    /// The follower that asks; −1 for a consumer.
    #[field(default = -1)]
    pub replica_id: i32,
    /// The follower's broker epoch; −1 if it is unknown.
    #[field(default = -1)]
    pub replica_epoch: i64,
}

/// An element of [`FetchRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct FetchTopic {
    /// The topic's name.
    #[field(versions = "4-12", ignorable)]
    pub topic: Str,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<FetchPartition>,
}

/// An element of [`FetchTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct FetchPartition {
    /// The partition's index.
    pub partition: i32,
    /// The epoch that the client believes in, to be told if it is not the leader's; −1 to skip the check.
    #[field(versions = "9+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The offset to read from.
    pub fetch_offset: i64,
    /// The epoch of the last record that the follower has, to find where logs diverge; −1 if there is none (KIP-595).
    #[field(versions = "12+", default = -1)]
    pub last_fetched_epoch: i32,
    /// The follower's first offset; −1 from a consumer.
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// The most to read from this partition, in bytes; the first batch is sent even if it is longer (KIP-74).
    pub partition_max_bytes: i32,
    /// The follower's log directory (KIP-853).
    #[field(versions = "17+", tag = 0, ignorable)]
    pub replica_directory_id: Uuid,
    /// The high watermark that the follower knows; −1 if it knows none, `i64::MAX` if it does not say (KIP-1166).
    #[field(versions = "18+", tag = 1, default = i64::MAX, ignorable)]
    pub high_watermark: i64,
}

/// An element of [`FetchRequest::forgotten_topics_data`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ForgottenTopic {
    /// The topic's name.
    #[field(versions = "7-12", ignorable)]
    pub topic: Str,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Answers [`FetchRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "4-18", flexible = "12+")]
pub struct FetchResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// An error of the session or of the whole request, or 0.
    #[field(versions = "7+", ignorable)]
    pub error_code: i16,
    /// The fetch session, 0 for none (KIP-227).
    #[field(versions = "7+")]
    pub session_id: i32,
    /// The outcome for each topic.
    pub responses: Vec<FetchableTopicResponse>,
    /// Where to reach the leaders that the response names (KIP-951).
    #[field(versions = "16+", tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// An element of [`FetchResponse::responses`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct FetchableTopicResponse {
    /// The topic's name.
    #[field(versions = "4-12", ignorable)]
    pub topic: Str,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
}

/// An element of [`FetchableTopicResponse::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionData {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The partition's high watermark.
    pub high_watermark: i64,
    /// The end of what is committed: every transaction before it has ended.
    #[field(default = -1)]
    pub last_stable_offset: i64,
    /// The partition's first offset; −1 if it is unknown.
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// The largest epoch, and its end, that the follower's log can have in common with the leader's.
    #[field(versions = "12+", tag = 0)]
    pub diverging_epoch: EpochEndOffset,
    /// Who leads now, if the request came to the wrong broker (KIP-951).
    #[field(versions = "12+", tag = 1)]
    pub current_leader: LeaderIdAndEpoch,
    /// The snapshot to fetch, because what was asked for is no longer in the log (KIP-630).
    #[field(versions = "12+", tag = 2)]
    pub snapshot_id: SnapshotId,
    /// The transactions within the records that were aborted; null unless only what is committed was asked for.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// The replica that the consumer should rather read from; −1 if it is this one (KIP-392).
    #[field(versions = "11+", default = -1)]
    pub preferred_read_replica: i32,
    /// Record batches. Empty if there are none: librdkafka does not accept null.
    #[field(default = null)]
    pub records: Option<Records>,
}

/// The value of [`PartitionData::diverging_epoch`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct EpochEndOffset {
    /// The epoch; −1 for none.
    #[field(default = -1)]
    pub epoch: i32,
    /// The offset after the epoch's last; −1 for none.
    #[field(default = -1)]
    pub end_offset: i64,
}

/// The value of [`PartitionData::current_leader`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// The leader's node id; −1 if there is none.
    #[field(default = -1)]
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
}

/// The value of [`PartitionData::snapshot_id`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct SnapshotId {
    /// The offset after the epoch's last; −1 for none.
    #[field(default = -1)]
    pub end_offset: i64,
    /// The epoch; −1 for none.
    #[field(default = -1)]
    pub epoch: i32,
}

/// An element of [`PartitionData::aborted_transactions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AbortedTransaction {
    /// The producer's id; −1 for none.
    pub producer_id: i64,
    /// The transaction's first offset.
    pub first_offset: i64,
}

/// An element of [`FetchResponse::node_endpoints`].
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
