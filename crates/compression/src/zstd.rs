//! Zstandard with bounded memory.
//!
//! A frame names the window that a streaming reader must keep. Up to 8 MiB (what RFC 8878 asks every reader to support, and
//! what all levels up to 19 stay within) it is streamed. The highest levels name up to 128 MiB, even for a small batch, since
//! the Java client does not know the size beforehand; such a frame is unfolded at once, into a bounded buffer.

use std::io::{self, Read};

/// The largest window that is kept for a stream.
pub(super) const WINDOW_BYTES_MAX: u64 = 1 << WINDOW_LOG_MAX;
/// The most that a frame with a larger window may unfold to.
pub(super) const WHOLE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// A block of four bytes can stand for 128 KiB of output.
pub(super) const MOST_EXPANSION: u64 = 32 * 1024;

const WINDOW_LOG_MAX: u32 = 23;
/// The largest window of what is written here, as a power of two: the highest levels would take hundreds of megabytes of memory for
/// theirs, and few batches are larger.
const ENCODER_WINDOW_LOG_MAX: u32 = 21;
/// Up to this level the window is no larger than that anyway.
const LEVEL_OF_WINDOW: i32 = 3;
const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// A payload as it can be read.
pub(super) enum Opened<'a> {
    Stream(Stream<'a>),
    Whole(Vec<u8>),
}

/// A stream of frames.
pub(super) struct Stream<'a>(zstd::Decoder<'static, &'a [u8]>);

/// Begins to read `payload`, which may unfold to `limit_bytes`.
pub(super) fn open(payload: &[u8], limit_bytes: u64) -> Result<Opened<'_>, String> {
    match window_bytes(payload) {
        Some(window) if window > WINDOW_BYTES_MAX => {
            let most = WHOLE_BYTES_MAX.min(limit_bytes);
            whole(payload, most as usize).map(Opened::Whole).map_err(|e| {
                format!("with a window of {window} bytes it must unfold to at most {most} bytes: {e}")
            })
        }
        _ => stream(payload)
            .map(Opened::Stream)
            .map_err(|e| e.to_string()),
    }
}

fn stream(payload: &[u8]) -> io::Result<Stream<'_>> {
    let mut decoder = zstd::Decoder::with_buffer(payload)?;
    // Of the frames after the first one too, whose headers were not looked at.
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(Stream(decoder))
}

fn whole(payload: &[u8], most_bytes: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(most_bytes);
    zstd::bulk::Decompressor::new()?.decompress_to_buffer(payload, &mut out)?;
    out.shrink_to_fit();
    Ok(out)
}

impl Read for Stream<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

/// The window that the first frame names (RFC 8878, 3.1.1.1); `None` if it does not begin as a frame.
fn window_bytes(payload: &[u8]) -> Option<u64> {
    let rest = payload.strip_prefix(&MAGIC)?;
    let (descriptor, rest) = rest.split_first()?;
    let single_segment = descriptor & 0b0010_0000 != 0;
    if !single_segment {
        let window = rest.first()?;
        let base = 1u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 0b111));
    }
    // The content is the window then.
    let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 0b11)];
    let size_bytes = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let field = rest.get(dictionary_bytes..dictionary_bytes + size_bytes)?;
    let size = field
        .iter()
        .rev()
        .fold(0, |size, byte| size << 8 | u64::from(*byte));
    Some(if size_bytes == 2 { size + 256 } else { size })
}

/// Begins one frame for `total_bytes` of input.
pub(super) fn encoder(
    out: Vec<u8>,
    level: i32,
    total_bytes: u64,
) -> io::Result<zstd::Encoder<'static, Vec<u8>>> {
    let mut encoder = zstd::Encoder::new(out, level)?;
    encoder.set_pledged_src_size(Some(total_bytes))?;
    if level > LEVEL_OF_WINDOW {
        encoder.window_log(ENCODER_WINDOW_LOG_MAX)?;
    }
    Ok(encoder)
}
