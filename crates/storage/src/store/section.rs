//! A shard's part of a checkpoint, and its bytes. All integers are big endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use wiber_model::{Offset, PartitionId, TopicId};

use crate::io::{FileId, SegmentId};
use crate::log::{LogState, StateError, StateForm};

const SEGMENT_KIND: u8 = 1;
const INDEX_KIND: u8 = 2;

/// A shard's part of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardSection {
    /// The logs, as of the section's cut.
    pub logs: Vec<LogState>,
    /// Files that no log lists any more, to be deleted once the checkpoint is durable.
    pub doomed: Vec<FileId>,
}

impl ShardSection {
    /// The bytes of a section whose logs are encoded already.
    #[must_use]
    pub fn encode(logs: &[Bytes], doomed: &[FileId]) -> Bytes {
        let mut out = BytesMut::with_capacity(16 + logs.iter().map(Bytes::len).sum::<usize>());
        out.put_u32(logs.len() as u32);
        for log in logs {
            out.put_slice(log);
        }
        let segments = doomed.iter().filter_map(|file| match file {
            FileId::Segment(segment) => Some((SEGMENT_KIND, segment)),
            FileId::Index(segment) => Some((INDEX_KIND, segment)),
            _ => None,
        });
        out.put_u32(segments.clone().count() as u32);
        for (kind, segment) in segments {
            out.put_u8(kind);
            out.put_slice(&segment.partition.topic.0);
            out.put_i32(segment.partition.partition);
            out.put_i64(segment.base.0);
            out.put_u32(segment.generation);
        }
        out.freeze()
    }

    /// Reads a section of a checkpoint whose logs are in that form.
    ///
    /// # Errors
    /// If the bytes are cut short or hold what cannot be.
    pub fn decode(mut bytes: Bytes, form: StateForm) -> Result<ShardSection, StateError> {
        let mut section = ShardSection::default();
        for _ in 0..bytes.try_get_u32()? {
            section.logs.push(LogState::decode(&mut bytes, form)?);
        }
        for _ in 0..bytes.try_get_u32()? {
            let kind = bytes.try_get_u8()?;
            let mut topic = [0; 16];
            bytes.try_copy_to_slice(&mut topic)?;
            let partition = PartitionId {
                topic: TopicId(topic),
                partition: bytes.try_get_i32()?,
            };
            let segment = SegmentId {
                partition,
                base: Offset(bytes.try_get_i64()?),
                generation: bytes.try_get_u32()?,
            };
            section.doomed.push(match kind {
                SEGMENT_KIND => FileId::Segment(segment),
                INDEX_KIND => FileId::Index(segment),
                _ => return Err(StateError::Impossible("kind of file")),
            });
        }
        if !bytes.is_empty() {
            return Err(StateError::Impossible("rest"));
        }
        Ok(section)
    }
}
