//! The group coordinator: consumer groups and committed offsets, as a state machine over one partition of `__consumer_offsets`.
//!
//! A [`Coordinator`] takes one [`Request`] at a time and says what to append and what to reply ([`Output`]). The broker appends
//! the records at once, in the same step, and lets every reply wait until all that was appended before it is durable: so nobody is
//! told, or can read, what a crash could take back.
//!
//! Invariants:
//! - What is durable about a group is a fold over the partition's records ([`Coordinator::replay`]). A new leader rebuilds it from
//!   the log alone.
//! - Session timers and the exchange of joins and syncs are soft: they are lost with the process, and members make up for it.
//! - Nothing in here reads a clock, draws randomness of the system's, or waits: time comes with each call, a request that waits is
//!   data with a deadline ([`Coordinator::next_deadline`]).
//!
//! Wire formats are not known here: the broker translates requests, responses and records.

mod classic;
mod cluster;
mod config;
mod consumer;
mod coordinator;
mod error;
mod groups;
mod held;
mod list;
mod offsets;
mod record;
mod request;
mod response;
mod step;
mod timers;

pub use cluster::{Assignment, Cluster, ConsumerProtocol, NamedPartitions, Subscription};
pub use config::{ConsumerMigration, GroupConfig, GroupOverrides};
pub use coordinator::{Coordinator, Output, ReplyTo};
pub use error::GroupError;
pub use record::{
    AssignedPartitions, ClassicGroupRecord, ClassicMemberRecord, ClassicProtocols,
    ConsumerMemberRecord, CurrentAssignmentRecord, OffsetRecord, Record, RegexRecord,
    TopicPartitions,
};
pub use request::*;
pub use response::*;
