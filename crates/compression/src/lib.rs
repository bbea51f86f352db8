//! The codecs of record batches: reading what any client compressed, without trusting it, and compressing as Kafka's
//! clients do.
//!
//! Invariants of a [`Decoder`]:
//! - It yields at most the bytes that it was allowed, whatever the payload says of itself.
//! - It holds one block of the output at a time, not the output. Two forms need more, since they may refer back to any byte
//!   before: a bare snappy block (at most [`snappy::MOST_EXPANSION`] times the payload), and a zstd frame with a window beyond
//!   [`zstd::WINDOW_BYTES_MAX`] (at most [`zstd::WHOLE_BYTES_MAX`]).
//! - A size that the payload declares is checked against what its bytes can hold before memory is taken for it
//!   (CVE-2023-34455 was the lack of that in snappy).
//! - What ends early, or goes on after its end, is refused: some client would read it otherwise than another.

mod encoder;
mod lz4;
mod snappy;
mod zstd;

use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use wiber_model::batch::Compression;

pub use encoder::{Codec, RecompressError, compress, recompress};

/// How much output of a gzip or zstd stream is held at a time.
const STREAM_BLOCK_BYTES: usize = 32 * 1024;

/// Why a compressed payload cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecompressError {
    /// The bytes are not what the codec demands.
    #[error("the {} payload is damaged: {problem}", name(*.compression))]
    Malformed {
        /// The codec.
        compression: Compression,
        /// What is wrong.
        problem: String,
    },
    /// The payload unfolds to more than it may.
    #[error("the payload unfolds to more than {limit_bytes} bytes")]
    TooLarge {
        /// The most that it may unfold to.
        limit_bytes: u64,
    },
}

/// Kafka's name of a codec, as `compression.type` spells it.
#[must_use]
pub fn name(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    }
}

/// The most bytes that one byte of a payload can unfold to, whoever wrote it.
#[must_use]
pub fn most_expansion(compression: Compression) -> u64 {
    match compression {
        Compression::None => 1,
        // A code of one bit for a match of 258 bytes, and another bit for its distance.
        Compression::Gzip => 1032,
        Compression::Snappy => snappy::MOST_EXPANSION,
        Compression::Lz4 => lz4::MOST_EXPANSION,
        Compression::Zstd => zstd::MOST_EXPANSION,
    }
}

/// Reads a payload block by block.
///
/// After an error the decoder is of no more use.
#[derive(Debug)]
pub struct Decoder<'a> {
    compression: Compression,
    source: Source<'a>,
    /// The last block that was decoded; empty while `borrowed` is what is being read.
    decoded: Vec<u8>,
    /// How much of `decoded` was consumed.
    at: usize,
    /// A block that stands in the payload as it is.
    borrowed: &'a [u8],
    /// How many bytes may still be produced.
    allowance: u64,
    limit_bytes: u64,
}

