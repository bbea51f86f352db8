//! What the write-ahead log holds: frames.
//!
//! A frame is a header of [`HEADER_BYTES`] and a body, each with a checksum of its own: where a body went bad, the header
//! still says whose it was. A header's checksum also covers the frame's LSN and the opening that wrote it, which stand in
//! the group's header; so a frame left behind by the former life of an extent is never taken for a live one.
//!
//! Invariant: a decoded frame is exactly what was encoded; a batch in it is a slice of the bytes that it was read from.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use wiber_model::batch::crc32c;
use wiber_model::limit::MAX_BATCH_BYTES;
use wiber_model::{Batch, LeaderEpoch, Lsn, Offset, PartitionId, TopicId};

/// Bytes of a frame before its body.
pub const HEADER_BYTES: usize = 48;

/// The largest body of a frame.
pub const MAX_BODY_BYTES: usize = MAX_BATCH_BYTES;

const CRC_AT: usize = 44;
const KIND_AT: usize = 8;
const EPOCH_START_BYTES: usize = 32;
const RELAXED: u8 = 1;

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
    /// Opaque to storage: the controller's log entries and hard state.
    Metadata(Bytes),
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum FrameKind {
    /// [`Frame::Batch`].
    Batch = 1,
    /// [`Frame::Epochs`].
    Epochs = 2,
    /// [`Frame::LogStart`].
    LogStart = 3,
    /// [`Frame::Metadata`].
    Metadata = 5,
}

/// How a frame came into the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Who appended it.
    pub participant: Participant,
    /// Whether its topic is relaxed (S6).
    pub relaxed: bool,
    /// The opening of the log that wrote it.
    pub opening: u64,
    /// Its LSN.
    pub lsn: Lsn,
}

/// The header of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// What the frame is.
    pub kind: FrameKind,
    /// Who appended it.
    pub participant: Participant,
    /// Whether its topic is relaxed (S6).
    pub relaxed: bool,
    /// The partition; all zeros where the frame has none or several.
    pub partition: PartitionId,
    /// A batch's base offset, or the log start; else 0.
    pub offset: Offset,
    /// A batch's last offset less its base offset; else 0.
    pub last_offset_delta: i32,
    /// Bytes of the body.
    pub body_bytes: u32,
    body_crc: u32,
}

/// Why bytes are not the frame that should be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// The header is damaged or another frame's: nobody knows where the next frame begins.
    Header,
    /// The body is damaged.
    Body(FrameHeader),
}

impl Frame {
    /// Bytes that the frame takes in the log, header included.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        HEADER_BYTES
            + match self {
                Frame::Batch { batch, .. } => batch.size_bytes(),
                Frame::Epochs(starts) => starts.len() * EPOCH_START_BYTES,
                Frame::LogStart { .. } => 0,
                Frame::Metadata(bytes) => bytes.len(),
            }
    }

    /// Appends the frame to `out`.
    pub fn encode(&self, origin: Origin, out: &mut BytesMut) {
        let start = out.len();
        out.put_bytes(0, HEADER_BYTES);
        match self {
            Frame::Batch { batch, .. } => out.extend_from_slice(batch.bytes()),
            Frame::Epochs(starts) => starts.iter().for_each(|start| start.encode(out)),
            Frame::LogStart { .. } => {}
            Frame::Metadata(bytes) => out.extend_from_slice(bytes),
        }
        let body = &out[start + HEADER_BYTES..];
        let header = self.header(origin, body.len() as u32, crc32c(body));
        out[start..start + HEADER_BYTES]
            .copy_from_slice(&header.encode(origin.opening, origin.lsn));
    }

    /// Reads the frame at the front of `bytes`, which `opening` wrote as `lsn`. It takes
    /// [`HEADER_BYTES`] + [`FrameHeader::body_bytes`] of them.
    ///
    /// # Errors
    /// As [`FrameError`] says.
    pub fn decode(
        bytes: &Bytes,
        opening: u64,
        lsn: Lsn,
    ) -> Result<(FrameHeader, Frame), FrameError> {
        let header = FrameHeader::decode(bytes, opening, lsn).ok_or(FrameError::Header)?;
        let end = HEADER_BYTES + header.body_bytes as usize;
        if bytes.len() < end {
            return Err(FrameError::Body(header));
        }
        let body = bytes.slice(HEADER_BYTES..end);
        if crc32c(&body) != header.body_crc {
            return Err(FrameError::Body(header));
        }
        let origin = Origin {
            participant: header.participant,
            relaxed: header.relaxed,
            opening,
            lsn,
        };
        match Frame::from_parts(&header, body) {
            Some(frame) if frame.header(origin, header.body_bytes, header.body_crc) == header => {
                Ok((header, frame))
            }
            _ => Err(FrameError::Body(header)),
        }
    }

    fn header(&self, origin: Origin, body_bytes: u32, body_crc: u32) -> FrameHeader {
        let nowhere = PartitionId::default();
        let (kind, partition, offset, last_offset_delta) = match self {
            Frame::Batch { partition, batch } => (
                FrameKind::Batch,
                *partition,
                batch.base_offset(),
                batch.last_offset_delta(),
            ),
            Frame::Epochs(_) => (FrameKind::Epochs, nowhere, Offset::ZERO, 0),
            Frame::LogStart { partition, start } => (FrameKind::LogStart, *partition, *start, 0),
            Frame::Metadata(_) => (FrameKind::Metadata, nowhere, Offset::ZERO, 0),
        };
        FrameHeader {
            kind,
            participant: origin.participant,
            relaxed: origin.relaxed,
            partition,
            offset,
            last_offset_delta,
            body_bytes,
            body_crc,
        }
    }

    /// The frame of a header and a body whose checksums hold; none if the body is not one of that kind, which only a bug or somebody who
    /// knows the checksum can bring about.
    fn from_parts(header: &FrameHeader, mut body: Bytes) -> Option<Frame> {
        let partition = header.partition;
        match header.kind {
            FrameKind::Batch => {
                let batch = Batch::split_from(&mut body).ok()?;
                body.is_empty().then_some(Frame::Batch { partition, batch })
            }
            FrameKind::Epochs => {
                if !body.len().is_multiple_of(EPOCH_START_BYTES) {
                    return None;
                }
                let starts = body.chunks_exact(EPOCH_START_BYTES);
                Some(Frame::Epochs(starts.map(EpochStart::decode).collect()))
            }
            FrameKind::LogStart => body.is_empty().then_some(Frame::LogStart {
                partition,
                start: header.offset,
            }),
            FrameKind::Metadata => Some(Frame::Metadata(body)),
        }
    }
}

