//! StreamsGroupDescribe (key 89).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes streams groups (KIP-1071).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct StreamsGroupDescribeRequest {
    /// The groups to describe.
    pub group_ids: Vec<Str>,
    /// Whether to say what the client may do with each group.
    pub include_authorized_operations: bool,
}

/// Answers [`StreamsGroupDescribeRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct StreamsGroupDescribeResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The groups.
    pub groups: Vec<DescribedGroup>,
}

/// An element of [`StreamsGroupDescribeResponse::groups`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribedGroup {
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
    /// The group's id.
    pub group_id: Str,
    /// The group's state.
    pub group_state: Str,
    /// The group's epoch.
    pub group_epoch: i32,
    /// The epoch of the assignment.
    pub assignment_epoch: i32,
    /// The application's topology; null if it is unknown.
    #[field(default = null)]
    pub topology: Option<Topology>,
    /// The members.
    pub members: Vec<Member>,
    /// What the client may do with the group, a bit for each ACL operation; `i32::MIN` if it did not ask.
    #[field(default = i32::MIN)]
    pub authorized_operations: i32,
}

/// The value of [`DescribedGroup::topology`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Topology {
    /// The topology's epoch.
    pub epoch: i32,
    /// The topology's parts.
    #[field(default = null)]
    pub subtopologies: Option<Vec<Subtopology>>,
}

/// An element of [`Topology::subtopologies`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Subtopology {
    /// The subtopology's id.
    pub subtopology_id: Str,
    /// The topics that it reads.
    pub source_topics: Vec<Str>,
    /// The repartition topics that it writes.
    pub repartition_sink_topics: Vec<Str>,
    /// Its changelog topics, which the broker creates.
    pub state_changelog_topics: Vec<TopicInfo>,
    /// The repartition topics that it reads, which the broker creates.
    pub repartition_source_topics: Vec<TopicInfo>,
}

/// An element of [`DescribedGroup::members`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Member {
    /// The member's id.
    pub member_id: Str,
    /// The member's epoch.
    pub member_epoch: i32,
    /// The id of a static member; null for others or for no change.
    #[field(default = null)]
    pub instance_id: Option<Str>,
    /// The member's rack; null for none.
    #[field(default = null)]
    pub rack_id: Option<Str>,
    /// The client's id.
    pub client_id: Str,
    /// The client's host.
    pub client_host: Str,
    /// The epoch of the member's topology.
    pub topology_epoch: i32,
    /// The process that the member runs in.
    pub process_id: Str,
    /// Where the application answers queries.
    #[field(default = null)]
    pub user_endpoint: Option<Endpoint>,
    /// Tags for rack-aware assignment.
    pub client_tags: Vec<KeyValue>,
    /// How far the member's tasks have restored.
    pub task_offsets: Vec<TaskOffset>,
    /// How far the changelogs of the member's tasks go.
    pub task_end_offsets: Vec<TaskOffset>,
    /// The assignment that the member has.
    pub assignment: Assignment,
    /// The assignment that the member is to reach.
    pub target_assignment: Assignment,
    /// Whether the member still speaks the classic protocol.
    pub is_classic: bool,
}

/// The value of [`Member::user_endpoint`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
}

/// An element of [`Member::task_offsets`] and [`Member::task_end_offsets`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TaskOffset {
    /// The subtopology's id.
    pub subtopology_id: Str,
    /// The partition's index.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// The value of [`Member::assignment`] and [`Member::target_assignment`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The member's active tasks.
    pub active_tasks: Vec<TaskIds>,
    /// The member's standby tasks.
    pub standby_tasks: Vec<TaskIds>,
    /// The member's warm-up tasks.
    pub warmup_tasks: Vec<TaskIds>,
}

/// An element of [`Assignment::active_tasks`] and [`Assignment::standby_tasks`] and [`Assignment::warmup_tasks`] and
/// [`Assignment::active_tasks`] and [`Assignment::standby_tasks`] and [`Assignment::warmup_tasks`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TaskIds {
    /// The subtopology's id.
    pub subtopology_id: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// An element of [`TopicInfo::topic_configs`] and [`TopicInfo::topic_configs`] and [`Member::client_tags`].
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
    /// The number of partitions; 0 if it is left open, as for changelogs.
    pub partitions: i32,
    /// The number of replicas; 0 for the broker's default.
    pub replication_factor: i16,
    /// The topic's settings.
    pub topic_configs: Vec<KeyValue>,
}
