//! What a coordinator asks of the world around it: topics as the metadata have them, and the consumers' embedded protocol.

use std::collections::BTreeMap;

use bytes::Bytes;
use wiber_model::TopicId;

use crate::config::GroupOverrides;

/// The cluster's metadata, as far as groups care.
pub trait Cluster {
    /// A topic's id.
    fn topic_id(&self, name: &str) -> Option<TopicId>;
    /// A topic's name.
    fn topic_name(&self, id: TopicId) -> Option<&str>;
    /// How many partitions a topic has; 0 if there is no such topic.
    fn partitions(&self, id: TopicId) -> i32;
    /// The racks that the replicas of a partition stand in.
    fn racks(&self, id: TopicId, partition: i32) -> Vec<&str>;
    /// The names of the topics that are not internal, in an order that stays, from behind `after` on; all of them if that is empty.
    /// For subscriptions by regular expression.
    fn topic_names<'a>(&'a self, after: &str) -> Box<dyn Iterator<Item = &'a str> + 'a>;
    /// The version of the metadata: a number that grows whenever they change. For subscriptions by regular expression.
    fn version(&self) -> i64;
    /// What is set for one group (a resource of type GROUP).
    fn group_overrides(&self, group: &str) -> GroupOverrides;
}

/// A consumer's subscription, as it stands in the metadata of a classic member of protocol type `consumer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics' names.
    pub topics: Vec<String>,
    /// What the member owned when it wrote this, by topic.
    pub owned: NamedPartitions,
    /// Where the member stands.
    pub rack: Option<String>,
}

/// What a classic member of protocol type `consumer` is assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The partitions.
    pub partitions: NamedPartitions,
    /// Whether the assignor gave it data of its own, which only that assignor understands.
    pub has_user_data: bool,
}

/// Partitions by the name of their topic, in order.
pub type NamedPartitions = BTreeMap<String, Vec<i32>>;

/// The protocol that consumers speak through the opaque bytes of a classic group (`ConsumerProtocolSubscription`,
/// `ConsumerProtocolAssignment`): the broker's codec, as pure functions.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerProtocol {
    /// Reads a member's metadata; `None` if they cannot be read.
    pub subscription: fn(&Bytes) -> Option<(Subscription, i16)>,
    /// Reads a member's assignment; `None` if it cannot be read.
    pub assignment: fn(&Bytes) -> Option<Assignment>,
    /// Writes an assignment, without data of an assignor's, in a version of the protocol.
    pub encode_assignment: fn(&NamedPartitions, i16) -> Bytes,
}
