//! Compaction's work on bytes, as pure functions: which key is where, and what of a batch stays.
//!
//! The rules are Kafka's (`Cleaner`, `MemoryRecords.filterTo`): of the records below the end of what was mapped, the newest of each key
//! stays; a tombstone stays until the delete horizon of its batch, which is set when the batch is compacted first (KIP-534); a batch
//! without records stays, empty, if it is the last of its producer or ends the round. A record that has no key goes.
//!
//! Invariants:
//! - What cannot be read is an error, and nothing of it is left out.
//! - A batch that stays has its offsets, its epoch and its sequences.
//! - A step takes a bounded piece of a segment, or one batch.

mod filter;
mod key_hash;
mod offset_map;

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use wiber_model::batch::HEADER_BYTES;
use wiber_model::{Batch, BatchError, LeaderEpoch, Offset};

use crate::log::{BatchPlace, Epochs, Item};

pub use filter::{FilterRules, Output};
pub use key_hash::KeyHasher;
pub use offset_map::OffsetMap;

/// A piece of a segment.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Its bytes.
    pub bytes: Bytes,
    /// Where they begin, and the offset that is expected there.
    pub at: BatchPlace,
    /// The epochs of the log, which batches must agree with.
    pub epochs: Arc<Epochs>,
}

/// How far a piece was walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Where to go on.
    pub next: BatchPlace,
    /// How many bytes are needed there.
    pub needed: usize,
}

/// A place that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The byte position in the segment.
    pub position: u64,
    /// What is wrong there.
    pub problem: BatchError,
}

/// A step of a compaction, for a worker.
#[derive(Debug)]
pub enum CleanJob {
    /// Puts the keys of a piece into the map.
    Map {
        /// The map so far.
        map: OffsetMap,
        /// The piece.
        piece: Piece,
        /// The first offset of interest.
        from: Offset,
    },
    /// Brings what stays of a piece into the output.
    Filter {
        /// The map.
        map: OffsetMap,
        /// The piece.
        piece: Piece,
        /// What stays.
        rules: Arc<FilterRules>,
        /// The output so far.
        output: Output,
    },
}

/// What a step came to.
#[derive(Debug)]
pub enum CleanDone {
    /// Of [`CleanJob::Map`].
    Mapped {
        /// The map.
        map: OffsetMap,
        /// How far the piece was walked.
        walked: Walked,
        /// The offset of the first record that the map had no room for.
        full_at: Option<Offset>,
    },
    /// Of [`CleanJob::Filter`].
    Filtered {
        /// The map.
        map: OffsetMap,
        /// The output.
        output: Output,
        /// How far the piece was walked.
        walked: Walked,
    },
    /// The piece cannot be read.
    Unreadable(Unreadable),
}

impl CleanJob {
    /// Does the work.
    #[must_use]
    pub fn run(self) -> CleanDone {
        let done = match self {
            CleanJob::Map { map, piece, from } => filter::map_piece(map, piece, from),
            CleanJob::Filter {
                map,
                piece,
                rules,
                output,
            } => filter::filter_piece(map, piece, &rules, output),
        };
        done.unwrap_or_else(CleanDone::Unreadable)
    }
}

impl Piece {
    /// Calls `each` with what stands in the piece, in order, until it breaks; each batch has passed its checksum, unless
    /// `passes_over` says that nobody looks at it.
    fn walk(
        self,
        passes_over: impl Fn(&Batch) -> bool,
        mut each: impl FnMut(&Item) -> Result<ControlFlow<()>, BatchError>,
    ) -> Result<Walked, Unreadable> {
        let Piece {
            mut bytes,
            at: mut next,
            epochs,
        } = self;
        loop {
            let unreadable = |problem| Unreadable {
                position: next.position,
                problem,
            };
            let item = match Item::split_from(&mut bytes) {
                Ok(item) => item,
                Err(BatchError::Truncated { needed, .. }) => {
                    return Ok(Walked { next, needed });
                }
                Err(problem) => return Err(unreadable(problem)),
            };
            check_place(&item, next.offset, &epochs).map_err(unreadable)?;
            if let Item::Batch(batch) = &item
                && !passes_over(batch)
            {
                batch.check_crc().map_err(unreadable)?;
            }
            let flow = each(&item).map_err(unreadable)?;
            next = BatchPlace {
                position: next.position + item.size_bytes() as u64,
                offset: item.next_offset(),
            };
            if flow.is_break() {
                return Ok(Walked {
                    next,
                    needed: HEADER_BYTES,
                });
            }
        }
    }
}

/// Whether what stands in a segment says that it is what was written at `offset`.
pub(crate) fn check_place(item: &Item, offset: Offset, epochs: &Epochs) -> Result<(), BatchError> {
    if item.base_offset() != offset {
        return Err(BatchError::Header(
            "its base offset does not continue the log",
        ));
    }
    let Item::Batch(batch) = item else {
        return Ok(());
    };
    // Of a batch that begins before the log start only the epoch of its end is known; it has one.
    let epoch = match epochs.at(offset) {
        LeaderEpoch::NONE => epochs.at(batch.last_offset()),
        epoch => epoch,
    };
    if epoch != LeaderEpoch::NONE && batch.leader_epoch() != epoch {
        return Err(BatchError::Header(
            "its leader epoch is not that of its offset",
        ));
    }
    Ok(())
}