enum Source<'a> {
    Gzip(Box<MultiGzDecoder<&'a [u8]>>),
    Snappy(snappy::Chunks<'a>),
    Lz4(lz4::Frame<'a>),
    Zstd(zstd::Stream<'a>),
    End,
}

/// A block of output, as a codec hands it to the decoder.
enum Block<'a> {
    /// It stands in the payload.
    Borrowed(&'a [u8]),
    /// It was written to the decoder's buffer, from its start to its end.
    Decoded,
    /// There is none any more.
    End,
}

impl<'a> Decoder<'a> {
    /// A reader of `payload` that yields at most `limit_bytes` bytes.
    ///
    /// # Errors
    /// If the payload does not begin as its codec demands.
    pub fn new(
        compression: Compression,
        payload: &'a [u8],
        limit_bytes: u64,
    ) -> Result<Decoder<'a>, DecompressError> {
        let malformed = |problem| DecompressError::Malformed {
            compression,
            problem,
        };
        let mut decoder = Decoder {
            compression,
            source: Source::End,
            decoded: Vec::new(),
            at: 0,
            borrowed: &[],
            allowance: limit_bytes,
            limit_bytes,
        };
        match compression {
            Compression::None => decoder.charge_for(Block::Borrowed(payload))?,
            Compression::Gzip => {
                decoder.source = Source::Gzip(Box::new(MultiGzDecoder::new(payload)));
            }
            Compression::Snappy => {
                decoder.source = Source::Snappy(snappy::Chunks::new(payload).map_err(malformed)?);
            }
            Compression::Lz4 => {
                decoder.source = Source::Lz4(lz4::Frame::new(payload).map_err(malformed)?);
            }
            Compression::Zstd => match zstd::open(payload, limit_bytes).map_err(malformed)? {
                zstd::Opened::Stream(stream) => decoder.source = Source::Zstd(stream),
                zstd::Opened::Whole(output) => {
                    decoder.decoded = output;
                    decoder.charge_for(Block::Decoded)?;
                }
            },
        }
        Ok(decoder)
    }

    /// The bytes that come next: as many as are at hand, none at the end.
    ///
    /// # Errors
    /// If the payload is damaged there, ends early, or unfolds to more than the limit.
    #[inline]
    pub fn chunk(&mut self) -> Result<&[u8], DecompressError> {
        if self.at == self.decoded.len() && self.borrowed.is_empty() {
            self.refill()?;
        }
        Ok(if self.borrowed.is_empty() {
            &self.decoded[self.at..]
        } else {
            self.borrowed
        })
    }

    /// Steps over `count` bytes of the last [`Decoder::chunk`].
    ///
    /// # Panics
    /// If the chunk had fewer.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        if self.borrowed.is_empty() {
            self.at += count;
            assert!(self.at <= self.decoded.len(), "consumed more than was read");
        } else {
            self.borrowed = &self.borrowed[count..];
        }
    }

    /// Steps over `count` bytes; false if the payload ends before.
    ///
    /// # Errors
    /// As [`Decoder::chunk`]. A count beyond the limit is refused before anything is decompressed.
    #[inline]
    pub fn skip(&mut self, count: u64) -> Result<bool, DecompressError> {
        if count <= self.at_hand() as u64 {
            self.consume(count as usize);
            return Ok(true);
        }
        self.skip_blocks(count)
    }

    fn skip_blocks(&mut self, mut count: u64) -> Result<bool, DecompressError> {
        if count > self.most_left() {
            return Err(self.too_large());
        }
        while count > 0 {
            let available = self.chunk()?.len();
            if available == 0 {
                return Ok(false);
            }
            let step = usize::try_from(count).map_or(available, |count| count.min(available));
            self.consume(step);
            count -= step as u64;
        }
        Ok(true)
    }

    /// How many more bytes this could yield at most: those at hand, and those that are still allowed.
    fn most_left(&self) -> u64 {
        self.allowance.saturating_add(self.at_hand() as u64)
    }

    /// How many bytes have been decoded so far.
    #[must_use]
    pub fn decoded_bytes(&self) -> u64 {
        self.limit_bytes - self.allowance
    }

    /// How many bytes were decoded and not consumed yet.
    #[inline]
    fn at_hand(&self) -> usize {
        self.decoded.len() - self.at + self.borrowed.len()
    }

    /// All that is left, at once: only for a caller that must have it so.
    ///
    /// # Errors
    /// As [`Decoder::chunk`].
    pub fn into_vec(mut self) -> Result<Vec<u8>, DecompressError> {
        let mut out = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(out);
            }
            out.extend_from_slice(chunk);
            let count = chunk.len();
            self.consume(count);
        }
    }

    /// Fetches the next block that is not empty, if there is one.
    #[cold]
    fn refill(&mut self) -> Result<(), DecompressError> {
        loop {
            self.at = 0;
            let out = &mut self.decoded;
            let block = match &mut self.source {
                Source::Gzip(stream) => read_block(stream, out),
                Source::Zstd(stream) => read_block(stream, out),
                Source::Snappy(chunks) => chunks.next_block(out, self.allowance),
                Source::Lz4(frame) => frame.next_block(out),
                Source::End => Ok(Block::End),
            };
            let block = block.map_err(|problem| match problem {
                Problem::Damage(problem) => DecompressError::Malformed {
                    compression: self.compression,
                    problem,
                },
                Problem::TooLarge => self.too_large(),
            })?;
            let is_end = matches!(block, Block::End);
            self.charge_for(block)?;
            if is_end || !self.decoded.is_empty() || !self.borrowed.is_empty() {
                return Ok(());
            }
        }
    }

    /// Makes `block` the one that is read, and counts its bytes.
    fn charge_for(&mut self, block: Block<'a>) -> Result<(), DecompressError> {
        match block {
            Block::Borrowed(bytes) => {
                self.decoded.clear();
                self.borrowed = bytes;
            }
            Block::Decoded => self.borrowed = &[],
            Block::End => {
                self.decoded.clear();
                self.borrowed = &[];
                self.source = Source::End;
            }
        }
        let produced = (self.decoded.len() + self.borrowed.len()) as u64;
        self.allowance = self
            .allowance
            .checked_sub(produced)
            .ok_or_else(|| self.too_large())?;
        Ok(())
    }

    fn too_large(&self) -> DecompressError {
        DecompressError::TooLarge {
            limit_bytes: self.limit_bytes,
        }
    }
}

/// What a codec found wrong.
enum Problem {
    Damage(String),
    TooLarge,
}

impl From<&str> for Problem {
    fn from(problem: &str) -> Problem {
        Problem::Damage(problem.to_string())
    }
}

/// Reads the next block of a stream into `out`.
fn read_block<'a>(stream: &mut impl Read, out: &mut Vec<u8>) -> Result<Block<'a>, Problem> {
    out.resize(STREAM_BLOCK_BYTES, 0);
    let count = stream
        .read(out)
        .map_err(|e| Problem::Damage(e.to_string()))?;
    out.truncate(count);
    Ok(if count == 0 {
        Block::End
    } else {
        Block::Decoded
    })
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Source::Gzip(_) => "Gzip",
            Source::Snappy(_) => "Snappy",
            Source::Lz4(_) => "Lz4",
            Source::Zstd(_) => "Zstd",
            Source::End => "End",
        })
    }
}

#[cfg(test)]
mod tests;
