//! A Kafka client for the command line and other tools: connections that pipeline, metadata, a producer, a consumer that is told its
//! partitions, and one that shares them with the other members of a group. It works with any broker that speaks the Kafka protocol, Wiber or Apache Kafka from 2.4 on.
//!
//! Invariants:
//! - Everything from the network is bounded: an answer by [`connection::MAX_ANSWER_BYTES`], requests under way by
//!   [`connection::MAX_IN_FLIGHT`], what a producer holds by [`producer::BUFFER_BYTES`].
//! - Every wait ends: connecting, each request, and the delivery of each record have a time limit.
//! - Records of one partition are delivered in the order in which they were sent: one batch of a partition is under way at a time, and
//!   it is sent again until its fate is known.

pub mod assignor;
pub mod cluster;
pub mod connection;
pub mod consumer;
pub mod error;
#[cfg(test)]
mod fake_broker;
pub mod group_consumer;
pub mod groups;
mod membership;
pub mod offsets;
pub mod partitioner;
pub mod producer;
mod shared_attempt;

pub use assignor::Assignor;
pub use cluster::{Cluster, ClusterOptions, Partition, Topic};
pub use connection::Connection;
pub use consumer::{Consumer, ConsumerEvent, ReceivedRecord};
pub use error::ClientError;
pub use group_consumer::{GroupConsumer, GroupEvent, GroupOptions, Reset};
pub use groups::{Committed, GroupDescription, GroupMember, GroupType, ListedGroups};
pub use membership::GroupProtocol;
pub use offsets::{EARLIEST, LATEST, TopicPartition};
pub use producer::{Acks, Delivery, Producer, ProducerOptions, Record};
