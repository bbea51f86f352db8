//! Kafka's record batch, version 2 (KIP-98), as a view of the bytes that the client sent.
//!
//! The same bytes go from socket to disk to socket. Two header fields lie outside the checksum, the base offset and the
//! leader epoch; they are patched in place when the batch gets its offset.
//!
//! Invariant: a [`Batch`] has a whole header, magic 2, and exactly as many bytes as its header declares. Nothing else
//! about it may be trusted before its checksum and its records were validated.

mod builder;
mod record;
mod retained;

use std::fmt;

use bytes::Bytes;

use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

pub use builder::BatchBuilder;
pub use record::{Header, RecordView, Records, put_restamped, put_varint, put_varlong};
pub use retained::Retained;

/// Bytes before the declared length counts: base offset and length.
pub const LOG_OVERHEAD_BYTES: usize = 12;
/// Bytes of a batch before its first record.
pub const HEADER_BYTES: usize = 61;
/// Where the checksum's range begins: it covers all from the attributes on.
pub const CRC_START: usize = 21;

const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const COUNT_AT: usize = 57;

const TIMESTAMP_TYPE_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;
const COMPRESSION_BITS: i16 = 0x07;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy, in xerial's framing or bare.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// RFC 8878 (KIP-110).
    Zstd,
}

impl Compression {
    /// The number that a batch's attributes have for it.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }
}

/// Where the timestamps of a batch come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimestampType {
    /// The producer set them.
    CreateTime,
    /// The broker set one for all when it appended.
    LogAppendTime,
}

/// Why bytes are not a record batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BatchError {
    /// Fewer bytes than a header has, or than the header declares.
    Truncated {
        /// Bytes that the batch needs.
        needed: usize,
        /// Bytes that there are.
        available: usize,
    },
    /// The declared length cannot be: it is less than a header takes.
    Length(i32),
    /// Message formats 0 and 1 are gone since Kafka 4.0; others never were.
    Magic(i8),
    /// The checksum does not match.
    Crc {
        /// As the header has it.
        stored: u32,
        /// As the bytes have it.
        computed: u32,
    },
    /// Compression codes 5 to 7 are not in use.
    Compression(i16),
    /// A record is not as the format demands.
    Record {
        /// Its index in the batch, from 0.
        index: i32,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The header contradicts itself or the records.
    Header(&'static str),
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchError::Truncated { needed, available } => {
                write!(f, "the batch needs {needed} bytes and {available} are left")
            }
            BatchError::Length(length) => write!(f, "a batch cannot have a length of {length}"),
            BatchError::Magic(magic) => {
                write!(f, "record format {magic} is not served, only format 2 is")
            }
            BatchError::Crc { stored, computed } => write!(
                f,
                "the checksum in the header is {stored:08x} and that of the bytes {computed:08x}"
            ),
            BatchError::Compression(code) => write!(f, "compression code {code} is not defined"),
            BatchError::Record { index, problem } => write!(f, "record {index}: {problem}"),
            BatchError::Header(problem) => write!(f, "batch header: {problem}"),
        }
    }
}

impl std::error::Error for BatchError {}

/// One record batch, of any compression.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch(Bytes);

impl Batch {
    /// Takes the batch at the front of `bytes` off it.
    ///
    /// # Errors
    /// If the header is not whole, not of format 2, or declares more bytes than there are.
    pub fn split_from(bytes: &mut Bytes) -> Result<Batch, BatchError> {
        let size = Batch::size_at(bytes)?;
        Ok(Batch(bytes.split_to(size)))
    }

    /// The whole size in bytes of the batch at the front of `bytes`, which holds all of it.
    ///
    /// # Errors
    /// As [`Batch::split_from`].
    pub fn size_at(bytes: &[u8]) -> Result<usize, BatchError> {
        let truncated = |needed| BatchError::Truncated {
            needed,
            available: bytes.len(),
        };
        if bytes.len() <= MAGIC_AT {
            return Err(truncated(HEADER_BYTES));
        }
        // The magic byte is at the same place in all formats, so an old one is told by name.
        let magic = bytes[MAGIC_AT] as i8;
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        let length = i32::from_be_bytes(array(bytes, LENGTH_AT));
        let size =
            usize::try_from(length).map_err(|_| BatchError::Length(length))? + LOG_OVERHEAD_BYTES;
        if size < HEADER_BYTES {
            return Err(BatchError::Length(length));
        }
        if size > bytes.len() {
            return Err(truncated(size));
        }
        Ok(size)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bytes, given up.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Size in bytes, header included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.0.len()
    }

