//! Whether a client's batch may be appended, as Kafka's leader decides it (`ProduceRequest.validateRecords`,
//! `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`), for the one record format that is left, version 2.
//!
//! The batch stays the bytes that the client sent. It is rewritten in three cases, as in Kafka: the topic stamps its records with
//! the broker's time, or the header's largest timestamp is not that of the records, or the topic wants its records compressed
//! otherwise. Of the last, unlike in Kafka, the records themselves stay the same bytes.
//!
//! Stricter than Kafka, where Kafka would store what a consumer cannot read or would read otherwise:
//! - Offset deltas count from 0 without a gap. Kafka does not look at them in a plain batch, and rewrites a compressed one.
//! - Compressed records are checked as thoroughly as plain ones, and a payload that does not unfold is an invalid record;
//!   Kafka answers an unknown error.
//! - The producer never sets the attribute for LogAppendTime. Kafka lets it pass, and clears it, if the time is plausible.
//! - A producer id comes with an epoch, and neither is below −1.
//!
//! Invariant: no memory is taken for a record, however many there are or however large they say they are.

mod search;
mod walk;

use std::fmt;
use std::ops::ControlFlow;

use bytes::Bytes;
use wiber_model::batch::{
    Batch, BatchError, Compression, HEADER_BYTES, LOG_OVERHEAD_BYTES, TimestampType,
};
use wiber_model::limit::{
    DEFAULT_MAX_MESSAGE_BYTES, MAX_DECOMPRESSED_BATCH_BYTES, MAX_FRAME_BYTES,
};
use wiber_model::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use crate::compression::{
    Codec, Decoder, DecompressError, RecompressError, most_expansion, name, recompress,
};
use walk::{Sketch, walk};

pub use search::{find_by_timestamp, max_timestamp_record};
pub use walk::RecordsError;

/// How many rejected records a refusal lists. Kafka lists all; a batch can hold a million.
pub const RECORD_ERRORS_MAX: usize = 1000;

/// Up to this size a plain batch is validated where it arrives: at some ten nanoseconds a record, and the checksum at memory
/// speed, sooner done than handed over.
pub const INLINE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Up to this size a compressed payload is, if it also cannot unfold to more than [`INLINE_DECOMPRESSED_BYTES_MAX`].
pub const INLINE_COMPRESSED_BYTES_MAX: usize = 16 * 1024;
/// The most that may have to be unfolded where a batch arrives.
pub const INLINE_DECOMPRESSED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The most that a batch may unfold to that is brought into another form, in bytes: compressing costs more than checking, up to a second for
/// each 300 MB.
pub const RECOMPRESSED_UNFOLDED_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The least that a batch of any format declares as its length: that of format 0.
const OLDEST_LENGTH_MIN: i32 = 14;
/// Where the magic byte is in every format.
const MAGIC_AT: usize = 16;

/// What a topic and a request demand of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// `max.message.bytes`: the largest batch, header and all.
    pub max_message_bytes: usize,
    /// `segment.bytes`: a batch must fit a segment.
    pub segment_bytes: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record's time may lie back, in milliseconds, not negative.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far it may lie ahead, in milliseconds, not negative.
    pub timestamp_after_max_ms: i64,
    /// `cleanup.policy` has `compact`: records need keys.
    pub compacted: bool,
    /// Whether zstd is allowed: from Produce version 7 on (KIP-110).
    pub zstd: bool,
    /// The most that a compressed batch may unfold to, in bytes.
    pub decompressed_bytes_max: u64,
    /// `compression.type`: how records are compressed in the log; none for as the producer did. A batch in this codec already stays as
    /// it is, whatever its level.
    pub codec: Option<Codec>,
}

impl Rules {
    /// The codec that `batch` is to be brought into, if it is in another one.
    fn codec_for(&self, batch: &Batch) -> Option<Codec> {
        let differs = |codec: &Codec| batch.compression() != Ok(codec.compression);
        self.codec.filter(differs)
    }
}

