//! A disk's write-ahead log and the partitions' logs, as deterministic machines.
//!
//! Two machines share the work. The [`Wal`] belongs to a disk: it takes frames from every participant (the shards and the
//! controller), writes them in groups, says which are durable, and frees space once a checkpoint covers it. A [`Store`]
//! belongs to a shard: it owns that shard's partitions, gives batches their offsets, keeps the tail in memory, writes it out to
//! segments in long runs, and takes part in checkpoints. Neither touches a file: both emit [`DiskOp`]s.
//!
//! Invariants:
//! - A frame is durable before anything that depends on it is answered (S2).
//! - Nothing in the WAL is freed before a durable checkpoint covers it, and a checkpoint is written only after the segments
//!   that it lists were synced (S2).
//! - A segment is deleted only once it is durable that nobody needs it: the log start moved, its topic was deleted, or a checkpoint
//!   lists the compacted one that took its place.

pub mod checkpoint;
pub mod clean;
pub mod frame;
pub mod identity;
pub mod io;
pub mod log;
pub mod recovery;
pub mod store;
pub mod validate;
pub mod wal;

/// The codecs, which producers and consumers share with the broker.
pub use wiber_compression as compression;

pub use checkpoint::{Checkpoint, CheckpointError, Position, Section};
pub use frame::{EpochStart, Frame, Participant};
pub use identity::{DirectoryId, Identity, IdentityError};
pub use io::{Disk, DiskError, DiskOp, DiskResult, FileId, OpToken};
pub use log::{LogConfig, PartitionLog};
pub use store::{Store, StoreEffect};
pub use validate::{Checked, Refusal, Rules, validate};
pub use wal::{Damage, Opened, Wal, WalEffect, WalError, WalEvent, WalOptions};
