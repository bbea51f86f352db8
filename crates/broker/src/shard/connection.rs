//! One client's connection: what came in and may not begin yet, and what is not answered yet.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use wiber_protocol::Frame;

use crate::message::RequestId;

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that the client reached.
    pub local: SocketAddr,
    /// The number of the listener that it came by.
    pub listener: u16,
    /// Requests that have not begun.
    pub frames: VecDeque<Bytes>,
    /// The request that those behind it wait for.
    pub held_by: Option<RequestId>,
    /// Whether the log says that the client wants what is not served.
    pub is_told: bool,
    /// The client is gone. What it sent to be stored is still stored: one with acks=0 may well leave at once.
    pub gone: bool,
    /// Requests that have begun, in order; an answer waits for those before it.
    answers: VecDeque<(RequestId, Option<Option<Frame>>)>,
}

impl Connection {
    pub fn new(peer: SocketAddr, local: SocketAddr, listener: u16) -> Connection {
        Connection {
            peer,
            local,
            listener,
            frames: VecDeque::new(),
            held_by: None,
            is_told: false,
            gone: false,
            answers: VecDeque::new(),
        }
    }

    /// The next request that may begin.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        if self.held_by.is_some() {
            return None;
        }
        self.frames.pop_front()
    }

    /// A request has begun.
    pub fn expect(&mut self, request: RequestId) {
        self.answers.push_back((request, None));
    }

    /// Whether a request has begun and is not answered.
    pub fn awaits(&self, request: RequestId) -> bool {
        self.answers
            .iter()
            .any(|(id, answer)| *id == request && answer.is_none())
    }

    /// A request's answer is here (`None` for acks=0).
    pub fn answer(&mut self, request: RequestId, frame: Option<Frame>) {
        if let Some(slot) = self.answers.iter_mut().find(|(id, _)| *id == request) {
            slot.1 = Some(frame);
        }
    }

    /// The next answer that may go out.
    pub fn next_answer(&mut self) -> Option<Option<Frame>> {
        let (_, answer) = self.answers.pop_front_if(|(_, answer)| answer.is_some())?;
        answer
    }

    /// Whether nothing is left to do for it.
    pub fn is_idle(&self) -> bool {
        self.frames.is_empty() && self.answers.is_empty()
    }

    /// The requests that are not answered.
    pub fn unanswered(&self) -> impl Iterator<Item = RequestId> {
        self.answers
            .iter()
            .filter(|(_, answer)| answer.is_none())
            .map(|(id, _)| *id)
    }
}
