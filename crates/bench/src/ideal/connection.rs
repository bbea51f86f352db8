//! A client's connection to the ideal broker, which never blocks.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::{Buf, Bytes};
use rustix::buffer::spare_capacity;
use rustix::event::PollFlags;
use wiber_protocol::{Frame, SIZE_PREFIX_BYTES};

use crate::client::answer_bytes;
use crate::error::BenchError;

/// What is read at a time unless a frame is longer, in bytes.
const SCRATCH_BYTES: usize = 64 << 10;
/// Pieces that are written at a time.
const PIECES: usize = 16;
/// How often a connection is read before the others get their turn.
const READS_PER_TURN: usize = 4;

/// Memory that connections read into, in turn.
pub struct Scratch(Vec<u8>);

impl Scratch {
    /// An empty one.
    pub fn new() -> Scratch {
        Scratch(Vec::with_capacity(SCRATCH_BYTES))
    }
}

/// See the module.
pub struct Connection {
    stream: TcpStream,
    /// Of a size prefix that has not come whole.
    prefix: Vec<u8>,
    /// A frame that has not come whole, with the memory for all of it, and its size.
    partial: Option<(Vec<u8>, usize)>,
    frames: VecDeque<Bytes>,
    outgoing: VecDeque<Bytes>,
    is_closed: bool,
}

impl Connection {
    /// One that was just accepted.
    pub fn new(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            prefix: Vec::new(),
            partial: None,
            frames: VecDeque::new(),
            outgoing: VecDeque::new(),
            is_closed: false,
        })
    }

    /// Whether the client is gone.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What to wait for.
    pub fn wanted(&self) -> PollFlags {
        if self.outgoing.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::IN | PollFlags::OUT
        }
    }

    /// Reads what has come: the rest of a long frame right into its place.
    pub fn read(&mut self, scratch: &mut Scratch) -> Result<(), BenchError> {
        for _ in 0..READS_PER_TURN {
            scratch.0.clear();
            let (into, room) = match &mut self.partial {
                Some((frame, size)) if *size - frame.len() > SCRATCH_BYTES / 2 => {
                    let room = *size - frame.len();
                    (frame, room)
                }
                _ => (&mut scratch.0, SCRATCH_BYTES),
            };
            match rustix::io::read(&self.stream, spare_capacity(into)) {
                Ok(0) => self.is_closed = true,
                Ok(read) => {
                    self.take(&scratch.0)?;
                    if read == room {
                        continue;
                    }
                }
                Err(error) => match io::Error::from(error).kind() {
                    ErrorKind::WouldBlock => {}
                    ErrorKind::Interrupted => continue,
                    _ => self.is_closed = true,
                },
            }
            break;
        }
        Ok(())
    }

    /// Sorts what was read into frames.
    fn take(&mut self, mut input: &[u8]) -> Result<(), BenchError> {
        loop {
            if let Some((frame, size)) = &mut self.partial {
                let n = input.len().min(*size - frame.len());
                frame.extend_from_slice(&input[..n]);
                input = &input[n..];
                if frame.len() < *size {
                    return Ok(());
                }
                self.frames.push_back(std::mem::take(frame).into());
                self.partial = None;
            }
            if input.is_empty() {
                return Ok(());
            }
            let n = input.len().min(SIZE_PREFIX_BYTES - self.prefix.len());
            self.prefix.extend_from_slice(&input[..n]);
            input = &input[n..];
            if let Some(prefix) = self.prefix.first_chunk::<SIZE_PREFIX_BYTES>() {
                let size = answer_bytes(*prefix)?;
                self.prefix.clear();
                self.partial = Some((Vec::with_capacity(size), size));
            }
        }
    }

    /// The next request that is whole.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        self.frames.pop_front()
    }

    /// To be sent.
    pub fn answer(&mut self, frame: &Frame) {
        self.outgoing.extend(frame.chunks());
    }

    /// Sends what the socket takes.
    pub fn send(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            let slices: Vec<_> = self
                .outgoing
                .iter()
                .take(PIECES)
                .map(|piece| IoSlice::new(piece))
                .collect();
            match (&self.stream).write_vectored(&slices) {
                Ok(mut sent) => {
                    while let Some(piece) = self.outgoing.front_mut() {
                        if sent < piece.len() {
                            piece.advance(sent);
                            break;
                        }
                        sent -= piece.len();
                        self.outgoing.pop_front();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