/// Kafka's defaults, for a client of today.
impl Default for Rules {
    fn default() -> Rules {
        Rules {
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            segment_bytes: 1024 * 1024 * 1024,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 60 * 60 * 1000,
            compacted: false,
            zstd: true,
            decompressed_bytes_max: MAX_DECOMPRESSED_BATCH_BYTES,
            codec: None,
        }
    }
}

/// A batch that may be appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// The batch; its base offset is 0 and its largest timestamp the true one.
    pub batch: Batch,
    /// How many records it has, at least 1.
    pub record_count: i32,
    /// The largest timestamp of a record, or that of all with LogAppendTime; [`TimestampMs::NONE`] if no record has one.
    pub max_timestamp: TimestampMs,
    /// The index of the first record that has it.
    pub max_timestamp_delta: i32,
}

/// Why a batch is not appended. Each variant is one of Kafka's error codes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// CORRUPT_MESSAGE: the bytes are not what the client sent, so it may send them again.
    #[error("the record batch is damaged: {0}")]
    Corrupt(BatchError),
    /// INVALID_RECORD: the client made a batch that cannot be.
    #[error(transparent)]
    Invalid(Invalid),
    /// INVALID_RECORD: the batch is in order, records in it are not.
    #[error("{0}")]
    InvalidRecords(RecordErrors),
    /// INVALID_TIMESTAMP: the same, and the time of one of them is the reason.
    #[error("{0}")]
    InvalidTimestamps(RecordErrors),
    /// MESSAGE_TOO_LARGE. A producer that gets it splits the batch.
    #[error("{0}")]
    TooLarge(TooLarge),
    /// RECORD_LIST_TOO_LARGE: it does not fit a segment.
    #[error("the record batch has {size_bytes} bytes and segment.bytes is {segment_bytes}")]
    BeyondSegment {
        /// Of the batch.
        size_bytes: usize,
        /// As configured.
        segment_bytes: usize,
    },
    /// UNSUPPORTED_COMPRESSION_TYPE.
    #[error("{0}")]
    Compression(UnsupportedCompression),
}

/// What makes a batch invalid as a whole.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Invalid {
    /// There is none, or not all of one.
    #[error("there is no whole record batch")]
    NoBatch,
    /// It is of message format 0 or 1.
    #[error("record format {0} is not served, only format 2 is")]
    OldFormat(i8),
    /// There is more than one.
    #[error("there is more than one record batch for the partition")]
    ManyBatches,
    /// Its offsets do not begin at 0.
    #[error("the base offset of a new batch is 0, not {0}")]
    BaseOffset(Offset),
    /// It says that it has no records.
    #[error("a batch cannot have {count} records")]
    Count {
        /// As the header has it.
        count: i32,
    },
    /// Its count and its last offset contradict each other.
    #[error("a batch of {count} records cannot end at offset delta {last_offset_delta}")]
    LastOffset {
        /// As the header has it.
        count: i32,
        /// As the header has it.
        last_offset_delta: i32,
    },
    /// Only brokers write control records.
    #[error("clients do not write control records")]
    Control,
    /// An idempotent producer numbers its records.
    #[error(
        "producer {producer_id} with epoch {producer_epoch} and sequence {base_sequence} cannot be"
    )]
    Producer {
        /// As the header has it.
        producer_id: ProducerId,
        /// As the header has it.
        producer_epoch: ProducerEpoch,
        /// As the header has it.
        base_sequence: Sequence,
    },
    /// Its records have a gap in their offsets.
    #[error("record {index} has offset delta {offset_delta}")]
    OffsetDelta {
        /// Of the record, from 0; also the delta that it should have.
        index: i32,
        /// As the record has it.
        offset_delta: i32,
    },
    /// Its records cannot be read.
    #[error(transparent)]
    Records(RecordsError),
}

