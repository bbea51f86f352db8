//! Cuts a stream of bytes into frames: each is preceded by its size, 32 bits, the highest byte first.
//!
//! Each frame gets memory of its own, of exactly its size: so a batch in it can be changed in place once nothing else of the
//! frame is needed. What a prefix announces is not believed: memory grows with what has come.

use bytes::Bytes;
use bytes::buf::{BufMut, Limit};
use wiber_model::limit::MAX_FRAME_BYTES;
use wiber_protocol::SIZE_PREFIX_BYTES;

/// A frame begins with memory for so many bytes, or for all if it is smaller.
const FIRST_MEMORY_BYTES: usize = 64 * 1024;
/// Memory grows by this factor. Rarely, because what is there may have to be moved, and not at once, because a client may
/// never send what it announced.
const MEMORY_GROWTH: usize = 16;
/// The rest of a frame is read right into its memory if it is at least so long, in bytes; a shorter one comes with what follows.
const DIRECT_MIN_BYTES: usize = 4 * 1024;
/// The most that is read at once, in bytes, so that budgets are kept.
const DIRECT_MAX_BYTES: usize = 1024 * 1024;

/// Why a stream is none of frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameError {
    /// The prefix is no size that a frame may have: it is negative, or more than this many bytes.
    Size(i32, usize),
    /// There is no memory.
    Memory(usize),
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FrameError::Size(size, most) => write!(
                f,
                "a request of {size} bytes was announced, and socket.request.max.bytes is {most}; \
                 if it is no large one, this is not a Kafka client, or it uses TLS"
            ),
            FrameError::Memory(bytes) => {
                write!(f, "there is no memory for a request of {bytes} bytes")
            }
        }
    }
}

/// See the module.
pub(crate) struct FrameReader {
    /// The largest frame, in bytes.
    most: usize,
    prefix: [u8; SIZE_PREFIX_BYTES],
    prefix_len: usize,
    partial: Option<Partial>,
}

/// A frame of which not everything has come.
struct Partial {
    len: usize,
    /// Always has room for more.
    bytes: Vec<u8>,
}

impl Partial {
    /// How much more of the frame there is memory for, in bytes.
    fn room(&self) -> usize {
        self.bytes.capacity().min(self.len) - self.bytes.len()
    }
}

impl Default for FrameReader {
    fn default() -> FrameReader {
        FrameReader::new(MAX_FRAME_BYTES)
    }
}

impl FrameReader {
    /// Of frames of so many bytes at most.
    pub(crate) fn new(most: usize) -> FrameReader {
        FrameReader {
            most,
            prefix: [0; SIZE_PREFIX_BYTES],
            prefix_len: 0,
            partial: None,
        }
    }

