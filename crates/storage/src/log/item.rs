//! What stands in a segment: batches, and in one that was compacted, marks where batches were removed.
//!
//! A batch's offset is not under its checksum. In a segment as it was appended, each batch begins where the one before ended, and so a
//! damaged offset is seen. In a compacted one a mark stands wherever offsets are missing, so that this holds there too. Marks
//! never leave the disk.

use bytes::{Buf, Bytes};
use wiber_model::batch::crc32c;
use wiber_model::{Batch, BatchError, Offset};

/// Bytes of a mark.
pub const GAP_BYTES: usize = 29;

/// Where a batch has its format's number, 2.
const MAGIC_AT: usize = 16;
const MAGIC: u8 = b'G';
const CRC_AT: usize = 17;
const TO_AT: usize = 21;
/// Bytes behind the length, as in a batch.
const LENGTH: i32 = 17;

/// Offsets whose batches were removed by compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub from: Offset,
    /// The offset after the last one.
    pub to: Offset,
}

/// The next thing in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A batch.
    Batch(Batch),
    /// A mark.
    Gap(Gap),
}

impl Gap {
    /// Its bytes: laid out as a batch's up to the format's number.
    #[must_use]
    pub fn encode(self) -> [u8; GAP_BYTES] {
        let mut out = [0; GAP_BYTES];
        out[..8].copy_from_slice(&self.from.0.to_be_bytes());
        out[8..12].copy_from_slice(&LENGTH.to_be_bytes());
        out[MAGIC_AT] = MAGIC;
        out[TO_AT..].copy_from_slice(&self.to.0.to_be_bytes());
        let crc = checksum(&out);
        out[CRC_AT..TO_AT].copy_from_slice(&crc.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8; GAP_BYTES]) -> Result<Gap, BatchError> {
        let stored = (&bytes[CRC_AT..TO_AT]).get_u32();
        let computed = checksum(bytes);
        if stored != computed {
            return Err(BatchError::Crc { stored, computed });
        }
        let (from, to) = ((&bytes[..8]).get_i64(), (&bytes[TO_AT..]).get_i64());
        if from >= to {
            return Err(BatchError::Header("the mark of a gap has no offsets"));
        }
        Ok(Gap {
            from: Offset(from),
            to: Offset(to),
        })
    }
}

impl Item {
    /// Takes the next thing off the front of `bytes`.
    ///
    /// # Errors
    /// If it is not whole, or neither a batch nor a mark. Of a batch only the header was looked at.
    pub fn split_from(bytes: &mut Bytes) -> Result<Item, BatchError> {
        if bytes.get(MAGIC_AT) != Some(&MAGIC) {
            return Batch::split_from(bytes).map(Item::Batch);
        }
        let Some(mark) = bytes.first_chunk() else {
            return Err(BatchError::Truncated {
                needed: GAP_BYTES,
                available: bytes.len(),
            });
        };
        let gap = Gap::decode(mark)?;
        bytes.advance(GAP_BYTES);
        Ok(Item::Gap(gap))
    }

    /// The first offset that it stands for.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        match self {
            Item::Batch(batch) => batch.base_offset(),
            Item::Gap(gap) => gap.from,
        }
    }

    /// The offset after the last one that it stands for.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        match self {
            Item::Batch(batch) => batch.next_offset(),
            Item::Gap(gap) => gap.to,
        }
    }

    /// Its bytes in the segment.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Item::Batch(batch) => batch.size_bytes(),
            Item::Gap(_) => GAP_BYTES,
        }
    }
}

/// Of all but the checksum itself.
fn checksum(mark: &[u8; GAP_BYTES]) -> u32 {
    let mut covered = [0; GAP_BYTES - 4];
    covered[..CRC_AT].copy_from_slice(&mark[..CRC_AT]);
    covered[CRC_AT..].copy_from_slice(&mark[TO_AT..]);
    crc32c(&covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Gap = Gap {
        from: Offset(7),
        to: Offset(1_000_000_000_007),
    };

    #[test]
    fn a_mark_reads_back() {
        let mut bytes = Bytes::from([&GAP.encode()[..], b"rest"].concat());
        assert_eq!(Item::split_from(&mut bytes), Ok(Item::Gap(GAP)));
        assert_eq!(&bytes[..], b"rest");
        // docs/format.md has these.
        let golden = "000000000000000700000011000000004777acd2ae000000e8d4a51007";
        let hex: String = GAP.encode().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, golden);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let good = GAP.encode();
        for bit in 0..GAP_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Item::split_from(&mut Bytes::copy_from_slice(&bad)).is_err());
        }
        for cut in 0..GAP_BYTES {
            let mut cut = Bytes::copy_from_slice(&good[..cut]);
            let truncated = matches!(
                Item::split_from(&mut cut),
                Err(BatchError::Truncated { .. })
            );
            assert!(truncated);
        }
    }
}
