//! ConsumerGroupDescribe (key 69): KIP-1099.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes consumer groups (KIP-848).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupDescribeRequest {
    /// The groups to describe.
    pub group_ids: Vec<Str>,
    /// Whether to say what the client may do with each group.
    pub include_authorized_operations: bool,
}

/// Answers [`ConsumerGroupDescribeRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupDescribeResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The groups.
    pub groups: Vec<DescribedGroup>,
}

/// An element of [`ConsumerGroupDescribeResponse::groups`].
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
    /// The assignor in use.
    pub assignor_name: Str,
    /// The members.
    pub members: Vec<Member>,
    /// What the client may do with the group, a bit for each ACL operation; `i32::MIN` if it did not ask.
    #[field(default = i32::MIN)]
    pub authorized_operations: i32,
}

/// An element of [`DescribedGroup::members`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Member {
    /// The member's id.
    pub member_id: Str,
    /// The id of a static member; null for others or for no change.
    #[field(default = null)]
    pub instance_id: Option<Str>,
    /// The member's rack; null for none.
    #[field(default = null)]
    pub rack_id: Option<Str>,
    /// The member's epoch.
    pub member_epoch: i32,
    /// The client's id.
    pub client_id: Str,
    /// The client's host.
    pub client_host: Str,
    /// The topics that the member wants.
    pub subscribed_topic_names: Vec<Str>,
    /// A regular expression for the topics that the member wants; null for none.
    #[field(default = null)]
    pub subscribed_topic_regex: Option<Str>,
    /// The assignment that the member has.
    pub assignment: Assignment,
    /// The assignment that the member is to reach.
    pub target_assignment: Assignment,
    /// 0 for a classic member, 1 for a consumer member; −1 if it is unknown.
    #[field(versions = "1+", default = -1, ignorable)]
    pub member_type: i8,
}

/// An element of [`Assignment::topic_partitions`] and [`Assignment::topic_partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The topic's name.
    pub topic_name: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// The value of [`Member::assignment`] and [`Member::target_assignment`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The partitions assigned.
    pub topic_partitions: Vec<TopicPartitions>,
}