/// What of a batch is too large.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TooLarge {
    /// The batch.
    #[error("the record batch has {size_bytes} bytes and max.message.bytes is {max_message_bytes}")]
    Batch {
        /// Of the batch.
        size_bytes: usize,
        /// As configured.
        max_message_bytes: usize,
    },
    /// The batch, as the topic wants it compressed.
    #[error(
        "with compression {} the record batch has more bytes than max.message.bytes, which is {max_message_bytes}",
        name(*.compression)
    )]
    Recompressed {
        /// As `compression.type` demands.
        compression: Compression,
        /// As configured.
        max_message_bytes: usize,
    },
    /// All batches of the request, as their topics want them compressed.
    #[error(
        "the request's record batches, as compression.type of their topics demands them, have more than {limit_bytes} bytes"
    )]
    RecompressedInAll {
        /// The most that is allowed.
        limit_bytes: usize,
    },
    /// What it unfolds to.
    #[error("the records unfold to more than {limit_bytes} bytes")]
    Decompressed {
        /// The most that is allowed.
        limit_bytes: u64,
    },
}

/// What codec is not supported.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnsupportedCompression {
    /// The code is not defined.
    #[error("compression code {0} is not defined")]
    Undefined(i16),
    /// The request's version is too old for it.
    #[error("{} needs Produce version 7 or later", name(Compression::Zstd))]
    ZstdBeforeVersion7,
}

/// The records of a batch that were rejected (KIP-467).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordErrors {
    /// The first [`RECORD_ERRORS_MAX`] of them, in order.
    pub errors: Vec<RecordError>,
    /// How many there are.
    pub count: usize,
}

/// One rejected record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordError {
    /// Its index in the batch, from 0.
    pub index: i32,
    /// Why it was rejected; its text is for the client.
    pub problem: RecordProblem,
}

/// Why a record was rejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordProblem {
    /// The topic is compacted.
    #[error("a record of a compacted topic needs a key")]
    NoKey,
    /// Its time lies too far back or ahead.
    #[error(
        "timestamp {} is not within {} to {} as message.timestamp.before.max.ms and message.timestamp.after.max.ms demand",
        timestamp.0, earliest.0, latest.0
    )]
    Timestamp {
        /// Of the record.
        timestamp: TimestampMs,
        /// The earliest that was allowed.
        earliest: TimestampMs,
        /// The latest that was allowed.
        latest: TimestampMs,
    },
    /// The batch says that the broker set its time.
    #[error("a producer does not set the timestamp type LogAppendTime")]
    LogAppendTime,
}

impl fmt::Display for RecordErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the batch's records were rejected", self.count)?;
        match self.errors.first() {
            Some(first) => write!(
                f,
                ", the first is record {}: {}",
                first.index, first.problem
            ),
            None => Ok(()),
        }
    }
}

impl Refusal {
    /// The rejected records to name in the response.
    #[must_use]
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            Refusal::InvalidRecords(records) | Refusal::InvalidTimestamps(records) => {
                &records.errors
            }
            _ => &[],
        }
    }
}

impl From<TooLarge> for Refusal {
    fn from(too_large: TooLarge) -> Refusal {
        Refusal::TooLarge(too_large)
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Refusal {
        Refusal::Invalid(invalid)
    }
}

impl From<RecordsError> for Refusal {
    fn from(error: RecordsError) -> Refusal {
        match error {
            RecordsError::Decompress(DecompressError::TooLarge { limit_bytes }) => {
                Refusal::TooLarge(TooLarge::Decompressed { limit_bytes })
            }
            RecordsError::Format(BatchError::Compression(code)) => {
                Refusal::Compression(UnsupportedCompression::Undefined(code))
            }
            error => Refusal::Invalid(Invalid::Records(error)),
        }
    }
}

/// Checks the records that a client sent for one partition.
///
/// # Errors
/// A [`Refusal`] if they must not be appended.
pub fn validate(records: Bytes, rules: &Rules, now: TimestampMs) -> Result<Checked, Refusal> {
    Allowance::default().validate(records, rules, now)
}

/// What the batches of one request may still cost beyond their own bytes: a client that sends little must not take much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// What compressed batches may still unfold to, in bytes.
    unfolded_bytes: u64,
    /// What may still come of batches that are brought into another form, in bytes.
    recompressed_bytes: usize,
}

