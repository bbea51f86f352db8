//! The LZ4 frame format, as far as Kafka's Java clients read it: one frame of independent blocks, no dictionary.
//!
//! The frame is walked here rather than by the codec's crate, because blocks can then be read where they stand in the
//! payload, linked blocks are refused as Kafka refuses them, and a frame without its end mark is not taken for a whole one.

use std::hash::Hasher;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use super::{Block, Problem};

/// A length byte in a block stands for at most 255 bytes of output.
pub(super) const MOST_EXPANSION: u64 = 255;

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();

const VERSION_MASK: u8 = 0b1100_0000;
const VERSION_1: u8 = 0b0100_0000;
const INDEPENDENT_BLOCKS: u8 = 0b0010_0000;
const BLOCK_CHECKSUMS: u8 = 0b0001_0000;
const CONTENT_SIZE: u8 = 0b0000_1000;
const CONTENT_CHECKSUM: u8 = 0b0000_0100;
/// One bit that must be clear, and one for a dictionary, which nobody could have agreed on.
const UNSUPPORTED: u8 = 0b0000_0011;

const NOT_COMPRESSED: u32 = 1 << 31;

/// A frame that is being read.
pub(super) struct Frame<'a> {
    rest: &'a [u8],
    /// The most that one block unfolds to.
    block_bytes_max: usize,
    block_checksums: bool,
    /// The hash of the output so far, if the frame ends with one to compare with.
    content: Option<XxHash32>,
}

impl<'a> Frame<'a> {
    /// Reads the frame's descriptor.
    pub(super) fn new(payload: &'a [u8]) -> Result<Frame<'a>, String> {
        let mut rest = payload;
        let frame = descriptor(&mut rest).map_err(str::to_string)?;
        Ok(Frame { rest, ..frame })
    }

    /// The next block; one that was compressed is unfolded into `out`.
    pub(super) fn next_block(&mut self, out: &mut Vec<u8>) -> Result<Block<'a>, Problem> {
        let head = take_u32(&mut self.rest).ok_or("it ends before its end mark")?;
        let length = (head & !NOT_COMPRESSED) as usize;
        if length == 0 {
            return self.end();
        }
        if length > self.block_bytes_max {
            return Err("a block is longer than the frame allows".into());
        }
        let block = take(&mut self.rest, length).ok_or("it ends within a block")?;
        if self.block_checksums {
            let stored = take_u32(&mut self.rest).ok_or("it ends before a block's checksum")?;
            if stored != XxHash32::oneshot(0, block) {
                return Err("a block's checksum does not match".into());
            }
        }
        if head & NOT_COMPRESSED != 0 {
            self.hash(block);
            return Ok(Block::Borrowed(block));
        }
        // What the frame allows may be 4 MiB for a block of ten bytes: take no more than those can unfold to.
        let bound = (length * MOST_EXPANSION as usize).min(self.block_bytes_max);
        out.resize(bound, 0);
        let count = lz4_flex::block::decompress_into(block, out)
            .map_err(|e| Problem::Damage(e.to_string()))?;
        out.truncate(count);
        self.hash(out);
        Ok(Block::Decoded)
    }

    fn hash(&mut self, output: &[u8]) {
        if let Some(content) = &mut self.content {
            content.write(output);
        }
    }

    fn end(&mut self) -> Result<Block<'a>, Problem> {
        if let Some(content) = &self.content {
            let stored = take_u32(&mut self.rest).ok_or("it ends before its content checksum")?;
            if u64::from(stored) != content.finish() {
                return Err("its content checksum does not match".into());
            }
        }
        if self.rest.is_empty() {
            Ok(Block::End)
        } else {
            Err("bytes follow its end mark".into())
        }
    }
}

/// Takes the descriptor off `rest`; the frame that it describes has no blocks yet.
fn descriptor<'a>(rest: &mut &[u8]) -> Result<Frame<'a>, &'static str> {
    const SHORT: &str = "it ends within its descriptor";
    if take(rest, MAGIC.len()).ok_or(SHORT)? != MAGIC {
        return Err("it does not begin as an LZ4 frame");
    }
    let start = *rest;
    let flags = take(rest, 1).ok_or(SHORT)?[0];
    let sizes = take(rest, 1).ok_or(SHORT)?[0];
    if flags & VERSION_MASK != VERSION_1 || flags & UNSUPPORTED != 0 {
        return Err("its flags are not supported");
    }
    if flags & INDEPENDENT_BLOCKS == 0 {
        return Err("its blocks depend on each other, which Kafka's clients do not read");
    }
    let block_bytes_max = match sizes {
        0x40 => 64 * 1024,
        0x50 => 256 * 1024,
        0x60 => 1024 * 1024,
        0x70 => 4 * 1024 * 1024,
        _ => return Err("its block size is not defined"),
    };
    if flags & CONTENT_SIZE != 0 {
        take(rest, 8).ok_or(SHORT)?;
    }
    let described = &start[..start.len() - rest.len()];
    let checksum = take(rest, 1).ok_or(SHORT)?[0];
    if checksum != (XxHash32::oneshot(0, described) >> 8) as u8 {
        return Err("its descriptor's checksum does not match");
    }
    Ok(Frame {
        rest: &[],
        block_bytes_max,
        block_checksums: flags & BLOCK_CHECKSUMS != 0,
        content: (flags & CONTENT_CHECKSUM != 0).then(|| XxHash32::with_seed(0)),
    })
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(u32::from_le_bytes(*taken))
}

/// Begins a frame of independent blocks of 64 KiB, without checksums: what Kafka's Java producer writes.
pub(super) fn encoder(out: Vec<u8>) -> FrameEncoder<Vec<u8>> {
    let info = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB);
    FrameEncoder::with_frame_info(info, out)
}
