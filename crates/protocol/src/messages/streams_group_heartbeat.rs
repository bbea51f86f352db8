//! StreamsGroupHeartbeat (key 88).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Joins, keeps alive and leaves a streams group (KIP-1071).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct StreamsGroupHeartbeatRequest {
    /// The group's id.
    pub group_id: Str,
    /// The member's id.
    pub member_id: Str,
    /// The member's epoch; 0 to join, −1 to leave, −2 for a static member to leave for a while.
    pub member_epoch: i32,
    /// The epoch of the endpoint information.
    pub endpoint_information_epoch: i32,
    /// The id of a static member; null for others or for no change.
    #[field(default = null)]
    pub instance_id: Option<Str>,
    /// The member's rack; null for none or for no change.
    #[field(default = null)]
    pub rack_id: Option<Str>,
    /// How long the member may take to give up tasks, in milliseconds; −1 for no change.
    #[field(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// The application's topology, when it joins; else null.
    #[field(default = null)]
    pub topology: Option<Topology>,
    /// The member's active tasks; null for no change.
    #[field(default = null)]
    pub active_tasks: Option<Vec<RequestTaskIds>>,
    /// The member's standby tasks; null for no change.
    #[field(default = null)]
    pub standby_tasks: Option<Vec<RequestTaskIds>>,
    /// The member's warm-up tasks; null for no change.
    #[field(default = null)]
    pub warmup_tasks: Option<Vec<RequestTaskIds>>,
    /// The process that the member runs in; null for no change.
    #[field(default = null)]
    pub process_id: Option<Str>,
    /// Where the application answers queries; null for none or for no change.
    #[field(default = null)]
    pub user_endpoint: Option<RequestEndpoint>,
    /// Tags for rack-aware assignment; null for no change.
    #[field(default = null)]
    pub client_tags: Option<Vec<KeyValue>>,
    /// How far the member's tasks have restored; null for no change.
    #[field(default = null)]
    pub task_offsets: Option<Vec<TaskOffset>>,
    /// How far the changelogs of the member's tasks go; null for no change.
    #[field(default = null)]
    pub task_end_offsets: Option<Vec<TaskOffset>>,
    /// Whether the whole application is to stop.
    pub shutdown_application: bool,
}

/// The value of [`StreamsGroupHeartbeatRequest::topology`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Topology {
    /// The topology's epoch.
    pub epoch: i32,
    /// The topology's parts.
    pub subtopologies: Vec<Subtopology>,
}

/// An element of [`Topology::subtopologies`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Subtopology {
    /// The subtopology's id.
    pub subtopology_id: Str,
    /// The topics that it reads.
    pub source_topics: Vec<Str>,
    /// Regular expressions for the topics that it reads.
    pub source_topic_regex: Vec<Str>,
    /// Its changelog topics, which the broker creates.
    pub state_changelog_topics: Vec<TopicInfo>,
    /// The repartition topics that it writes.
    pub repartition_sink_topics: Vec<Str>,
    /// The repartition topics that it reads, which the broker creates.
    pub repartition_source_topics: Vec<TopicInfo>,
    /// Sets of topics that must have equally many partitions.
    pub copartition_groups: Vec<CopartitionGroup>,
}

/// An element of [`Subtopology::copartition_groups`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct CopartitionGroup {
    /// Positions in the subtopology's list of topics that it reads.
    pub source_topics: Vec<i16>,
    /// Positions in the subtopology's list of regular expressions.
    pub source_topic_regex: Vec<i16>,
    /// Positions in the subtopology's list of repartition topics that it reads.
    pub repartition_source_topics: Vec<i16>,
}

/// An element of [`TopicInfo::topic_configs`] and [`TopicInfo::topic_configs`] and
/// [`StreamsGroupHeartbeatRequest::client_tags`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct KeyValue {
    /// The key.
    pub key: Str,
    /// The value.
    pub value: Str,
}

/// An element of [`Subtopology::state_changelog_topics`] and [`Subtopology::repartition_source_topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicInfo {
    /// The topic's name.
    pub name: Str,
    /// The number of partitions; 0 to leave it open, as for changelogs.
    pub partitions: i32,
    /// The number of replicas; 0 for the broker's default.
    pub replication_factor: i16,
    /// The topic's settings.
    pub topic_configs: Vec<KeyValue>,
}

/// The value of [`StreamsGroupHeartbeatRequest::user_endpoint`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestEndpoint {
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
}

/// An element of [`StreamsGroupHeartbeatRequest::task_offsets`] and [`StreamsGroupHeartbeatRequest::task_end_offsets`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TaskOffset {
    /// The subtopology's id.
    pub subtopology_id: Str,
    /// The partition's index.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// An element of [`StreamsGroupHeartbeatRequest::active_tasks`] and [`StreamsGroupHeartbeatRequest::standby_tasks`] and
/// [`StreamsGroupHeartbeatRequest::warmup_tasks`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestTaskIds {
    /// The subtopology's id.
    pub subtopology_id: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Answers [`StreamsGroupHeartbeatRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct StreamsGroupHeartbeatResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
    /// The member's id.
    pub member_id: Str,
    /// The member's epoch.
    pub member_epoch: i32,
    /// How often to send heartbeats, in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// How far behind a warm-up task may be to count as caught up.
    pub acceptable_recovery_lag: i32,
    /// How often to tell how far tasks have restored, in milliseconds.
    pub task_offset_interval_ms: i32,
    /// What the member should know about the group.
    pub status: Option<Vec<Status>>,
    /// The member's active tasks; null for no change.
    #[field(default = null)]
    pub active_tasks: Option<Vec<ResponseTaskIds>>,
    /// The member's standby tasks; null for no change.
    #[field(default = null)]
    pub standby_tasks: Option<Vec<ResponseTaskIds>>,
    /// The member's warm-up tasks; null for no change.
    #[field(default = null)]
    pub warmup_tasks: Option<Vec<ResponseTaskIds>>,
    /// The epoch of the endpoint information.
    pub endpoint_information_epoch: i32,
    /// Which partitions can be queried where; null for no change.
    #[field(default = null)]
    pub partitions_by_user_endpoint: Option<Vec<EndpointToPartitions>>,
}

/// An element of [`StreamsGroupHeartbeatResponse::partitions_by_user_endpoint`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct EndpointToPartitions {
    /// Where the application answers queries.
    pub user_endpoint: ResponseEndpoint,
    /// The partitions of the active tasks.
    pub active_partitions: Vec<TopicPartition>,
    /// The partitions of the standby tasks.
    pub standby_partitions: Vec<TopicPartition>,
}

/// An element of [`StreamsGroupHeartbeatResponse::status`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Status {
    /// The status.
    pub status_code: i8,
    /// The status, in words.
    pub status_detail: Str,
}

/// An element of [`EndpointToPartitions::active_partitions`] and [`EndpointToPartitions::standby_partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// An element of [`StreamsGroupHeartbeatResponse::active_tasks`] and [`StreamsGroupHeartbeatResponse::standby_tasks`]
/// and [`StreamsGroupHeartbeatResponse::warmup_tasks`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponseTaskIds {
    /// The subtopology's id.
    pub subtopology_id: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// The value of [`EndpointToPartitions::user_endpoint`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponseEndpoint {
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
}
