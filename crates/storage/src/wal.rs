//! The write-ahead log of a disk, as a machine: group commit, extents, checkpoints.

mod scan;

use bytes::Bytes;
use wiber_model::Lsn;

use crate::frame::{Frame, Participant};
use crate::{DiskOp, DiskResult, OpToken};

pub use scan::{Damage, Opened, WalError, open};

/// The sizes that a write-ahead log works with. Each is a multiple of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalOptions {
    /// Bytes of the first extent of a new directory.
    pub initial_extent_bytes: u64,
    /// Bytes of every other extent.
    pub extent_bytes: u64,
    /// The most bytes that all extents together take.
    pub wal_bytes_max: u64,
    /// Bytes in the log after which a checkpoint is due.
    pub checkpoint_bytes: u64,
    /// The most bytes of a group, unless a single frame is larger.
    pub group_bytes_max: usize,
    /// When less than this is free, in bytes, participants are told to accept nothing more.
    pub reserve_bytes: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions {
            initial_extent_bytes: 1 << 20,
            extent_bytes: 32 << 20,
            wal_bytes_max: 256 << 20,
            checkpoint_bytes: 64 << 20,
            group_bytes_max: 1 << 20,
            reserve_bytes: 8 << 20,
        }
    }
}

/// What happens to the log.
#[derive(Debug)]
pub enum WalEvent {
    /// A participant appends frames; they get the next LSNs.
    Append {
        /// Who.
        from: Participant,
        /// The frames, in order.
        frames: Vec<Frame>,
        /// Whether all of them belong to relaxed topics (S6): they need not be synced on their own account.
        relaxed: bool,
    },
    /// A participant took its cut: what it appended before is in its section.
    Cut {
        /// Who.
        from: Participant,
        /// The checkpoint, as [`WalEffect::BeginCheckpoint`] named it.
        checkpoint: u64,
    },
    /// A participant's section. All segments that it lists are durable.
    Section {
        /// Who.
        from: Participant,
        /// The checkpoint.
        checkpoint: u64,
        /// The state as of the cut.
        bytes: Bytes,
    },
    /// A participant cannot give its section (the disk is full): the checkpoint is given up.
    SectionFailed {
        /// Who.
        from: Participant,
        /// The checkpoint.
        checkpoint: u64,
    },
    /// Take a checkpoint, and try again to get space.
    RequestCheckpoint,
    /// Nothing has happened for a while after [`WalEffect::Quiet`]: write a mark group (S1).
    Idle,
    /// Shutdown: make all frames durable, relaxed ones too, and take a last checkpoint. [`WalEffect::Settled`] answers.
    SyncAll,
    /// A disk operation ended.
    OpDone {
        /// Which one.
        token: OpToken,
        /// How.
        result: DiskResult,
    },
}

/// What the log wants done or known.
#[derive(Debug, PartialEq, Eq)]
pub enum WalEffect {
    /// Perform a disk operation.
    Disk {
        /// Its name.
        token: OpToken,
        /// What to do.
        op: DiskOp,
    },
    /// The first `frames` frames that this participant appended since the log was opened are durable.
    Durable {
        /// To whom.
        to: Participant,
        /// How many, in all.
        frames: u64,
        /// All frames of the disk up to this LSN are durable.
        lsn: Lsn,
    },
    /// The first `frames` frames that this participant appended since the log was opened survive the process.
    Written {
        /// To whom.
        to: Participant,
        /// How many, in all.
        frames: u64,
    },
    /// A checkpoint begins: answer with [`WalEvent::Cut`] at once and with [`WalEvent::Section`] later.
    BeginCheckpoint {
        /// To whom.
        to: Participant,
        /// The checkpoint.
        checkpoint: u64,
    },
    /// The checkpoint is durable: files that it does not list may go.
    Checkpointed {
        /// To whom.
        to: Participant,
        /// The checkpoint.
        checkpoint: u64,
    },
    /// The checkpoint was given up (the disk is full); another one begins later.
    CheckpointFailed {
        /// To whom.
        to: Participant,
        /// The checkpoint.
        checkpoint: u64,
    },
    /// Whether more may be appended. What is refused must be refused before it gets an offset.
    Space {
        /// To whom.
        to: Participant,
        /// Whether it may.
        accepting: bool,
    },
    /// All is durable and nothing is queued: send [`WalEvent::Idle`] when nothing else has happened for a few milliseconds.
    Quiet,
    /// Answers [`WalEvent::SyncAll`].
    Settled {
        /// Whether a checkpoint covers everything, so that the next start has nothing to recover.
        checkpointed: bool,
    },
    /// The log cannot go on (D8). Nothing more is emitted.
    Fatal(String),
}

/// The write-ahead log of a disk.
#[derive(Debug)]
pub struct Wal {}

impl Wal {
    /// Takes one event and appends what it wants done to `effects`.
    pub fn step(&mut self, event: WalEvent, effects: &mut Vec<WalEffect>) {
        let _ = (event, effects);
        unimplemented!("being written")
    }

    /// Asserts the invariants.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn validate(&self) {}
}