    /// The offset of the first record.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        Offset(i64::from_be_bytes(array(&self.0, 0)))
    }

    /// The offset of the last record; compaction may have removed the record itself.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset().plus(i64::from(self.last_offset_delta()))
    }

    /// The offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// The leader epoch that the batch was appended in.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(i32::from_be_bytes(array(&self.0, LEADER_EPOCH_AT)))
    }

    /// The last offset less the base offset.
    #[must_use]
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(array(&self.0, LAST_OFFSET_DELTA_AT))
    }

    /// What the records' timestamp deltas count from.
    #[must_use]
    pub fn base_timestamp(&self) -> TimestampMs {
        TimestampMs(i64::from_be_bytes(array(&self.0, BASE_TIMESTAMP_AT)))
    }

    /// The largest timestamp of a record.
    #[must_use]
    pub fn max_timestamp(&self) -> TimestampMs {
        TimestampMs(i64::from_be_bytes(array(&self.0, MAX_TIMESTAMP_AT)))
    }

    /// The producer, or [`ProducerId::NONE`].
    #[must_use]
    pub fn producer_id(&self) -> ProducerId {
        ProducerId(i64::from_be_bytes(array(&self.0, PRODUCER_ID_AT)))
    }

    /// The producer's incarnation.
    #[must_use]
    pub fn producer_epoch(&self) -> ProducerEpoch {
        ProducerEpoch(i16::from_be_bytes(array(&self.0, PRODUCER_EPOCH_AT)))
    }

    /// The sequence of the first record.
    #[must_use]
    pub fn base_sequence(&self) -> Sequence {
        Sequence(i32::from_be_bytes(array(&self.0, BASE_SEQUENCE_AT)))
    }

    /// The sequence of the last record.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        self.base_sequence().plus(self.last_offset_delta())
    }

    /// How many records the header says that there are.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        i32::from_be_bytes(array(&self.0, COUNT_AT))
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// If the code is not defined.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        match self.attributes() & COMPRESSION_BITS {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Snappy),
            3 => Ok(Compression::Lz4),
            4 => Ok(Compression::Zstd),
            code => Err(BatchError::Compression(code)),
        }
    }

    /// Where the timestamps come from.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes() & TIMESTAMP_TYPE_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch is part of a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes() & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds control records, which only brokers write.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes() & CONTROL_BIT != 0
    }

    /// The records' bytes, compressed as the attributes say.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.0.slice(HEADER_BYTES..)
    }

    /// Compares the checksum with the bytes.
    ///
    /// # Errors
    /// [`BatchError::Crc`] if they differ.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let stored = u32::from_be_bytes(array(&self.0, CRC_AT));
        let computed = crc32c(&self.0[CRC_START..]);
        if stored == computed {
            Ok(())
        } else {
            Err(BatchError::Crc { stored, computed })
        }
    }

    /// The same batch at its place in the log. Copies the bytes only if somebody else holds a part of the same
    /// allocation.
    #[must_use]
    pub fn placed(self, base_offset: Offset, epoch: LeaderEpoch) -> Batch {
        let mut bytes = self
            .0
            .try_into_mut()
            .unwrap_or_else(|shared| shared.as_ref().into());
        bytes[..LENGTH_AT].copy_from_slice(&base_offset.0.to_be_bytes());
        bytes[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&epoch.0.to_be_bytes());
        Batch(bytes.freeze())
    }

    /// The same records compressed otherwise: `bytes` has room for the header, [`HEADER_BYTES`], and then the new payload.
    ///
    /// # Panics
    /// If the room is not there.
    #[must_use]
    pub fn recompressed(&self, compression: Compression, mut bytes: Vec<u8>) -> Batch {
        let length = (bytes.len() - LOG_OVERHEAD_BYTES) as i32;
        let attributes = self.attributes() & !COMPRESSION_BITS | compression.code();
        bytes[..HEADER_BYTES].copy_from_slice(&self.0[..HEADER_BYTES]);
        bytes[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&length.to_be_bytes());
        bytes[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&attributes.to_be_bytes());
        let crc = crc32c(&bytes[CRC_START..]);
        bytes[CRC_AT..CRC_START].copy_from_slice(&crc.to_be_bytes());
        Batch(Bytes::from(bytes))
    }

    /// The same batch with one timestamp for all its records, as `message.timestamp.type=LogAppendTime` asks for.
    #[must_use]
    pub fn stamped(self, time: TimestampMs) -> Batch {
        let attributes = self.attributes() | TIMESTAMP_TYPE_BIT;
        self.restamped(attributes, time)
    }

    /// The same batch with its largest timestamp put right, for a producer that declared another one.
    #[must_use]
    pub fn with_max_timestamp(self, time: TimestampMs) -> Batch {
        let attributes = self.attributes();
        self.restamped(attributes, time)
    }

    fn restamped(self, attributes: i16, time: TimestampMs) -> Batch {
        let mut bytes = self
            .0
            .try_into_mut()
            .unwrap_or_else(|shared| shared.as_ref().into());
        bytes[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&attributes.to_be_bytes());
        bytes[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&time.0.to_be_bytes());
        let crc = crc32c(&bytes[CRC_START..]);
        bytes[CRC_AT..CRC_START].copy_from_slice(&crc.to_be_bytes());
        Batch(bytes.freeze())
    }

    fn attributes(&self) -> i16 {
        i16::from_be_bytes(array(&self.0, ATTRIBUTES_AT))
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Batch {{ offsets {}..={}, epoch {}, records {}, bytes {}, producer {}/{}, sequence {} }}",
            self.base_offset(),
            self.last_offset(),
            self.leader_epoch(),
            self.record_count(),
            self.size_bytes(),
            self.producer_id(),
            self.producer_epoch(),
            self.base_sequence()
        )
    }
}

