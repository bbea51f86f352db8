//! What a checkpoint holds of one log, and its bytes. All integers are big endian.

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use wiber_model::{
    LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId,
};

use super::{
    BatchEntry, Epochs, Hole, Holes, INDEX_ENTRY_BYTES, IndexEntry, ProducerEntry, Producers,
    REMEMBERED_BATCHES, Segment,
};
use crate::io::SegmentId;

/// One log as of a checkpoint's cut: everything below `end` is in the segments, or lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Whose log.
    pub id: PartitionId,
    /// The first offset that can be read.
    pub start: Offset,
    /// The offset that the next record gets.
    pub end: Offset,
    /// The leader epochs.
    pub epochs: Epochs,
    /// The idempotent producers.
    pub producers: Producers,
    /// The segments, with their lengths at the cut.
    pub segments: Vec<Segment>,
    /// The last entries of the last segment's index, which its length counts and its file does not have yet.
    pub index_tail: Vec<IndexEntry>,
    /// The offsets whose records are lost.
    pub holes: Holes,
    /// Why the log takes no more, if so.
    pub damage: Option<String>,
    /// All below is compacted.
    pub cleaned_end: Offset,
}

/// The form that a log's state is in: a checkpoint's version says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateForm {
    /// Of checkpoints of version 1: without what compaction did.
    V1,
    /// Of checkpoints of version 2.
    V2,
}

/// Why a log's state makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The bytes end in the middle.
    #[error("the state of a log is cut short")]
    Short,
    /// A field has a value that cannot be.
    #[error("the state of a log holds an impossible {0}")]
    Impossible(&'static str),
}

/// Bytes of `segment`'s index that are in its file, if `tail` are entries of the `last` one's that are not.
pub(super) fn index_file_bytes(
    segment: &Segment,
    last: Option<&Segment>,
    tail: &[IndexEntry],
) -> u64 {
    let missing = match last {
        Some(last) if last.id == segment.id => tail.len() * INDEX_ENTRY_BYTES,
        _ => 0,
    };
    segment.index_bytes - missing as u64
}

impl From<TryGetError> for StateError {
    fn from(_: TryGetError) -> StateError {
        StateError::Short
    }
}

impl LogState {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(&self.id.topic.0);
        out.put_i32(self.id.partition);
        out.put_i64(self.start.0);
        out.put_i64(self.end.0);
        out.put_u32(self.epochs.entries().len() as u32);
        for (epoch, start) in self.epochs.entries() {
            out.put_i32(epoch.0);
            out.put_i64(start.0);
        }
        out.put_u32(self.producers.len() as u32);
        for (id, entry) in self.producers.iter() {
            put_producer(&mut out, id, entry);
        }
        out.put_u32(self.segments.len() as u32);
        for segment in &self.segments {
            put_segment(&mut out, segment);
        }
        out.put_u32(self.index_tail.len() as u32);
        self.index_tail.iter().for_each(|entry| entry.put(&mut out));
        out.put_u32(self.holes.entries().len() as u32);
        for (from, to) in self.holes.entries() {
            out.put_i64(from.0);
            out.put_i64(to.0);
        }
        let damage = self.damage.as_deref().unwrap_or_default();
        out.put_u32(damage.len() as u32);
        out.put_slice(damage.as_bytes());
        out.put_i64(self.cleaned_end.0);
        out.freeze()
    }

    /// Bytes of a segment's index that are in its file.
    #[must_use]
    pub fn index_file_bytes(&self, segment: &Segment) -> u64 {
        index_file_bytes(segment, self.segments.last(), &self.index_tail)
    }

    /// Takes one state off the front of `bytes`.
    ///
    /// # Errors
    /// If it is cut short or holds what cannot be. A checkpoint has a checksum, so that is a bug or an attack.
    pub fn decode(bytes: &mut Bytes, form: StateForm) -> Result<LogState, StateError> {
        let mut topic = [0; 16];
        bytes.try_copy_to_slice(&mut topic)?;
        let id = PartitionId {
            topic: TopicId(topic),
            partition: bytes.try_get_i32()?,
        };
        let start = Offset(bytes.try_get_i64()?);
        let end = Offset(bytes.try_get_i64()?);
        let mut epochs = Vec::new();
        for _ in 0..bytes.try_get_u32()? {
            epochs.push((
                LeaderEpoch(bytes.try_get_i32()?),
                Offset(bytes.try_get_i64()?),
            ));
        }
        let epochs = Epochs::from_entries(epochs).ok_or(StateError::Impossible("epoch"))?;
        let mut producers = Producers::default();
        for _ in 0..bytes.try_get_u32()? {
            let (id, entry) = get_producer(bytes)?;
            producers.restore(id, entry);
        }
        let mut segments = Vec::new();
        for _ in 0..bytes.try_get_u32()? {
            segments.push(get_segment(bytes, id)?);
        }
        let index_tail = get_index_tail(bytes, segments.last())?;
        let mut holes = Vec::new();
        for _ in 0..bytes.try_get_u32()? {
            holes.push((Offset(bytes.try_get_i64()?), Offset(bytes.try_get_i64()?)));
        }
        let beyond = |hole: &Hole| hole.0 < start || hole.1 > end;
        let holes = Holes::from_entries(holes)
            .filter(|holes| !holes.entries().iter().any(beyond))
            .ok_or(StateError::Impossible("hole"))?;
        let damage_len = bytes.try_get_u32()? as usize;
        if damage_len > bytes.len() {
            return Err(StateError::Short);
        }
        let damage = String::from_utf8(bytes.split_to(damage_len).to_vec())
            .map_err(|_| StateError::Impossible("reason"))?;
        let cleaned_end = match form {
            StateForm::V1 => Offset::ZERO,
            StateForm::V2 => Offset(bytes.try_get_i64()?),
        };
        if start < Offset::ZERO || end < start || cleaned_end < Offset::ZERO || cleaned_end > end {
            return Err(StateError::Impossible("offset range"));
        }
        Ok(LogState {
            id,
            start,
            end,
            epochs,
            producers,
            segments,
            index_tail,
            holes,
            damage: (!damage.is_empty()).then_some(damage),
            cleaned_end,
        })
    }
}