impl FrameHeader {
    /// Whether a header may stand at the front of `bytes`, as far as it can be told without its checksum. What looks for headers in
    /// bytes of any kind passes over most places by this.
    pub(crate) fn may_begin(bytes: &[u8]) -> bool {
        let Some(header) = bytes.get(..HEADER_BYTES) else {
            return false;
        };
        let (mut body_bytes, kind, flags) = (&header[..4], header[KIND_AT], header[KIND_AT + 1]);
        FrameKind::from_code(kind).is_some()
            && flags & !RELAXED == 0
            && body_bytes.get_u32_le() as usize <= MAX_BODY_BYTES
    }

    /// Reads the header at the front of `bytes`; none if it is not whole or not that of this opening and LSN.
    #[must_use]
    pub fn decode(bytes: &[u8], opening: u64, lsn: Lsn) -> Option<FrameHeader> {
        if !FrameHeader::may_begin(bytes) {
            return None;
        }
        let mut header = bytes.get(..HEADER_BYTES)?;
        let whole = header;
        let body_bytes = header.get_u32_le();
        let body_crc = header.get_u32_le();
        let kind = FrameKind::from_code(header.get_u8())?;
        let flags = header.get_u8();
        let participant = Participant(header.get_u16_le());
        let partition = header.get_i32_le();
        let mut topic = [0; 16];
        header.copy_to_slice(&mut topic);
        let offset = Offset(header.get_i64_le());
        let last_offset_delta = header.get_i32_le();
        let stored = header.get_u32_le();
        let sound = stored == header_crc(&whole[..CRC_AT], opening, lsn);
        sound.then_some(FrameHeader {
            kind,
            participant,
            relaxed: flags & RELAXED != 0,
            partition: PartitionId {
                topic: TopicId(topic),
                partition,
            },
            offset,
            last_offset_delta,
            body_bytes,
            body_crc,
        })
    }

    fn encode(&self, opening: u64, lsn: Lsn) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut out = &mut bytes[..];
        out.put_u32_le(self.body_bytes);
        out.put_u32_le(self.body_crc);
        out.put_u8(self.kind as u8);
        out.put_u8(if self.relaxed { RELAXED } else { 0 });
        out.put_u16_le(self.participant.0);
        out.put_i32_le(self.partition.partition);
        out.put_slice(&self.partition.topic.0);
        out.put_i64_le(self.offset.0);
        out.put_i32_le(self.last_offset_delta);
        let crc = header_crc(&bytes[..CRC_AT], opening, lsn);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

impl FrameKind {
    fn from_code(code: u8) -> Option<FrameKind> {
        Some(match code {
            1 => FrameKind::Batch,
            2 => FrameKind::Epochs,
            3 => FrameKind::LogStart,
            5 => FrameKind::Metadata,
            _ => return None,
        })
    }
}

impl EpochStart {
    fn encode(&self, out: &mut BytesMut) {
        out.put_slice(&self.partition.topic.0);
        out.put_i32_le(self.partition.partition);
        out.put_i32_le(self.epoch.0);
        out.put_i64_le(self.start.0);
    }

