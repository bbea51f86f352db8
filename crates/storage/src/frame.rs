//! What the write-ahead log holds: frames.
//!
//! A frame is a header of [`HEADER_BYTES`] and a body. Header and body have a checksum each, so that a body that went bad
//! still has a header that says whose it was.
//!
//! Invariant: a decoded frame is exactly what was encoded; a batch in it is a slice of the bytes that it was read from.

use std::fmt;

use bytes::{Bytes, BytesMut};
use wiber_model::{Batch, LeaderEpoch, Offset, PartitionId};

/// Who appends frames: a shard by its number, or the controller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Participant(pub u16);

impl Participant {
    /// The metadata controller.
    pub const CONTROLLER: Participant = Participant(u16::MAX);
}

impl fmt::Display for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Participant::CONTROLLER => f.write_str("controller"),
            Participant(shard) => write!(f, "shard {shard}"),
        }
    }
}

/// A leader epoch of a partition and the log end that it began at (R2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochStart {
    /// The partition.
    pub partition: PartitionId,
    /// The epoch that begins.
    pub epoch: LeaderEpoch,
    /// The log end when it began.
    pub start: Offset,
}

/// One entry of the write-ahead log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A batch was appended. Its offset and epoch are in it.
    Batch {
        /// To which partition.
        partition: PartitionId,
        /// The batch, at its place.
        batch: Batch,
    },
    /// Leader epochs begin.
    Epochs(Vec<EpochStart>),
    /// The log start moved (retention, DeleteRecords).
    LogStart {
        /// The partition.
        partition: PartitionId,
        /// The first offset that is still there.
        start: Offset,
    },
    /// The log was cut (replication).
    Truncate {
        /// The partition.
        partition: PartitionId,
        /// The offset after the last one that stays.
        end: Offset,
    },
    /// Opaque to storage: the controller's log entries and hard state.
    Metadata(Bytes),
}

impl Frame {
    /// Bytes that the frame takes in the log, header included.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        unimplemented!("being written")
    }

    /// Appends the frame, as `from` wrote it.
    pub fn encode(&self, from: Participant, out: &mut BytesMut) {
        let _ = (from, out);
        unimplemented!("being written")
    }
}
