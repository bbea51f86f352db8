//! A group of frames: what one write to the log consists of.
//!
//! A group begins on a block and fills whole blocks: a header, the frames one after another, zeros. The header names the
//! place that it was written to, and the group before it by number and checksum; so a group is live only where the chain of
//! groups leads to it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use wiber_model::Lsn;
use wiber_model::batch::crc32c;

use crate::checkpoint::Position;
use crate::identity::DirectoryId;
use crate::io::BLOCK_BYTES;
use crate::wal::WalError;

/// Bytes of a group before its frames.
pub const GROUP_HEADER_BYTES: usize = 128;

/// The version of the group's layout and of the frames in it.
pub const WAL_VERSION: u16 = 1;

const MAGIC: [u8; 4] = *b"WbrG";
const CRC_AT: usize = 124;
const LINK: u16 = 1;

/// Buffers up to this size are kept for the next group; larger ones, for oversize frames, are given back.
const KEPT_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// The header of a group. A group without frames is a link, if it names a next extent, or else a mark: it is there for its
/// durable LSN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupHeader {
    /// The directory that it belongs to.
    pub directory: DirectoryId,
    /// The opening of the log that wrote it; counts from 1.
    pub opening: u64,
    /// Counts the groups of a log, from 1.
    pub number: u64,
    /// The LSN of its first frame; without frames, that of the frame to come.
    pub first_lsn: Lsn,
    /// All frames up to here were durable when the group was issued.
    pub durable: Lsn,
    /// The last frame with metadata up to the end of this group; 0 if the log has none since it was checkpointed.
    pub metadata: Lsn,
    /// The extent that it was written to.
    pub extent: u32,
    /// The byte position that it was written to.
    pub at: u64,
    /// How many frames it has.
    pub frame_count: u32,
    /// Bytes of the frames, without header and padding.
    pub frame_bytes: u32,
    /// In a link, the extent that the log goes on in.
    pub next_extent: Option<u32>,
    /// The checksum of the group before it; 0 in the very first.
    pub previous: u32,
}

impl GroupHeader {
    /// The header of the next group at `position`.
    pub(super) fn at(
        position: &Position,
        directory: DirectoryId,
        opening: u64,
        durable: Lsn,
        metadata: Lsn,
    ) -> GroupHeader {
        GroupHeader {
            directory,
            opening,
            number: position.number,
            first_lsn: position.lsn,
            durable,
            metadata,
            extent: position.extent,
            at: position.at,
            frame_count: 0,
            frame_bytes: 0,
            next_extent: None,
            previous: position.previous,
        }
    }

    /// Bytes that the group takes in its extent.
    #[must_use]
    pub fn group_bytes(&self) -> u64 {
        blocks(GROUP_HEADER_BYTES + self.frame_bytes as usize) as u64
    }

    /// The LSN of the frame after the last one.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        Lsn(self.first_lsn.0 + u64::from(self.frame_count))
    }

    /// Where the next group goes, this group's checksum being `crc`.
    pub(super) fn next_position(&self, crc: u32) -> Position {
        Position {
            extent: self.next_extent.unwrap_or(self.extent),
            at: match self.next_extent {
                Some(_) => 0,
                None => self.at + self.group_bytes(),
            },
            number: self.number + 1,
            lsn: self.next_lsn(),
            previous: crc,
            opening: self.opening,
        }
    }

    /// Whether the group is the one that belongs to `position`.
    pub(super) fn belongs_to(&self, position: &Position) -> bool {
        self.extent == position.extent
            && self.at == position.at
            && self.number == position.number
            && self.first_lsn == position.lsn
            && self.previous == position.previous
            && self.opening >= position.opening
    }

    /// The header's bytes, and its checksum, which is the last part of them.
    pub(super) fn encode(&self) -> ([u8; GROUP_HEADER_BYTES], u32) {
        let mut bytes = [0; GROUP_HEADER_BYTES];
        let mut out = &mut bytes[..];
        out.put_slice(&MAGIC);
        out.put_u16_le(WAL_VERSION);
        out.put_u16_le(if self.next_extent.is_some() { LINK } else { 0 });
        out.put_slice(&self.directory.0);
        out.put_u64_le(self.opening);
        out.put_u64_le(self.number);
        out.put_u64_le(self.first_lsn.0);
        out.put_u64_le(self.durable.0);
        out.put_u64_le(self.at);
        out.put_u32_le(self.extent);
        out.put_u32_le(self.frame_count);
        out.put_u32_le(self.frame_bytes);
        out.put_u32_le(self.next_extent.unwrap_or(0));
        out.put_u32_le(self.previous);
        out.put_u32_le(0);
        out.put_u64_le(self.metadata.0);
        let crc = crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }

    /// Reads the header at the front of a block, and its checksum; none if there is no whole header.
    ///
    /// # Errors
    /// If there is one of a version that this binary does not read.
    pub(super) fn decode(block: &[u8]) -> Result<Option<(GroupHeader, u32)>, WalError> {
        let Some(mut bytes) = block.get(..GROUP_HEADER_BYTES) else {
            return Ok(None);
        };
        if bytes[..MAGIC.len()] != MAGIC {
            return Ok(None);
        }
        let computed = crc32c(&bytes[..CRC_AT]);
        let stored = (&bytes[CRC_AT..]).get_u32_le();
        if computed != stored {
            return Ok(None);
        }
        bytes.advance(MAGIC.len());
        let version = bytes.get_u16_le();
        if version != WAL_VERSION {
            return Err(WalError::Version(version));
        }
        let flags = bytes.get_u16_le();
        let mut directory = [0; 16];
        bytes.copy_to_slice(&mut directory);
        let opening = bytes.get_u64_le();
        let number = bytes.get_u64_le();
        let first_lsn = Lsn(bytes.get_u64_le());
        let durable = Lsn(bytes.get_u64_le());
        let at = bytes.get_u64_le();
        let extent = bytes.get_u32_le();
        let frame_count = bytes.get_u32_le();
        let frame_bytes = bytes.get_u32_le();
        let next_extent = bytes.get_u32_le();
        let previous = bytes.get_u32_le();
        bytes.advance(4);
        let metadata = Lsn(bytes.get_u64_le());
        let header = GroupHeader {
            directory: DirectoryId(directory),
            opening,
            number,
            first_lsn,
            durable,
            metadata,
            extent,
            at,
            frame_count,
            frame_bytes,
            next_extent: (flags & LINK != 0).then_some(next_extent),
            previous,
        };
        Ok(Some((header, stored)))
    }
}

