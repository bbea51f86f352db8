//! A segment: a run of batches in one file, and the sparse index that leads into it.

use bytes::{Buf, BufMut, BytesMut};
use wiber_model::batch::crc32c;
use wiber_model::{Batch, Offset, TimestampMs};

use super::{GAP_BYTES, Gap};
use crate::io::SegmentId;

/// Bytes of one index entry on disk.
pub const INDEX_ENTRY_BYTES: usize = 20;

/// What is known of a segment without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name.
    pub id: SegmentId,
    /// Bytes of batches in it.
    pub bytes: u64,
    /// Bytes of its index, what is still in memory included.
    pub index_bytes: u64,
    /// The offset after its last batch.
    pub next_offset: Offset,
    /// The largest timestamp of its first batch: `segment.ms` counts from it.
    pub first_timestamp: TimestampMs,
    /// The largest timestamp in it.
    pub max_timestamp: TimestampMs,
    /// The base offset of the batch that holds it.
    pub max_timestamp_batch: Offset,
    /// Bytes of batches since the last index entry.
    pub since_index_bytes: u64,
}

/// Says that a batch starts at a position. On disk big endian, in this order, and followed by the CRC-32C of these 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The batch's base offset less the segment's.
    pub relative_offset: u32,
    /// Its byte position in the segment.
    pub position: u32,
    /// The largest timestamp of the batches before it in the segment; −1 if there is none.
    pub max_timestamp_before: TimestampMs,
}

impl Segment {
    /// A segment that `first` will be the first batch of.
    #[must_use]
    pub fn starting_with(id: SegmentId, first: &Batch) -> Segment {
        Segment {
            id,
            bytes: 0,
            index_bytes: 0,
            next_offset: id.base,
            first_timestamp: first.max_timestamp(),
            max_timestamp: TimestampMs::NONE,
            max_timestamp_batch: id.base,
            since_index_bytes: 0,
        }
    }

    /// The beginning of a segment that takes the place of `first`, and perhaps of those behind it.
    #[must_use]
    pub fn compacted(id: SegmentId, first: &Segment) -> Segment {
        Segment {
            id,
            bytes: 0,
            index_bytes: 0,
            next_offset: id.base,
            first_timestamp: first.first_timestamp,
            max_timestamp: TimestampMs::NONE,
            max_timestamp_batch: id.base,
            since_index_bytes: 0,
        }
    }

    /// Whether `batch` may still go into this segment: it follows without a gap, and the segment does not get too large, old or far.
    #[must_use]
    pub fn takes(&self, batch: &Batch, segment_bytes: u64, segment_ms: i64) -> bool {
        let size = batch.size_bytes() as u64;
        let age_ms = batch
            .max_timestamp()
            .0
            .saturating_sub(self.first_timestamp.0);
        let reach = batch.last_offset().0 - self.id.base.0;
        self.bytes == 0
            || (batch.base_offset() == self.next_offset
                && self.bytes + size <= segment_bytes.min(u64::from(u32::MAX))
                && age_ms <= segment_ms
                && reach <= i64::from(i32::MAX))
    }

    /// Counts `batch` in, at the end. Returns the index entry that it gets, if one is due.
    pub fn push(&mut self, batch: &Batch, index_interval_bytes: u64) -> Option<IndexEntry> {
        let size = batch.size_bytes() as u64;
        let entry = IndexEntry {
            relative_offset: (batch.base_offset().0 - self.id.base.0) as u32,
            position: self.bytes as u32,
            max_timestamp_before: self.max_timestamp,
        };
        let due = self.bytes > 0 && self.since_index_bytes >= index_interval_bytes;
        if due {
            self.since_index_bytes = 0;
            self.index_bytes += INDEX_ENTRY_BYTES as u64;
        }
        // A batch that compaction emptied has the time of records that are gone.
        if batch.record_count() > 0 && batch.max_timestamp() > self.max_timestamp {
            self.max_timestamp = batch.max_timestamp();
            self.max_timestamp_batch = batch.base_offset();
        }
        self.bytes += size;
        self.since_index_bytes += size;
        self.next_offset = batch.next_offset();
        due.then_some(entry)
    }

    /// Counts the mark of a gap in, at the end.
    pub fn push_gap(&mut self, gap: Gap) {
        self.bytes += GAP_BYTES as u64;
        self.since_index_bytes += GAP_BYTES as u64;
        self.next_offset = gap.to;
    }
}

impl IndexEntry {
    /// Appends the entry's bytes.
    pub fn put(&self, out: &mut BytesMut) {
        let from = out.len();
        out.put_u32(self.relative_offset);
        out.put_u32(self.position);
        out.put_i64(self.max_timestamp_before.0);
        let crc = crc32c(&out[from..]);
        out.put_u32(crc);
    }

    /// Reads an entry; none if its checksum is not that of its bytes.
    #[must_use]
    pub fn get(bytes: &[u8; INDEX_ENTRY_BYTES]) -> Option<IndexEntry> {
        let (mut entry, mut crc) = bytes.split_at(INDEX_ENTRY_BYTES - 4);
        if crc32c(entry) != crc.get_u32() {
            return None;
        }
        Some(IndexEntry {
            relative_offset: entry.get_u32(),
            position: entry.get_u32(),
            max_timestamp_before: TimestampMs(entry.get_i64()),
        })
    }

    /// The whole entries in `bytes`. Damaged ones are left out: a search that begins at the one before finds the same.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Vec<IndexEntry> {
        let (entries, _) = bytes.as_chunks();
        entries.iter().filter_map(IndexEntry::get).collect()
    }

    /// Where to begin to look for `relative_offset`: at the last batch of `entries` that starts at or before it, else at the
    /// segment's beginning.
    #[must_use]
    pub fn place_for_offset(
        entries: &[IndexEntry],
        base: Offset,
        relative_offset: u32,
    ) -> BatchPlace {
        let after = entries.partition_point(|entry| entry.relative_offset <= relative_offset);
        IndexEntry::place(entries[..after].last(), base)
    }

    /// Where to begin to look for the first batch that reaches `timestamp`.
    #[must_use]
    pub fn place_for_timestamp(
        entries: &[IndexEntry],
        base: Offset,
        timestamp: TimestampMs,
    ) -> BatchPlace {
        let after = entries.partition_point(|entry| entry.max_timestamp_before < timestamp);
        IndexEntry::place(entries[..after].last(), base)
    }

    fn place(entry: Option<&IndexEntry>, base: Offset) -> BatchPlace {
        entry.map_or(BatchPlace::beginning(base), |entry| BatchPlace {
            position: u64::from(entry.position),
            offset: base.plus(i64::from(entry.relative_offset)),
        })
    }
}

/// A byte position of a segment, and the base offset of the batch that starts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlace {
    /// The byte position.
    pub position: u64,
    /// The base offset.
    pub offset: Offset,
}

impl BatchPlace {
    /// The first batch of a segment that starts at `base`.
    #[must_use]
    pub fn beginning(base: Offset) -> BatchPlace {
        BatchPlace {
            position: 0,
            offset: base,
        }
    }
}
