//! What of a batch stays, and the segment that it goes to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use wiber_model::batch::{
    Compression, HEADER_BYTES, Records, Retained, TimestampType, put_restamped,
};
use wiber_model::limit::MAX_BATCH_BYTES;
use wiber_model::mutant::{self, Mutant};
use wiber_model::{Batch, BatchError, Offset, ProducerId, TimestampMs};

use super::{CleanDone, OffsetMap, Piece, Unreadable};
use crate::compression::{Decoder, DecompressError, compress};
use crate::log::{Gap, IndexEntry, Item, Segment};

/// A batch that unfolds to more is left as it is, and its keys count for nothing: what a step holds in memory has a bound.
const UNFOLDED_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// What stays.
#[derive(Clone, Debug)]
pub struct FilterRules {
    /// When the round began.
    pub now: TimestampMs,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// The map has the keys of all records of the round below here; from here on all stay.
    pub mapped_end: Offset,
    /// Where the round ends: the batch before it stays, if need be empty, so that a reader gets beyond it.
    pub round_end: Offset,
    /// The last offset that each idempotent producer wrote.
    pub producers: BTreeMap<ProducerId, Offset>,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u64,
}

/// A compacted segment in the making.
#[derive(Debug)]
pub struct Output {
    /// The segment, as far as it is made.
    pub segment: Segment,
    /// Bytes that are not on disk yet.
    pub data: Vec<u8>,
    /// Index entries that are not on disk yet.
    pub entries: Vec<IndexEntry>,
    /// A batch of the round stayed as it is that may hold what newer records have replaced: tombstones stay with it, or what they deleted
    /// would come back.
    pub keeps_replaced: bool,
}

/// What becomes of a batch.
enum Fate {
    AsItIs,
    Becomes(Batch),
    Goes,
}

impl Output {
    /// The beginning of `segment`, after outputs that had `keeps_replaced`.
    #[must_use]
    pub fn new(segment: Segment, keeps_replaced: bool) -> Output {
        Output {
            segment,
            data: Vec::new(),
            entries: Vec::new(),
            keeps_replaced,
        }
    }

    /// Makes a mark of what is missing before `to`.
    pub fn skip_to(&mut self, to: Offset) {
        let from = self.segment.next_offset;
        if from < to {
            let gap = Gap { from, to };
            self.segment.push_gap(gap);
            self.data.extend_from_slice(&gap.encode());
        }
    }

    fn push(&mut self, batch: &Batch, index_interval_bytes: u64) {
        self.skip_to(batch.base_offset());
        self.entries
            .extend(self.segment.push(batch, index_interval_bytes));
        self.data.extend_from_slice(batch.bytes());
    }
}

pub(super) fn map_piece(
    mut map: OffsetMap,
    piece: Piece,
    from: Offset,
) -> Result<CleanDone, Unreadable> {
    let mut full_at = None;
    let before = |batch: &Batch| batch.next_offset() <= from;
    let walked = piece.walk(before, |item| {
        let Item::Batch(batch) = item else {
            return Ok(ControlFlow::Continue(()));
        };
        if !before(batch) && !batch.is_control() {
            full_at = map_batch(&mut map, batch, from)?;
        }
        Ok(match full_at {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        })
    })?;
    Ok(CleanDone::Mapped {
        map,
        walked,
        full_at,
    })
}

/// Maps a batch. Returns the offset of the first record that there was no room for.
fn map_batch(
    map: &mut OffsetMap,
    batch: &Batch,
    from: Offset,
) -> Result<Option<Offset>, BatchError> {
    let Some(payload) = unfolded(batch)? else {
        return Ok(None);
    };
    for record in Records::new(&payload, batch.record_count()) {
        let record = record?;
        let offset = batch.base_offset().plus(i64::from(record.offset_delta));
        if let Some(key) = record.key
            && offset >= from
            && !map.put(key, offset)
        {
            return Ok(Some(offset));
        }
    }
    Ok(None)
}

