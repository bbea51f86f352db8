//! Snappy in the two forms that clients send: xerial's framing, a header and then blocks with their lengths (the Java
//! client and most others), and one bare block (librdkafka).

use super::{Block, Problem};

/// Three bytes of a block, a copy with a two-byte offset, stand for at most 64 bytes of output.
pub(super) const MOST_EXPANSION: u64 = 22;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The header holds the magic, the version and the oldest compatible version, each of the latter as four bytes.
const HEADER_BYTES: usize = 16;
const VERSION: i32 = 1;

/// How much one block of ours holds, as in Kafka's Java client.
const BLOCK_BYTES: usize = 32 * 1024;

/// The blocks of a payload.
pub(super) struct Chunks<'a> {
    rest: &'a [u8],
    framed: bool,
}

impl<'a> Chunks<'a> {
    /// Tells the two forms apart.
    pub(super) fn new(payload: &'a [u8]) -> Result<Chunks<'a>, String> {
        let mut rest = payload;
        let framed = header(&mut rest)?;
        Ok(Chunks { rest, framed })
    }

    /// The next block, unfolded into `out`: at most `most_bytes`.
    pub(super) fn next_block(
        &mut self,
        out: &mut Vec<u8>,
        most_bytes: u64,
    ) -> Result<Block<'a>, Problem> {
        if self.rest.is_empty() {
            return Ok(Block::End);
        }
        let block = if self.framed {
            // Streams that were written one after another are one stream to the Java client.
            header(&mut self.rest).map_err(Problem::Damage)?;
            self.chunk()?
        } else {
            std::mem::take(&mut self.rest)
        };
        let damage = |e: snap::Error| Problem::Damage(e.to_string());
        let declared = snap::raw::decompress_len(block).map_err(damage)?;
        if declared as u64 > block.len() as u64 * MOST_EXPANSION {
            return Err("it declares more bytes than it can unfold to".into());
        }
        if declared as u64 > most_bytes {
            return Err(Problem::TooLarge);
        }
        out.resize(declared, 0);
        snap::raw::Decoder::new()
            .decompress(block, out)
            .map_err(damage)?;
        Ok(Block::Decoded)
    }

    fn chunk(&mut self) -> Result<&'a [u8], Problem> {
        let (length, rest) = self
            .rest
            .split_first_chunk()
            .ok_or("it ends within a block's length")?;
        let length = usize::try_from(i32::from_be_bytes(*length))
            .map_err(|_| "a block's length is negative")?;
        let (chunk, rest) = rest
            .split_at_checked(length)
            .ok_or("it ends within a block")?;
        self.rest = rest;
        Ok(chunk)
    }
}

/// Takes xerial's header off `rest`, if it begins with one.
fn header(rest: &mut &[u8]) -> Result<bool, String> {
    let Some((header, left)) = rest.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(false);
    };
    if header[..MAGIC.len()] != MAGIC {
        return Ok(false);
    }
    let version = i32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    if version < VERSION {
        return Err(format!("version {version} of its framing is not defined"));
    }
    *rest = left;
    Ok(true)
}

/// Writes xerial's framing, which every client reads.
pub(super) struct Encoder {
    out: Vec<u8>,
    /// What is not a whole block yet.
    block: Vec<u8>,
    encoder: snap::raw::Encoder,
}

impl Encoder {
    pub(super) fn new(mut out: Vec<u8>) -> Encoder {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&VERSION.to_be_bytes());
        Encoder {
            out,
            block: Vec::with_capacity(BLOCK_BYTES),
            encoder: snap::raw::Encoder::new(),
        }
    }

    /// What is written so far.
    pub(super) fn written(&self) -> &Vec<u8> {
        &self.out
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = BLOCK_BYTES - self.block.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK_BYTES {
                self.write_block();
            }
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if !self.block.is_empty() {
            self.write_block();
        }
        self.out
    }

    fn write_block(&mut self) {
        let compressed = self
            .encoder
            .compress_vec(&self.block)
            .unwrap_or_else(|e| panic!("a block of 32 KiB can be compressed: {e}"));
        self.out
            .extend_from_slice(&(compressed.len() as u32).to_be_bytes());
        self.out.extend_from_slice(&compressed);
        self.block.clear();
    }
}