fn get_index_tail(
    bytes: &mut Bytes,
    last: Option<&Segment>,
) -> Result<Vec<IndexEntry>, StateError> {
    let impossible = StateError::Impossible("index entry");
    let len = u64::from(bytes.try_get_u32()?) * INDEX_ENTRY_BYTES as u64;
    if len > bytes.len() as u64 {
        return Err(StateError::Short);
    }
    if len > last.map_or(0, |segment| segment.index_bytes) {
        return Err(impossible);
    }
    let taken = bytes.split_to(len as usize);
    let (entries, _) = taken.as_chunks();
    let entries = entries.iter().map(IndexEntry::get);
    entries.collect::<Option<_>>().ok_or(impossible)
}

fn put_producer(out: &mut BytesMut, id: ProducerId, entry: &ProducerEntry) {
    out.put_i64(id.0);
    out.put_i16(entry.epoch.0);
    out.put_i64(entry.last_append.0);
    out.put_u8(entry.batches.len() as u8);
    for batch in &entry.batches {
        out.put_i32(batch.first_sequence.0);
        out.put_i32(batch.last_sequence.0);
        out.put_i64(batch.base_offset.0);
        out.put_i64(batch.last_offset.0);
        out.put_i64(batch.timestamp.0);
    }
}

fn get_producer(bytes: &mut Bytes) -> Result<(ProducerId, ProducerEntry), StateError> {
    let id = ProducerId(bytes.try_get_i64()?);
    let epoch = ProducerEpoch(bytes.try_get_i16()?);
    let last_append = TimestampMs(bytes.try_get_i64()?);
    let count = usize::from(bytes.try_get_u8()?);
    if count > REMEMBERED_BATCHES {
        return Err(StateError::Impossible("number of remembered batches"));
    }
    let mut batches = std::collections::VecDeque::with_capacity(count);
    for _ in 0..count {
        batches.push_back(BatchEntry {
            first_sequence: Sequence(bytes.try_get_i32()?),
            last_sequence: Sequence(bytes.try_get_i32()?),
            base_offset: Offset(bytes.try_get_i64()?),
            last_offset: Offset(bytes.try_get_i64()?),
            timestamp: TimestampMs(bytes.try_get_i64()?),
        });
    }
    let entry = ProducerEntry {
        epoch,
        last_append,
        batches,
    };
    Ok((id, entry))
}

fn put_segment(out: &mut BytesMut, segment: &Segment) {
    out.put_i64(segment.id.base.0);
    out.put_u32(segment.id.generation);
    out.put_u64(segment.bytes);
    out.put_u64(segment.index_bytes);
    out.put_i64(segment.next_offset.0);
    out.put_i64(segment.first_timestamp.0);
    out.put_i64(segment.max_timestamp.0);
    out.put_i64(segment.max_timestamp_batch.0);
    out.put_u64(segment.since_index_bytes);
}

fn get_segment(bytes: &mut Bytes, partition: PartitionId) -> Result<Segment, StateError> {
    Ok(Segment {
        id: SegmentId {
            partition,
            base: Offset(bytes.try_get_i64()?),
            generation: bytes.try_get_u32()?,
        },
        bytes: bytes.try_get_u64()?,
        index_bytes: bytes.try_get_u64()?,
        next_offset: Offset(bytes.try_get_i64()?),
        first_timestamp: TimestampMs(bytes.try_get_i64()?),
        max_timestamp: TimestampMs(bytes.try_get_i64()?),
        max_timestamp_batch: Offset(bytes.try_get_i64()?),
        since_index_bytes: bytes.try_get_u64()?,
    })
}