/// `bytes` rounded up to whole blocks.
pub(super) fn blocks(bytes: usize) -> usize {
    bytes.next_multiple_of(BLOCK_BYTES)
}

/// Gives buffers whose first byte lies on a block boundary of memory, as direct I/O wants it, and takes them back.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    kept: Option<BytesMut>,
}

impl Buffers {
    /// An empty buffer with room for `bytes`; it must not grow beyond.
    pub(super) fn take(&mut self, bytes: usize) -> BytesMut {
        match self.kept.take() {
            Some(buffer) if buffer.capacity() >= bytes => buffer,
            _ => {
                let mut buffer = BytesMut::with_capacity(bytes + BLOCK_BYTES);
                let skip = buffer.as_ptr().align_offset(BLOCK_BYTES);
                buffer.put_bytes(0, skip);
                buffer.advance(skip);
                buffer
            }
        }
    }

    /// Takes a buffer back, if nobody else holds it any longer.
    pub(super) fn give_back(&mut self, buffer: Bytes) {
        if let Ok(mut buffer) = buffer.try_into_mut()
            && buffer.capacity() <= KEPT_BUFFER_BYTES
        {
            buffer.clear();
            self.kept = Some(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> GroupHeader {
        GroupHeader {
            directory: DirectoryId([9; 16]),
            opening: 2,
            number: 40,
            first_lsn: Lsn(100),
            metadata: Lsn(97),
            durable: Lsn(99),
            extent: 3,
            at: 8192,
            frame_count: 2,
            frame_bytes: 5000,
            next_extent: None,
            previous: 0xdead_beef,
        }
    }

    #[test]
    fn a_header_reads_back() {
        let link = GroupHeader {
            frame_count: 0,
            frame_bytes: 0,
            next_extent: Some(4),
            ..sample()
        };
        for header in [sample(), link] {
            let (bytes, crc) = header.encode();
            assert_eq!(GroupHeader::decode(&bytes), Ok(Some((header, crc))));
            let next = header.next_position(crc);
            assert_eq!(next.previous, crc);
            assert_eq!(next.number, 41);
        }
        assert_eq!(sample().next_position(0).at, 8192 + 8192);
        assert_eq!(link.next_position(0).extent, 4);
        assert_eq!(link.next_position(0).at, 0);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let (good, _) = sample().encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHeader::decode(&bad), Ok(None), "bit {bit}");
        }
        assert_eq!(
            GroupHeader::decode(&good[..GROUP_HEADER_BYTES - 1]),
            Ok(None)
        );
    }

    #[test]
    fn another_version_is_told_by_name() {
        let (mut bytes, _) = sample().encode();
        bytes[4] = 9;
        let crc = crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(GroupHeader::decode(&bytes), Err(WalError::Version(9)));
    }

    #[test]
    fn buffers_are_aligned_and_come_back() {
        let mut buffers = Buffers::default();
        for bytes in [1, 4096, 10_000, 1 << 20] {
            let mut buffer = buffers.take(bytes);
            let start = buffer.as_ptr();
            assert_eq!(start.align_offset(BLOCK_BYTES), 0);
            buffer.put_bytes(1, bytes);
            assert_eq!(buffer.as_ptr(), start, "the buffer must not move");
            buffers.give_back(buffer.freeze());
            let again = buffers.take(bytes);
            assert_eq!(again.as_ptr(), start);
            assert!(again.is_empty());
            let frozen = again.freeze();
            let held = frozen.clone();
            buffers.give_back(frozen);
            assert!(
                buffers.kept.is_none(),
                "somebody holds {} bytes",
                held.len()
            );
        }
    }
}
