//! The words that every other crate speaks: ids, offsets and epochs as distinct types, instants, limits, and the
//! record-batch view that the wire and the disk share.
//!
//! Invariant: nothing in here does IO, reads a clock or draws randomness; time and seeds are arguments everywhere.

pub mod batch;
pub mod id;
pub mod limit;
pub mod mutant;
pub mod rng;
pub mod time;

pub use batch::{Batch, BatchError, Batches};
pub use id::{
    BrokerId, LeaderEpoch, Lsn, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, TopicId,
};
pub use rng::Rng;
pub use time::{Deadline, Monotonic, Now, TimestampMs};