pub(super) fn filter_piece(
    map: OffsetMap,
    piece: Piece,
    rules: &FilterRules,
    mut output: Output,
) -> Result<CleanDone, Unreadable> {
    let walked = piece.walk(
        |_| false,
        |item| {
            if let Item::Batch(batch) = item {
                match fate(batch, &map, rules, &mut output.keeps_replaced)? {
                    Fate::AsItIs => output.push(batch, rules.index_interval_bytes),
                    Fate::Becomes(batch) => output.push(&batch, rules.index_interval_bytes),
                    Fate::Goes => {}
                }
            }
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(CleanDone::Filtered {
        map,
        output,
        walked,
    })
}

fn fate(
    batch: &Batch,
    map: &OffsetMap,
    rules: &FilterRules,
    keeps_replaced: &mut bool,
) -> Result<Fate, BatchError> {
    if batch.is_control() || batch.base_offset() >= rules.mapped_end {
        return Ok(Fate::AsItIs);
    }
    let Some(payload) = unfolded(batch)? else {
        *keeps_replaced = true;
        return Ok(Fate::AsItIs);
    };
    let base = batch.base_timestamp();
    let horizon = batch.delete_horizon();
    let mut kept = Vec::new();
    let mut has_tombstones = false;
    let mut max_timestamp = TimestampMs::NONE;
    let mut records = Records::new(&payload, batch.record_count());
    loop {
        let from = records.rest();
        let Some(record) = records.next() else { break };
        let record = record?;
        let raw = &from[..from.len() - records.rest().len()];
        let offset = batch.base_offset().plus(i64::from(record.offset_delta));
        // Tombstones are newer than what they delete, so that was met before.
        let may_go = horizon.is_some_and(|horizon| horizon <= rules.now) && !*keeps_replaced;
        let stays = offset >= rules.mapped_end
            || is_newest(map, record.key, offset) && (record.value.is_some() || !may_go);
        if stays {
            let timestamp = TimestampMs(base.0.wrapping_add(record.timestamp_delta));
            max_timestamp = max_timestamp.max(timestamp);
            has_tombstones |= record.value.is_none();
            kept.push((raw, timestamp));
        }
    }
    if kept.is_empty() {
        return Ok(match must_stay(batch, rules) {
            true if batch.record_count() == 0 => Fate::AsItIs,
            true => Fate::Becomes(batch.emptied()),
            false => Fate::Goes,
        });
    }
    let sets_horizon = has_tombstones && horizon.is_none();
    if kept.len() == batch.record_count() as usize && !sets_horizon {
        return Ok(Fate::AsItIs);
    }
    let base_timestamp = match sets_horizon {
        true => TimestampMs(rules.now.0.saturating_add(rules.delete_retention_ms)),
        false => base,
    };
    let mut bytes = Vec::with_capacity(payload.len());
    for (raw, timestamp) in &kept {
        if sets_horizon {
            put_restamped(&mut bytes, raw, timestamp.0.wrapping_sub(base_timestamp.0))?;
        } else {
            bytes.extend_from_slice(raw);
        }
    }
    let compression = batch.compression()?;
    if compression != Compression::None {
        bytes = compress(compression, &bytes);
    }
    if HEADER_BYTES + bytes.len() > MAX_BATCH_BYTES {
        // With other times, or compressed anew, it came out larger than a batch may be.
        *keeps_replaced = true;
        return Ok(Fate::AsItIs);
    }
    let retained = Retained {
        count: kept.len() as i32,
        base_timestamp,
        max_timestamp: match batch.timestamp_type() {
            TimestampType::LogAppendTime => batch.max_timestamp(),
            TimestampType::CreateTime => max_timestamp,
        },
        delete_horizon: sets_horizon || horizon.is_some(),
        compression,
    };
    Ok(Fate::Becomes(batch.retaining(retained, &bytes)))
}

/// Whether no newer record of the round has the key. One without a key has no place in a compacted log.
fn is_newest(map: &OffsetMap, key: Option<&[u8]>, offset: Offset) -> bool {
    let Some(key) = key else { return false };
    let newest = map.get(key);
    if mutant::active(Mutant::CompactionDropsNewestValue) {
        return newest.is_none_or(|newest| offset > newest);
    }
    newest.is_none_or(|newest| offset >= newest)
}

/// Whether a batch stays though none of its records does.
fn must_stay(batch: &Batch, rules: &FilterRules) -> bool {
    let ends_producer = rules.producers.get(&batch.producer_id()) == Some(&batch.last_offset());
    ends_producer || batch.next_offset() == rules.round_end
}

/// The records' bytes, not compressed; none if they are too many.
fn unfolded(batch: &Batch) -> Result<Option<Cow<'_, [u8]>>, BatchError> {
    let payload = &batch.bytes()[HEADER_BYTES..];
    let compression = batch.compression()?;
    if compression == Compression::None {
        return Ok(Some(Cow::Borrowed(payload)));
    }
    let decoder = Decoder::new(compression, payload, UNFOLDED_BYTES_MAX);
    match decoder.and_then(Decoder::into_vec) {
        Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
        Err(DecompressError::TooLarge { .. }) => Ok(None),
        Err(DecompressError::Malformed { .. }) => {
            Err(BatchError::Header("its records do not unfold"))
        }
    }
}