    /// Reads one from exactly [`EPOCH_START_BYTES`].
    fn decode(mut bytes: &[u8]) -> EpochStart {
        let mut topic = [0; 16];
        bytes.copy_to_slice(&mut topic);
        EpochStart {
            partition: PartitionId {
                topic: TopicId(topic),
                partition: bytes.get_i32_le(),
            },
            epoch: LeaderEpoch(bytes.get_i32_le()),
            start: Offset(bytes.get_i64_le()),
        }
    }
}

/// The checksum of a frame's header: of the header itself, then opening and LSN.
fn header_crc(header: &[u8], opening: u64, lsn: Lsn) -> u32 {
    let mut bytes = [0; CRC_AT + 16];
    let mut out = &mut bytes[..];
    out.put_slice(header);
    out.put_u64_le(opening);
    out.put_u64_le(lsn.0);
    crc32c(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiber_model::TimestampMs;
    use wiber_model::batch::BatchBuilder;

    const LSN: Lsn = Lsn(77);
    const ORIGIN: Origin = Origin {
        participant: Participant(3),
        relaxed: true,
        opening: 5,
        lsn: LSN,
    };

    fn partition() -> PartitionId {
        PartitionId {
            topic: TopicId([7; 16]),
            partition: 12,
        }
    }

    fn samples() -> Vec<Frame> {
        let mut builder = BatchBuilder::new(TimestampMs(1_000));
        builder.push(TimestampMs(1_000), Some(b"k"), Some(b"value"), &[]);
        builder.push(TimestampMs(1_001), None, Some(b"other"), &[]);
        let partition = partition();
        vec![
            Frame::Batch {
                partition,
                batch: builder.build().placed(Offset(900), LeaderEpoch(4)),
            },
            Frame::Epochs(vec![
                EpochStart {
                    partition,
                    epoch: LeaderEpoch(4),
                    start: Offset(900),
                },
                EpochStart {
                    partition: PartitionId {
                        partition: 13,
                        ..partition
                    },
                    epoch: LeaderEpoch(1),
                    start: Offset(0),
                },
            ]),
            Frame::Epochs(Vec::new()),
            Frame::LogStart {
                partition,
                start: Offset(300),
            },
            Frame::Metadata(Bytes::from_static(b"raft")),
            Frame::Metadata(Bytes::new()),
        ]
    }

    fn encoded(frame: &Frame) -> Bytes {
        let mut out = BytesMut::new();
        frame.encode(ORIGIN, &mut out);
        out.freeze()
    }

    #[test]
    fn every_frame_reads_back() {
        for frame in samples() {
            let bytes = encoded(&frame);
            assert_eq!(bytes.len(), frame.encoded_len());
            let (header, decoded) = Frame::decode(&bytes, ORIGIN.opening, LSN).unwrap();
            assert_eq!(decoded, frame);
            assert_eq!(header.participant, Participant(3));
            assert!(header.relaxed);
        }
    }

    #[test]
    fn a_batch_is_not_copied_when_it_is_read() {
        let bytes = encoded(&samples()[0]);
        let (_, frame) = Frame::decode(&bytes, ORIGIN.opening, LSN).unwrap();
        let Frame::Batch { batch, .. } = frame else {
            panic!("a batch was encoded")
        };
        assert_eq!(batch.bytes().as_ptr(), bytes[HEADER_BYTES..].as_ptr());
    }

    #[test]
    fn a_frame_of_another_opening_or_place_is_not_taken() {
        let bytes = encoded(&samples()[0]);
        assert_eq!(Frame::decode(&bytes, 6, LSN), Err(FrameError::Header));
        assert_eq!(
            Frame::decode(&bytes, 5, LSN.next()),
            Err(FrameError::Header)
        );
    }

    #[test]
    fn a_header_that_contradicts_the_frame_is_not_taken() {
        for frame in samples() {
            let good = encoded(&frame);
            let body = &good[HEADER_BYTES..];
            let header = frame.header(ORIGIN, body.len() as u32, crc32c(body));
            let lie = FrameHeader {
                last_offset_delta: header.last_offset_delta + 1,
                ..header
            };
            let mut bad = lie.encode(ORIGIN.opening, LSN).to_vec();
            bad.extend_from_slice(body);
            let error = Frame::decode(&bad.into(), ORIGIN.opening, LSN).unwrap_err();
            assert_eq!(error, FrameError::Body(lie));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        for frame in samples() {
            let good = encoded(&frame);
            for bit in 0..good.len() * 8 {
                let mut bad = good.to_vec();
                bad[bit / 8] ^= 1 << (bit % 8);
                let error = Frame::decode(&bad.into(), ORIGIN.opening, LSN).unwrap_err();
                // With the body bad the header still says whose it was.
                let in_body = bit / 8 >= HEADER_BYTES;
                assert_eq!(matches!(error, FrameError::Body(_)), in_body, "bit {bit}");
            }
            for cut in 0..good.len() {
                assert!(Frame::decode(&good.slice(..cut), ORIGIN.opening, LSN).is_err());
            }
        }
    }
}