    /// Takes bytes off `input` until a frame is complete, or all of them.
    ///
    /// # Errors
    /// If the stream cannot be read on.
    pub(crate) fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, FrameError> {
        if self.partial.is_none() {
            let Some(len) = self.feed_prefix(input)? else {
                return Ok(None);
            };
            if let Some((frame, rest)) = input.split_at_checked(len) {
                *input = rest;
                return Ok(Some(Bytes::copy_from_slice(frame)));
            }
            let mut bytes = Vec::new();
            reserve(&mut bytes, len.min(FIRST_MEMORY_BYTES), len)?;
            self.partial = Some(Partial { len, bytes });
        }
        while let Some(partial) = &mut self.partial
            && !input.is_empty()
        {
            let (piece, rest) = input.split_at(partial.room().min(input.len()));
            partial.bytes.extend_from_slice(piece);
            *input = rest;
            if let Some(frame) = self.complete()? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// The memory that the rest of a frame is best read into, if that is so; then [`complete`](FrameReader::complete) is to be
    /// called.
    pub(crate) fn direct(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        let partial = self.partial.as_mut()?;
        if partial.len - partial.bytes.len() < DIRECT_MIN_BYTES {
            return None;
        }
        let room = partial.room().min(DIRECT_MAX_BYTES);
        Some((&mut partial.bytes).limit(room))
    }

    /// The frame that was being read, if all of it is there; else there is memory for more of it.
    ///
    /// # Errors
    /// If there is no memory.
    pub(crate) fn complete(&mut self) -> Result<Option<Bytes>, FrameError> {
        if let Some(whole) = self
            .partial
            .take_if(|partial| partial.bytes.len() == partial.len)
        {
            return Ok(Some(Bytes::from(whole.bytes)));
        }
        if let Some(partial) = &mut self.partial
            && partial.room() == 0
        {
            let capacity = partial.bytes.len().saturating_mul(MEMORY_GROWTH);
            reserve(&mut partial.bytes, capacity.min(partial.len), partial.len)?;
        }
        Ok(None)
    }

    /// Whether a frame has begun and not ended.
    pub(crate) fn is_in_frame(&self) -> bool {
        self.prefix_len > 0 || self.partial.is_some()
    }

    /// How much of a frame that is not complete has come, in bytes.
    pub(crate) fn partial_bytes(&self) -> usize {
        self.partial
            .as_ref()
            .map_or(0, |partial| partial.bytes.len())
    }

    /// The size of the frame that begins, once its prefix is complete.
    fn feed_prefix(&mut self, input: &mut &[u8]) -> Result<Option<usize>, FrameError> {
        let wanted = &mut self.prefix[self.prefix_len..];
        let (piece, rest) = input.split_at(wanted.len().min(input.len()));
        wanted[..piece.len()].copy_from_slice(piece);
        *input = rest;
        self.prefix_len += piece.len();
        if self.prefix_len < SIZE_PREFIX_BYTES {
            return Ok(None);
        }
        self.prefix_len = 0;
        let size = i32::from_be_bytes(self.prefix);
        match usize::try_from(size) {
            Ok(len) if len <= self.most => Ok(Some(len)),
            _ => Err(FrameError::Size(size, self.most)),
        }
    }
}

/// Makes room for `capacity` bytes in all, of a frame of `len`.
fn reserve(bytes: &mut Vec<u8>, capacity: usize, len: usize) -> Result<(), FrameError> {
    let more = capacity - bytes.len();
    bytes
        .try_reserve_exact(more)
        .map_err(|_| FrameError::Memory(len))
}

#[cfg(test)]
mod tests {
    use wiber_model::Rng;

    use super::*;

    fn sized(frame: &[u8]) -> Vec<u8> {
        let mut bytes = (frame.len() as i32).to_be_bytes().to_vec();
        bytes.extend_from_slice(frame);
        bytes
    }

    fn feed_all(reader: &mut FrameReader, mut input: &[u8], frames: &mut Vec<Bytes>) {
        while let Some(frame) = reader.feed(&mut input).unwrap() {
            frames.push(frame);
        }
        assert!(input.is_empty());
    }

    #[test]
    fn frames_come_whole_however_the_stream_is_cut() {
        for seed in 0..30 {
            let mut rng = Rng::new(seed);
            let expected: Vec<Vec<u8>> = (0..20)
                .map(|_| {
                    let most = [1, 10, 5_000, 300_000][rng.below(4) as usize];
                    let mut frame = vec![0; rng.below(most) as usize];
                    rng.fill(&mut frame);
                    frame
                })
                .collect();
            let stream: Vec<u8> = expected.iter().flat_map(|frame| sized(frame)).collect();
            let (mut reader, mut frames) = (FrameReader::default(), Vec::new());
            let mut rest = &stream[..];
            let most = [2, 100, 70_000][rng.below(3) as usize];
            while !rest.is_empty() {
                if let Some(mut direct) = reader.direct()
                    && rng.one_in(2)
                {
                    let n = direct.remaining_mut().min(rest.len()).min(most);
                    direct.put_slice(&rest[..n]);
                    rest = &rest[n..];
                    frames.extend(reader.complete().unwrap());
                } else {
                    let n = (1 + rng.below(most as u64) as usize).min(rest.len());
                    feed_all(&mut reader, &rest[..n], &mut frames);
                    rest = &rest[n..];
                }
            }
            assert_eq!(frames, expected, "seed {seed}");
            assert!(!reader.is_in_frame());
            assert_eq!(reader.partial_bytes(), 0);
            for frame in frames.into_iter().filter(|frame| !frame.is_empty()) {
                let address = frame.as_ptr();
                let patchable = frame.try_into_mut().expect("a frame has memory of its own");
                assert_eq!(patchable.as_ptr(), address, "without a copy");
            }
        }
    }

    #[test]
    fn sizes_out_of_bounds_are_refused() {
        let most = MAX_FRAME_BYTES as i32;
        for size in [
            -1,
            i32::MIN,
            most + 1,
            i32::MAX,
            i32::from_be_bytes(*b"GET "),
        ] {
            let mut reader = FrameReader::default();
            let result = reader.feed(&mut &size.to_be_bytes()[..]);
            assert_eq!(result, Err(FrameError::Size(size, MAX_FRAME_BYTES)));
        }
        let mut reader = FrameReader::default();
        assert_eq!(reader.feed(&mut &most.to_be_bytes()[..]), Ok(None));
    }

    #[test]
    fn memory_grows_with_what_has_come() {
        let mut reader = FrameReader::default();
        let prefix = (MAX_FRAME_BYTES as i32).to_be_bytes();
        feed_all(&mut reader, &prefix, &mut Vec::new());
        let mut come = 0;
        while come < 2 << 20 {
            feed_all(&mut reader, &[1; 10_000], &mut Vec::new());
            come += 10_000;
            let partial = reader.partial.as_ref().unwrap();
            assert_eq!(partial.bytes.len(), come);
            assert!(partial.bytes.capacity() <= FIRST_MEMORY_BYTES.max(MEMORY_GROWTH * come));
        }
    }
}
