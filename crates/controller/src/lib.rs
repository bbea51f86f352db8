//! The metadata quorum (Raft) and the cluster image that its log folds into.
//!
//! The quorum orders entries and knows no topic; a [`MetadataRecord`] says what changed; the [`ClusterImage`] is the fold over
//! all records; the [`Controller`] turns commands into records and answers them once they are committed (D5). Today the quorum
//! is of one; nothing but [`Recovered`] and the frame that names the voters takes that for granted.
//!
//! Invariants:
//! - An image is changed by committed records only, in their order, and is the same on every broker that has applied as many.
//! - The frame that commits an entry is handed to the write-ahead log before the entry's records are published; so whatever
//!   follows from a record lies behind it there.
//! - What is not understood is refused: a log with an unknown type or version of anything does not start.

mod codec;
mod command;
mod controller;
mod image;
mod placement;
mod plan;
mod quorum;
mod record;
mod recovered;
mod settings;
mod topic_name;

pub use codec::DecodeError;
pub use command::{
    AssignmentError, Command, CommandError, CommandResult, CreatedTopic, LimitError,
    MAX_CONFIG_BYTES_PER_TOPIC, MAX_PARTITIONS, MAX_PARTITIONS_PER_COMMAND, MAX_REGISTRATION_BYTES,
    MAX_TOPICS, PRODUCER_ID_BLOCK, PartitionsSpec, ReplicationFactorError, TopicCreation,
    TopicSpec,
};
pub use controller::{Controller, ControllerEffect, ControllerEvent, MetadataLogState};
pub use image::{
    ClusterImage, ImageError, PartitionState, Registration, SnapshotError, TopicState,
};
pub use quorum::{FrameError, LogError, MAX_ENTRY_BYTES, MAX_IN_FLIGHT_BYTES};
pub use record::{Listener, MetadataOffset, MetadataRecord, PartitionAssignment, RecordError};
pub use recovered::{Recovered, RecoveredError};
pub use settings::{ConfigChange, ConfigCheck, ConfigEdit, ConfigOwner};
pub use topic_name::{METADATA_TOPIC, collision_key, is_internal_topic, is_valid_topic_name};
