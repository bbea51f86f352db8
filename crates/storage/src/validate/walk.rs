//! Walks the records of a batch, compressed or not, for the little that validation and look-ups by time need of each.
//!
//! Records that are not compressed are read where they stand. Compressed ones are read as they unfold: keys, values and
//! headers are stepped over, so that a record of any size costs no memory.
//!
//! Invariant: both ways accept the same records. What only one of them took, some consumer could not read.

use std::ops::ControlFlow;

use wiber_model::batch::{Batch, Compression, HEADER_BYTES, Records};
use wiber_model::{BatchError, TimestampMs};

use crate::compression::{Decoder, DecompressError};

/// Why the records of a batch cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordsError {
    /// A record is not as the format demands, or the codec is not defined.
    #[error(transparent)]
    Format(BatchError),
    /// The payload does not unfold.
    #[error(transparent)]
    Decompress(DecompressError),
}

/// What a walk tells of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sketch {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) has_key: bool,
}

impl Sketch {
    /// The record's own timestamp. It wraps as in every client, for a sum that no producer means.
    pub(super) fn timestamp(self, base: TimestampMs) -> TimestampMs {
        TimestampMs(base.0.wrapping_add(self.timestamp_delta))
    }
}

/// Calls `each` with every record in order, until it breaks; without a break, nothing follows the last record. Returns how many
/// bytes the records have, as far as they were walked.
pub(super) fn walk(
    batch: &Batch,
    decompressed_bytes_max: u64,
    mut each: impl FnMut(Sketch) -> ControlFlow<()>,
) -> Result<u64, RecordsError> {
    let compression = batch.compression().map_err(RecordsError::Format)?;
    let payload = &batch.bytes()[HEADER_BYTES..];
    let count = batch.record_count();
    if compression == Compression::None {
        for record in Records::new(payload, count) {
            let record = record.map_err(RecordsError::Format)?;
            let sketch = Sketch {
                timestamp_delta: record.timestamp_delta,
                offset_delta: record.offset_delta,
                has_key: record.key.is_some(),
            };
            if each(sketch).is_break() {
                break;
            }
        }
        return Ok(payload.len() as u64);
    }
    let decoder = Decoder::new(compression, payload, decompressed_bytes_max)
        .map_err(RecordsError::Decompress)?;
    let mut stream = Stream { decoder, left: 0 };
    for index in 0..count {
        let sketch = stream
            .record()
            .and_then(|sketch| {
                if index + 1 == count {
                    stream.end()?;
                }
                Ok(sketch)
            })
            .map_err(|problem| problem.of_record(index))?;
        if each(sketch).is_break() {
            break;
        }
    }
    Ok(stream.decoder.decoded_bytes())
}

/// What is wrong at a place of the stream.
enum Problem {
    Format(&'static str),
    Decompress(DecompressError),
}

impl Problem {
    fn of_record(self, index: i32) -> RecordsError {
        match self {
            Problem::Format(problem) => RecordsError::Format(BatchError::Record { index, problem }),
            Problem::Decompress(error) => RecordsError::Decompress(error),
        }
    }
}

impl From<DecompressError> for Problem {
    fn from(error: DecompressError) -> Problem {
        Problem::Decompress(error)
    }
}

/// Records as they unfold.
struct Stream<'a> {
    decoder: Decoder<'a>,
    /// How much of the current record was not read yet.
    left: u64,
}

impl Stream<'_> {
    fn record(&mut self) -> Result<Sketch, Problem> {
        self.left = u64::MAX;
        let length = self.varint("its length is not a varint")?;
        self.left = u64::try_from(length).map_err(|_| Problem::Format("its length is negative"))?;
        self.skip(1, "it ends before its attributes")?;
        let timestamp_delta = self.varlong("its timestamp delta is not a varint")?;
        let offset_delta = self.varint("its offset delta is not a varint")?;
        let has_key = self.nullable("its key goes beyond its end")?;
        self.nullable("its value goes beyond its end")?;
        let headers = self.varint("its header count is not a varint")?;
        if headers < 0 {
            return Err(Problem::Format("its header count is negative"));
        }
        for _ in 0..headers {
            if !self.nullable("a header's key goes beyond its end")? {
                return Err(Problem::Format("a header's key is null"));
            }
            self.nullable("a header's value goes beyond its end")?;
        }
        if self.left > 0 {
            return Err(Problem::Format("bytes follow its last header"));
        }
        Ok(Sketch {
            timestamp_delta,
            offset_delta,
            has_key,
        })
    }

    /// Refuses bytes after the last record. This also reads the codec's own end.
    fn end(&mut self) -> Result<(), Problem> {
        if self.decoder.chunk()?.is_empty() {
            Ok(())
        } else {
            Err(Problem::Format("bytes follow the last record"))
        }
    }

    /// Steps over a key or value; false if it is null.
    fn nullable(&mut self, problem: &'static str) -> Result<bool, Problem> {
        match self.varint(problem)? {
            -1 => Ok(false),
            length => {
                let length = u64::try_from(length).map_err(|_| Problem::Format(problem))?;
                self.skip(length, problem)?;
                Ok(true)
            }
        }
    }

    fn skip(&mut self, count: u64, problem: &'static str) -> Result<(), Problem> {
        self.left = self
            .left
            .checked_sub(count)
            .ok_or(Problem::Format(problem))?;
        if self.decoder.skip(count)? {
            Ok(())
        } else {
            Err(Problem::Format(problem))
        }
    }

    #[inline]
    fn varint(&mut self, problem: &'static str) -> Result<i32, Problem> {
        let raw = self.unsigned(5, problem)?;
        let raw = u32::try_from(raw).map_err(|_| Problem::Format(problem))?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    #[inline]
    fn varlong(&mut self, problem: &'static str) -> Result<i64, Problem> {
        let raw = self.unsigned(10, problem)?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    #[inline]
    fn unsigned(&mut self, most_bytes: usize, problem: &'static str) -> Result<u64, Problem> {
        // Nearly every varint of a record is one or two bytes.
        let (value, count) = match *self.decoder.chunk()? {
            [first, ..] if first < 0x80 => (u64::from(first), 1),
            [first, second, ..] if second < 0x80 => {
                (u64::from(first & 0x7f) | u64::from(second) << 7, 2)
            }
            _ => return self.unsigned_of_many(most_bytes, problem),
        };
        self.left = self
            .left
            .checked_sub(count)
            .ok_or(Problem::Format(problem))?;
        self.decoder.consume(count as usize);
        Ok(value)
    }

    /// Byte by byte: the varint is long, or it goes on in the next block.
    #[cold]
    fn unsigned_of_many(
        &mut self,
        most_bytes: usize,
        problem: &'static str,
    ) -> Result<u64, Problem> {
        let mut value = 0u64;
        for i in 0..most_bytes {
            let byte = match self.decoder.chunk()?.first() {
                Some(byte) if self.left > 0 => *byte,
                _ => return Err(Problem::Format(problem)),
            };
            self.decoder.consume(1);
            self.left -= 1;
            let bits = u64::from(byte & 0x7f);
            if i == 9 && bits > 1 {
                return Err(Problem::Format(problem));
            }
            value |= bits << (7 * i);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Problem::Format(problem))
    }
}
