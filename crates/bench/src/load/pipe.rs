//! One connection with requests on their way, which never blocks.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use wiber_protocol::messages::{ProduceRequest, ProduceResponse};
use wiber_protocol::{ApiKey, SIZE_PREFIX_BYTES, decode_response, encode_request};

use crate::client::{CLIENT_ID, PRODUCE_VERSION, answer_bytes};
use crate::error::BenchError;

/// Read at a time, in bytes.
const READ_BYTES: usize = 64 << 10;
/// Pieces that are written at a time.
const PIECES: usize = 16;

/// A request that was answered.
pub struct Answered {
    /// Its number over all connections.
    pub request: u64,
    /// When it was handed to the connection.
    pub sent: Instant,
}

/// One connection with requests on their way.
pub struct Pipe {
    stream: TcpStream,
    outgoing: VecDeque<Bytes>,
    incoming: BytesMut,
    on_the_way: VecDeque<Answered>,
    next_correlation_id: i32,
    next_answer_id: i32,
}

impl Pipe {
    /// Connects.
    pub fn connect(broker: SocketAddr) -> Result<Pipe, BenchError> {
        let fail = |error| BenchError::Connect(broker, error);
        let stream = TcpStream::connect(broker).map_err(fail)?;
        stream.set_nodelay(true).map_err(fail)?;
        stream.set_nonblocking(true).map_err(fail)?;
        Ok(Pipe {
            stream,
            outgoing: VecDeque::new(),
            incoming: BytesMut::new(),
            on_the_way: VecDeque::new(),
            next_correlation_id: 0,
            next_answer_id: 0,
        })
    }

    /// Requests that await an answer.
    pub fn in_flight(&self) -> usize {
        self.on_the_way.len()
    }

    /// Whether something could not be written yet.
    pub fn is_blocked(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Queues a request; [`flush`](Pipe::flush) writes it.
    pub fn send(
        &mut self,
        body: &ProduceRequest,
        request: u64,
        now: Instant,
    ) -> Result<(), BenchError> {
        let id = self.next_correlation_id;
        self.next_correlation_id = id.wrapping_add(1);
        let frame = encode_request(body, PRODUCE_VERSION, id, Some(CLIENT_ID))?;
        self.outgoing.extend(frame.chunks());
        self.on_the_way.push_back(Answered { request, sent: now });
        Ok(())
    }

    /// Writes what the socket takes.
    pub fn flush(&mut self) -> Result<(), BenchError> {
        while !self.outgoing.is_empty() {
            let pieces: Vec<_> = self
                .outgoing
                .iter()
                .take(PIECES)
                .map(|piece| IoSlice::new(piece))
                .collect();
            match self.stream.write_vectored(&pieces) {
                Ok(0) => return Err(BenchError::Closed),
                Ok(written) => self.drop_written(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn drop_written(&mut self, mut written: usize) {
        while let Some(first) = self.outgoing.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.outgoing.pop_front();
        }
    }

    /// Reads what has come.
    pub fn receive(&mut self) -> Result<(), BenchError> {
        let mut piece = [0; READ_BYTES];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(BenchError::Closed),
                Ok(read) => {
                    self.incoming.extend_from_slice(&piece[..read]);
                    if read < piece.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next answer that is whole. A refusal is an error.
    pub fn next_answer(&mut self) -> Result<Option<Answered>, BenchError> {
        let Some(&prefix) = self.incoming.first_chunk::<SIZE_PREFIX_BYTES>() else {
            return Ok(None);
        };
        let size = answer_bytes(prefix)?;
        if self.incoming.len() < SIZE_PREFIX_BYTES + size {
            return Ok(None);
        }
        self.incoming.advance(SIZE_PREFIX_BYTES);
        let frame = self.incoming.split_to(size).freeze();
        let (got, response) = decode_response::<ProduceResponse>(frame, PRODUCE_VERSION)?;
        let expected = self.next_answer_id;
        self.next_answer_id = expected.wrapping_add(1);
        let answered = self
            .on_the_way
            .pop_front()
            .filter(|_| got == expected)
            .ok_or(BenchError::OutOfOrder { expected, got })?;
        for topic in &response.responses {
            for partition in &topic.partition_responses {
                BenchError::check(ApiKey::Produce, partition.error_code)?;
            }
        }
        Ok(Some(answered))
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
