//! Compressing as Kafka's clients do, as a stream: input of any length takes no more memory than what comes of it.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use lz4_flex::frame::FrameEncoder;
use wiber_model::batch::Compression;

use super::{Decoder, DecompressError, lz4, snappy, zstd};

/// How much input is compressed before the length of the output is looked at.
const PIECE_BYTES: usize = 64 * 1024;

/// A codec, and how hard it is to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Codec {
    /// The codec.
    pub compression: Compression,
    /// Its level, as the codec counts them; of no meaning to snappy, and to LZ4, which has the one that Kafka defaults to.
    pub level: i32,
}

impl Codec {
    /// The codec at Kafka's default level.
    #[must_use]
    pub fn of(compression: Compression) -> Codec {
        let level = match compression {
            Compression::Gzip => 6,
            Compression::Lz4 => 9,
            Compression::Zstd => 3,
            Compression::None | Compression::Snappy => 0,
        };
        Codec { compression, level }
    }
}

/// Compresses `bytes` into the form that Kafka's own clients send: gzip, snappy in xerial's framing, an LZ4 frame of
/// independent 64 KiB blocks, zstd at level 3.
#[must_use]
pub fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Codec::of(compression), Vec::new(), bytes.len() as u64);
    encoder.write(bytes);
    encoder.finish()
}

/// Why a payload cannot be brought into another form.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecompressError {
    /// It does not unfold.
    #[error(transparent)]
    Decompress(DecompressError),
    /// It would be longer than it may be.
    #[error("in the other form it is longer than it may be")]
    TooLong,
}

/// Puts what `decoder` unfolds to, `total_bytes` in all, behind `out` in another form; both together have at most `most_bytes`.
///
/// # Errors
/// If the payload is damaged, or what comes of it too long.
pub fn recompress(
    mut decoder: Decoder<'_>,
    total_bytes: u64,
    codec: Codec,
    out: Vec<u8>,
    most_bytes: usize,
) -> Result<Vec<u8>, RecompressError> {
    let mut encoder = Encoder::new(codec, out, total_bytes);
    loop {
        let chunk = decoder.chunk().map_err(RecompressError::Decompress)?;
        let piece = &chunk[..chunk.len().min(PIECE_BYTES)];
        let count = piece.len();
        if count == 0 {
            break;
        }
        encoder.write(piece);
        decoder.consume(count);
        if encoder.written().len() > most_bytes {
            return Err(RecompressError::TooLong);
        }
    }
    let out = encoder.finish();
    if out.len() > most_bytes {
        return Err(RecompressError::TooLong);
    }
    Ok(out)
}

/// Compresses what is written to it.
enum Encoder {
    None(Vec<u8>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Snappy(Box<snappy::Encoder>),
    Lz4(Box<FrameEncoder<Vec<u8>>>),
    Zstd(Box<::zstd::Encoder<'static, Vec<u8>>>),
}

impl Encoder {
    /// What is written, `total_bytes` in all, goes behind `out`.
    fn new(codec: Codec, out: Vec<u8>, total_bytes: u64) -> Encoder {
        match codec.compression {
            Compression::None => Encoder::None(out),
            Compression::Gzip => {
                let level = flate2::Compression::new(codec.level.unsigned_abs());
                Encoder::Gzip(Box::new(GzEncoder::new(out, level)))
            }
            Compression::Snappy => Encoder::Snappy(Box::new(snappy::Encoder::new(out))),
            Compression::Lz4 => Encoder::Lz4(Box::new(lz4::encoder(out))),
            Compression::Zstd => {
                Encoder::Zstd(Box::new(sure(zstd::encoder(out, codec.level, total_bytes))))
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        match self {
            Encoder::None(out) => out.extend_from_slice(bytes),
            Encoder::Gzip(encoder) => sure(encoder.write_all(bytes)),
            Encoder::Snappy(encoder) => encoder.write(bytes),
            Encoder::Lz4(encoder) => sure(encoder.write_all(bytes)),
            Encoder::Zstd(encoder) => sure(encoder.write_all(bytes)),
        }
    }

    /// What came of it so far; some may still be to come.
    fn written(&self) -> &Vec<u8> {
        match self {
            Encoder::None(out) => out,
            Encoder::Gzip(encoder) => encoder.get_ref(),
            Encoder::Snappy(encoder) => encoder.written(),
            Encoder::Lz4(encoder) => encoder.get_ref(),
            Encoder::Zstd(encoder) => encoder.get_ref(),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Encoder::None(out) => out,
            Encoder::Gzip(encoder) => sure(encoder.finish()),
            Encoder::Snappy(encoder) => encoder.finish(),
            Encoder::Lz4(encoder) => sure(encoder.finish().map_err(io::Error::from)),
            Encoder::Zstd(encoder) => sure(encoder.finish()),
        }
    }
}

/// Nothing is between a codec and the memory that it writes to.
fn sure<T>(result: io::Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("compressing into memory does not fail: {e}"))
}
