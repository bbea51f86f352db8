//! Responses on their way out: chunks that go out in as few system calls as possible.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use bytes::{Buf, Bytes};
use tokio::net::TcpStream;
use wiber_protocol::Frame;

/// The most chunks in one system call.
const CHUNKS_MAX: usize = 64;
/// A queue that grew beyond this is given back when it is empty.
const KEEP_CHUNKS: usize = 64;

/// The chunks of a connection that were not sent yet.
#[derive(Default)]
pub(crate) struct Outgoing {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Outgoing {
    pub(crate) fn push(&mut self, frame: &Frame) {
        self.bytes += frame.len();
        self.chunks.extend(frame.chunks());
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Sends what the socket takes; whether that was something.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(crate) fn send(&mut self, stream: &TcpStream) -> io::Result<bool> {
        let mut sent_any = false;
        while !self.chunks.is_empty() {
            let mut slices = [IoSlice::new(&[]); CHUNKS_MAX];
            let count = self.chunks.len().min(CHUNKS_MAX);
            for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                *slice = IoSlice::new(chunk);
            }
            match stream.try_write_vectored(&slices[..count]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => self.advance(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(sent_any),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            sent_any = true;
        }
        if self.chunks.capacity() > KEEP_CHUNKS {
            self.chunks = VecDeque::new();
        }
        Ok(sent_any)
    }

    fn advance(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while let Some(chunk) = self.chunks.front_mut() {
            if sent < chunk.len() {
                return chunk.advance(sent);
            }
            sent -= chunk.len();
            self.chunks.pop_front();
        }
    }
}