/// Walks the batches that stand one after another in some bytes; stops after the first error.
#[derive(Clone, Debug)]
pub struct Batches(Bytes);

impl Batches {
    /// A walk over `bytes`.
    #[must_use]
    pub fn new(bytes: Bytes) -> Batches {
        Batches(bytes)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let batch = Batch::split_from(&mut self.0);
        if batch.is_err() {
            self.0 = Bytes::new();
        }
        Some(batch)
    }
}

/// CRC-32C (Castagnoli), the checksum of batches and of everything that Wiber writes.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The `N` bytes at `at`, which the caller knows to be there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;

    fn sample() -> Batch {
        let mut builder = BatchBuilder::new(TimestampMs(1_000));
        builder.push(TimestampMs(1_000), Some(b"k1"), Some(b"v1"), &[]);
        builder.push(
            TimestampMs(1_005),
            None,
            Some(b"v2"),
            &[("h", Some(b"x")), ("h", None)],
        );
        builder.build()
    }

    #[test]
    fn a_built_batch_reads_back() {
        let batch = sample();
        batch.check_crc().unwrap();
        assert_eq!(batch.record_count(), 2);
        assert_eq!(batch.last_offset(), Offset(1));
        assert_eq!(batch.max_timestamp(), TimestampMs(1_005));
        let payload = batch.payload();
        let records: Vec<_> = Records::new(&payload, 2).collect::<Result<_, _>>().unwrap();
        assert_eq!(records[0].key, Some(&b"k1"[..]));
        assert_eq!(records[1].timestamp_delta, 5);
        let headers: Vec<_> = records[1].headers().collect::<Result<_, _>>().unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(
            headers[1],
            Header {
                key: b"h",
                value: None
            }
        );
    }

    #[test]
    fn placing_keeps_the_checksum_and_does_not_copy_what_nobody_shares() {
        let batch = sample();
        let at = batch.bytes().as_ptr();
        let placed = batch.placed(Offset(77), LeaderEpoch(4));
        assert_eq!(placed.bytes().as_ptr(), at);
        placed.check_crc().unwrap();
        assert_eq!(placed.base_offset(), Offset(77));
        assert_eq!(placed.leader_epoch(), LeaderEpoch(4));
        let other = placed.clone();
        let moved = placed.placed(Offset(78), LeaderEpoch(5));
        assert_eq!(
            other.base_offset(),
            Offset(77),
            "a shared batch must not change"
        );
        assert_eq!(moved.base_offset(), Offset(78));
    }

    #[test]
    fn stamping_makes_a_new_checksum() {
        let batch = sample().stamped(TimestampMs(9));
        batch.check_crc().unwrap();
        assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(batch.max_timestamp(), TimestampMs(9));
        let corrected = sample().with_max_timestamp(TimestampMs(9));
        corrected.check_crc().unwrap();
        assert_eq!(corrected.timestamp_type(), TimestampType::CreateTime);
        assert_eq!(corrected.max_timestamp(), TimestampMs(9));
    }

    #[test]
    fn a_flipped_bit_is_seen() {
        let mut bytes = BytesMut::from(&sample().into_bytes()[..]);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let batch = Batch::split_from(&mut bytes.freeze()).unwrap();
        assert!(matches!(batch.check_crc(), Err(BatchError::Crc { .. })));
    }

    #[test]
    fn bytes_that_are_no_batch_are_refused() {
        let good = sample().into_bytes();
        for cut in 0..good.len() {
            assert!(matches!(
                Batch::size_at(&good[..cut]),
                Err(BatchError::Truncated { .. })
            ));
        }
        let mut old = good.to_vec();
        old[MAGIC_AT] = 1;
        assert_eq!(Batch::size_at(&old), Err(BatchError::Magic(1)));
        let mut short = good.to_vec();
        short[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&10i32.to_be_bytes());
        assert_eq!(Batch::size_at(&short), Err(BatchError::Length(10)));
        short[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&(-1i32).to_be_bytes());
        assert_eq!(Batch::size_at(&short), Err(BatchError::Length(-1)));
    }
}