/// As much as one batch may unfold to, and as a producer can send in one request that brings its batches into the form itself.
impl Default for Allowance {
    fn default() -> Allowance {
        Allowance {
            unfolded_bytes: MAX_DECOMPRESSED_BATCH_BYTES,
            recompressed_bytes: MAX_FRAME_BYTES,
        }
    }
}

impl Allowance {
    /// As [`validate`], for one of several batches.
    ///
    /// # Errors
    /// As for [`validate`], and if nothing is left.
    pub fn validate(
        &mut self,
        records: Bytes,
        rules: &Rules,
        now: TimestampMs,
    ) -> Result<Checked, Refusal> {
        let batch = only_batch(records, rules)?;
        check_header(&batch)?;
        let codec = rules.codec_for(&batch);
        let most = codec.map_or(u64::MAX, |_| RECOMPRESSED_UNFOLDED_BYTES_MAX);
        let limit_bytes = rules
            .decompressed_bytes_max
            .min(most)
            .min(self.unfolded_bytes);
        let newest = check_records(&batch, rules, limit_bytes, now);
        if batch.compression() != Ok(Compression::None) {
            self.unfolded_bytes -= match &newest {
                Ok(newest) => newest.records_bytes.min(limit_bytes),
                Err(Refusal::TooLarge(_)) => limit_bytes,
                Err(_) => 0,
            };
        }
        let newest = newest?;
        let Some(codec) = codec else {
            return finish(batch, newest, rules, now);
        };
        let batch = recompressed(&batch, codec, newest.records_bytes, rules)?;
        let left = self.recompressed_bytes.checked_sub(batch.size_bytes());
        self.recompressed_bytes = left.ok_or(TooLarge::RecompressedInAll {
            limit_bytes: MAX_FRAME_BYTES,
        })?;
        finish(batch, newest, rules, now)
    }
}

/// The last checks and the last touch, once the batch has the form in which it is kept.
fn finish(
    batch: Batch,
    newest: Newest,
    rules: &Rules,
    now: TimestampMs,
) -> Result<Checked, Refusal> {
    let size_bytes = batch.size_bytes();
    if size_bytes > rules.segment_bytes {
        return Err(Refusal::BeyondSegment {
            size_bytes,
            segment_bytes: rules.segment_bytes,
        });
    }
    Ok(stamp(batch, newest, rules, now))
}

/// The batch with its records, `records_bytes` of them, in another form.
fn recompressed(
    batch: &Batch,
    codec: Codec,
    records_bytes: u64,
    rules: &Rules,
) -> Result<Batch, Refusal> {
    let from = batch.compression().map_err(RecordsError::Format)?;
    let payload = &batch.bytes()[HEADER_BYTES..];
    let decoder = Decoder::new(from, payload, rules.decompressed_bytes_max)
        .map_err(RecordsError::Decompress)?;
    let room = vec![0; HEADER_BYTES];
    let max_message_bytes = rules.max_message_bytes;
    match recompress(decoder, records_bytes, codec, room, max_message_bytes) {
        Ok(bytes) => Ok(batch.recompressed(codec.compression, bytes)),
        Err(RecompressError::Decompress(error)) => Err(RecordsError::Decompress(error).into()),
        Err(RecompressError::TooLong) => Err(Refusal::TooLarge(TooLarge::Recompressed {
            compression: codec.compression,
            max_message_bytes,
        })),
    }
}

/// Whether validating `records` takes so long that a worker should do it.
#[must_use]
pub fn is_heavy(records: &Bytes, rules: &Rules) -> bool {
    let mut rest = records.clone();
    let Ok(batch) = Batch::split_from(&mut rest) else {
        // The refusal will come at once.
        return false;
    };
    if rules.codec_for(&batch).is_some() {
        return true;
    }
    match batch.compression() {
        Err(_) => false,
        Ok(Compression::None) => batch.size_bytes() > INLINE_BYTES_MAX,
        Ok(compression) => {
            let payload = batch.size_bytes() - HEADER_BYTES;
            payload > INLINE_COMPRESSED_BYTES_MAX
                || payload as u64 * most_expansion(compression) > INLINE_DECOMPRESSED_BYTES_MAX
        }
    }
}

