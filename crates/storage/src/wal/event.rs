//! What goes into the log's machine and what comes out of it.

use bytes::Bytes;
use wiber_model::Lsn;

use crate::frame::{Frame, Participant};
#[cfg(doc)]
use crate::wal::WalOptions;
use crate::{DiskOp, DiskResult, OpToken};

/// What happens to the log.
#[derive(Debug)]
pub enum WalEvent {
    /// A participant appends frames; they get the next LSNs. None is larger than [`WalOptions::frame_bytes_max`].
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
    /// A participant cannot give its section, as the disk is full: the checkpoint is given up.
    SectionFailed {
        /// Who.
        from: Participant,
        /// The checkpoint.
        checkpoint: u64,
    },
    /// Take a checkpoint (after the one that is being taken, if there is one), and try again to get space.
    RequestCheckpoint,
    /// Nothing has happened for a while since [`WalEffect::Quiet`]: sync what is not synced, else write a mark (S1).
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
    /// The first `frames` frames that this participant appended since the log was opened are durable, and so written.
    Durable {
        /// To whom.
        to: Participant,
        /// How many, in all.
        frames: u64,
        /// All frames of the disk up to this LSN are durable.
        lsn: Lsn,
    },
    /// The first `frames` frames that this participant appended since the log was opened survive the process and not a
    /// power loss. It is not sent where [`WalEffect::Durable`] says more at once.
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
    /// The checkpoint is durable.
    Checkpointed {
        /// To whom.
        to: Participant,
        /// The checkpoint.
        checkpoint: u64,
    },
    /// The checkpoint was given up, as the disk is full. Another begins when more was appended or when asked for.
    CheckpointFailed {
        /// To whom.
        to: Participant,
        /// The checkpoint.
        checkpoint: u64,
    },
    /// Whether more may be appended. What is refused is refused before it gets an offset (S4). What was appended
    /// before this was heard of is still taken. Accepting is what everybody begins with.
    Space {
        /// To whom.
        to: Participant,
        /// Whether it may.
        accepting: bool,
    },
    /// Nothing is under way, and what is on disk could be marked: send [`WalEvent::Idle`] when nothing else has happened
    /// for some milliseconds.
    Quiet,
    /// Answers [`WalEvent::SyncAll`].
    Settled {
        /// Whether a checkpoint covers everything, so that the next start has nothing to recover.
        checkpointed: bool,
    },
    /// The log cannot go on (D8). Nothing follows.
    Fatal(String),
}
