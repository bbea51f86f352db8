//! The newest batches of a log, in memory.
//!
//! The clean part, in front, is in segments already and is kept only to serve readers; the dirty part is not.

use std::collections::VecDeque;

use bytes::Bytes;
use wiber_model::{Batch, Offset, TimestampMs};

/// What a batch costs in memory beside its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// The tail of one log.
#[derive(Debug, Default)]
pub struct Tail {
    batches: VecDeque<Batch>,
    clean: usize,
    bytes: usize,
    dirty_bytes: usize,
}

impl Tail {
    /// Bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes in memory that are not in a segment yet.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// Bytes of batches that are not in a segment yet, without what they cost beside.
    #[must_use]
    pub fn dirty_batch_bytes(&self) -> usize {
        self.dirty_bytes - (self.batches.len() - self.clean) * ENTRY_OVERHEAD_BYTES
    }

    /// What `batch` counts for.
    #[must_use]
    pub fn cost_bytes(batch: &Batch) -> usize {
        batch.size_bytes() + ENTRY_OVERHEAD_BYTES
    }

    /// Adds a batch at the end.
    pub fn push(&mut self, batch: Batch) {
        let cost = Tail::cost_bytes(&batch);
        self.bytes += cost;
        self.dirty_bytes += cost;
        self.batches.push_back(batch);
    }

    /// The batches that are not in a segment yet.
    pub fn dirty(&self) -> impl Iterator<Item = &Batch> {
        self.batches.range(self.clean..)
    }

    /// The offset up to which all is in segments, in a log that ends at `end`.
    #[must_use]
    pub fn clean_end(&self, end: Offset) -> Offset {
        self.batches.get(self.clean).map_or(end, Batch::base_offset)
    }

    /// The next `count` dirty batches are in a segment now. Returns their bytes.
    pub fn clean(&mut self, count: usize) -> usize {
        let cost = self
            .batches
            .range(self.clean..self.clean + count)
            .map(Tail::cost_bytes)
            .sum();
        self.clean += count;
        self.dirty_bytes -= cost;
        cost
    }

    /// Drops clean batches up to the one that ends at `next_offset`. Returns the bytes freed.
    pub fn evict(&mut self, next_offset: Offset) -> usize {
        let mut freed = 0;
        while self.clean > 0
            && let Some(batch) = self
                .batches
                .pop_front_if(|b| b.next_offset() <= next_offset)
        {
            self.clean -= 1;
            freed += Tail::cost_bytes(&batch);
        }
        self.bytes -= freed;
        freed
    }

    /// The batches from the one that holds `offset` on; `None` if that one is not in memory.
    #[must_use]
    pub fn from(&self, offset: Offset) -> Option<impl Iterator<Item = &Batch>> {
        if self
            .batches
            .front()
            .is_none_or(|first| offset < first.base_offset())
        {
            return None;
        }
        let at = self.batches.partition_point(|b| b.next_offset() <= offset);
        Some(self.batches.range(at..))
    }

    /// The bytes of batches from `offset` on, up to `max_bytes` (but at least one batch if `at_least_one`) and below
    /// `limit`, none beyond a hole; `None` if `offset` is not in memory.
    #[must_use]
    pub fn read(
        &self,
        offset: Offset,
        limit: Offset,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Option<Vec<Bytes>> {
        let mut out = Vec::new();
        let mut bytes = 0;
        let mut next = None;
        for batch in self.from(offset)? {
            let first = out.is_empty() && at_least_one;
            let hole = next.is_some_and(|next| next != batch.base_offset());
            let beyond = batch.next_offset() > limit || hole;
            if beyond || (!first && bytes + batch.size_bytes() > max_bytes) {
                break;
            }
            next = Some(batch.next_offset());
            bytes += batch.size_bytes();
            out.push(batch.bytes().clone());
        }
        Some(out)
    }

    /// The first batch at or after `from` that holds a record of `timestamp` or later.
    #[must_use]
    pub fn find_timestamp(&self, from: Offset, timestamp: TimestampMs) -> Option<&Batch> {
        let reaches = |b: &&Batch| b.next_offset() > from && b.max_timestamp() >= timestamp;
        self.batches.iter().find(reaches)
    }

    /// The batch beyond `from` with the largest timestamp, the first of equals.
    #[must_use]
    pub fn newest(&self, from: Offset) -> Option<&Batch> {
        let there = self.batches.iter().rev().filter(|b| b.next_offset() > from);
        there.max_by_key(|b| b.max_timestamp())
    }

    /// Checks that each batch, and `end`, follows what is before it, by `follows`, and that they are counted right.
    ///
    /// # Panics
    /// If not: a bug.
    pub fn validate(&self, end: Offset, follows: impl Fn(Offset, Offset) -> bool) {
        assert!(self.clean <= self.batches.len());
        let mut next = None;
        for batch in &self.batches {
            let base = batch.base_offset();
            let gap = next.is_some_and(|next| !follows(next, base));
            assert!(!gap, "gap before {batch:?}");
            next = Some(batch.next_offset());
        }
        assert!(next.is_none_or(|next| follows(next, end)), "gap at {end}");
        assert_eq!(
            self.bytes,
            self.batches.iter().map(Tail::cost_bytes).sum::<usize>()
        );
        assert_eq!(
            self.dirty_bytes,
            self.dirty().map(Tail::cost_bytes).sum::<usize>()
        );
    }
}
