//! ShareGroupDescribe (key 77): KIP-932.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes share groups (KIP-932).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1", flexible = "0+")]
pub struct ShareGroupDescribeRequest {
    /// The groups to describe.
    pub group_ids: Vec<Str>,
    /// Whether to say what the client may do with each group.
    pub include_authorized_operations: bool,
}

/// Answers [`ShareGroupDescribeRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1", flexible = "0+")]
pub struct ShareGroupDescribeResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The groups.
    pub groups: Vec<DescribedGroup>,
}

/// An element of [`ShareGroupDescribeResponse::groups`].
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
    /// The assignment that the member has.
    pub assignment: Assignment,
}

/// An element of [`Assignment::topic_partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The topic's name.
    pub topic_name: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// The value of [`Member::assignment`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The partitions assigned.
    pub topic_partitions: Vec<TopicPartitions>,
}
