//! The metadata quorum (Raft) and the cluster image that its log folds into.
//!
//! [`Quorum`](quorum) orders entries and knows no topic; a [`MetadataRecord`] says what changed; the [`ClusterImage`] is the
//! fold over all records; the [`Controller`] turns commands into records and answers them once they are committed (D5).
//!
//! Invariants:
//! - The image is changed by committed records only, in their order, and is the same on every broker that has applied as many.
//! - The WAL holds the frame that commits an entry before the entry's records are published, so whatever follows from a record lies
//!   behind it in the WAL.

mod command;
mod controller;
mod image;
mod quorum;
mod record;
mod topic_name;

pub use command::{Command, CommandError, CommandResult, CreatedTopic, TopicCreation, TopicSpec};
pub use controller::{Controller, ControllerEffect, ControllerEvent, Recovered, RecoveredError};
pub use image::{ClusterImage, PartitionState, Registration, TopicState};
pub use record::{Listener, MetadataOffset, MetadataRecord, RecordError};
pub use topic_name::{collision_key, is_valid_topic_name};