/// The one batch that there may be, its checksum and size checked. Part of another one after it is cut off, as in Kafka.
fn only_batch(mut records: Bytes, rules: &Rules) -> Result<Batch, Refusal> {
    let size_bytes = whole_size(&records)?.ok_or(Invalid::NoBatch)?;
    let magic = records[MAGIC_AT] as i8;
    if magic != 2 {
        return Err(Invalid::OldFormat(magic).into());
    }
    let batch = Batch::split_from(&mut records).map_err(Refusal::Corrupt)?;
    if !rules.zstd && batch.compression() == Ok(Compression::Zstd) {
        return Err(Refusal::Compression(
            UnsupportedCompression::ZstdBeforeVersion7,
        ));
    }
    if whole_size(&records)?.is_some() {
        return Err(Invalid::ManyBatches.into());
    }
    if batch.base_offset() != Offset::ZERO {
        return Err(Invalid::BaseOffset(batch.base_offset()).into());
    }
    if size_bytes > rules.max_message_bytes {
        return Err(Refusal::TooLarge(TooLarge::Batch {
            size_bytes,
            max_message_bytes: rules.max_message_bytes,
        }));
    }
    batch.check_crc().map_err(Refusal::Corrupt)?;
    Ok(batch)
}

/// The size of the batch at the front of `bytes`, of whatever format; `None` if not all of it is there.
fn whole_size(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let Some((overhead, rest)) = bytes.split_first_chunk::<LOG_OVERHEAD_BYTES>() else {
        return Ok(None);
    };
    let [.., a, b, c, d] = *overhead;
    let length = i32::from_be_bytes([a, b, c, d]);
    if length < OLDEST_LENGTH_MIN {
        return Err(Refusal::Corrupt(BatchError::Length(length)));
    }
    let Some(magic) = bytes.get(MAGIC_AT) else {
        return Ok(None);
    };
    let magic = *magic as i8;
    if !(0..=2).contains(&magic) {
        return Err(Refusal::Corrupt(BatchError::Magic(magic)));
    }
    let length = length as usize;
    Ok((length <= rest.len()).then_some(LOG_OVERHEAD_BYTES + length))
}

/// Checks what the header says of the batch.
fn check_header(batch: &Batch) -> Result<(), Invalid> {
    let (count, last_offset_delta) = (batch.record_count(), batch.last_offset_delta());
    if count <= 0 {
        return Err(Invalid::Count { count });
    }
    if last_offset_delta != count - 1 {
        return Err(Invalid::LastOffset {
            count,
            last_offset_delta,
        });
    }
    if batch.is_control() {
        return Err(Invalid::Control);
    }
    let (producer_id, producer_epoch) = (batch.producer_id(), batch.producer_epoch());
    let base_sequence = batch.base_sequence();
    let numbered = producer_epoch.0 >= 0 && base_sequence.0 >= 0;
    if producer_id != ProducerId::NONE && (producer_id < ProducerId::NONE || !numbered) {
        return Err(Invalid::Producer {
            producer_id,
            producer_epoch,
            base_sequence,
        });
    }
    Ok(())
}

/// The largest timestamp of a batch, and the first record that has it.
struct Newest {
    timestamp: TimestampMs,
    index: i32,
    /// How many bytes all records have, before they are compressed.
    records_bytes: u64,
}

/// Checks every record.
fn check_records(
    batch: &Batch,
    rules: &Rules,
    limit_bytes: u64,
    now: TimestampMs,
) -> Result<Newest, Refusal> {
    let base_timestamp = batch.base_timestamp();
    let judge = Judge::new(batch, rules, now);
    let mut newest = Newest {
        timestamp: TimestampMs::NONE,
        index: 0,
        records_bytes: 0,
    };
    let mut index = 0;
    let mut gap = None;
    let mut rejected = RecordErrors {
        errors: Vec::new(),
        count: 0,
    };
    let mut keys_alone = true;
    let records_bytes = walk(batch, limit_bytes, |sketch: Sketch| {
        let offset_delta = sketch.offset_delta;
        if offset_delta != index {
            gap = Some(Invalid::OffsetDelta {
                index,
                offset_delta,
            });
            return ControlFlow::Break(());
        }
        let timestamp = sketch.timestamp(base_timestamp);
        if !judge.accepts(timestamp, sketch.has_key) {
            let problem = judge.problem(timestamp, sketch.has_key);
            keys_alone &= problem == RecordProblem::NoKey;
            rejected.push(RecordError { index, problem });
        }
        if timestamp > newest.timestamp {
            newest.timestamp = timestamp;
            newest.index = index;
        }
        index += 1;
        ControlFlow::Continue(())
    })?;
    if let Some(gap) = gap {
        return Err(gap.into());
    }
    match (rejected.count, keys_alone) {
        (0, _) => Ok(Newest {
            records_bytes,
            ..newest
        }),
        (_, true) => Err(Refusal::InvalidRecords(rejected)),
        (_, false) => Err(Refusal::InvalidTimestamps(rejected)),
    }
}

/// What is asked of each record.
struct Judge {
    needs_key: bool,
    /// What the timestamps must be within. Everything is, if the broker sets them.
    earliest: TimestampMs,
    latest: TimestampMs,
    claims_log_append_time: bool,
}

impl Judge {
    fn new(batch: &Batch, rules: &Rules, now: TimestampMs) -> Judge {
        let (earliest, latest) = match rules.timestamp_type {
            TimestampType::CreateTime => (
                now.0.saturating_sub(rules.timestamp_before_max_ms),
                now.0.saturating_add(rules.timestamp_after_max_ms),
            ),
            TimestampType::LogAppendTime => (i64::MIN, i64::MAX),
        };
        Judge {
            needs_key: rules.compacted,
            earliest: TimestampMs(earliest),
            latest: TimestampMs(latest),
            claims_log_append_time: batch.timestamp_type() == TimestampType::LogAppendTime,
        }
    }

    /// Whether a record is in order: the short way, for every record of every batch.
    #[inline]
    fn accepts(&self, timestamp: TimestampMs, has_key: bool) -> bool {
        let in_range = timestamp >= self.earliest && timestamp <= self.latest;
        (in_range || timestamp == TimestampMs::NONE)
            && (has_key || !self.needs_key)
            && !self.claims_log_append_time
    }

    /// What is wrong with a record that is not accepted.
    #[cold]
    fn problem(&self, timestamp: TimestampMs, has_key: bool) -> RecordProblem {
        if self.needs_key && !has_key {
            RecordProblem::NoKey
        } else if self.claims_log_append_time {
            RecordProblem::LogAppendTime
        } else {
            RecordProblem::Timestamp {
                timestamp,
                earliest: self.earliest,
                latest: self.latest,
            }
        }
    }
}

impl RecordErrors {
    fn push(&mut self, error: RecordError) {
        if self.errors.len() < RECORD_ERRORS_MAX {
            self.errors.push(error);
        }
        self.count += 1;
    }
}

/// Makes the header's largest timestamp and timestamp type those that the log will have.
fn stamp(batch: Batch, newest: Newest, rules: &Rules, now: TimestampMs) -> Checked {
    let record_count = batch.record_count();
    let (batch, newest) = match rules.timestamp_type {
        TimestampType::LogAppendTime => {
            let newest = Newest {
                timestamp: now,
                index: 0,
                ..newest
            };
            (batch.stamped(now), newest)
        }
        TimestampType::CreateTime if batch.max_timestamp() == newest.timestamp => (batch, newest),
        TimestampType::CreateTime => (batch.with_max_timestamp(newest.timestamp), newest),
    };
    Checked {
        batch,
        record_count,
        max_timestamp: newest.timestamp,
        max_timestamp_delta: newest.index,
    }
}

#[cfg(test)]
mod tests;
