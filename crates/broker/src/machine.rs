//! The machines of a broker and what passes between them and the world.
//!
//! A broker is a number of [`Shard`](crate::Shard)s, one controller and one machine for the disk. Each takes one [`Event`] at a
//! time and answers with [`Effect`]s. Whoever drives them (the server with threads, the simulator with a seeded queue) keeps
//! three promises: events from one machine to another arrive in the order in which they were sent; every disk operation and
//! every job is answered exactly once; and `now` never goes back.

use std::net::SocketAddr;

use bytes::Bytes;
use wiber_model::{Monotonic, Now};
use wiber_protocol::Frame;
use wiber_storage::{DiskOp, DiskResult, OpToken};

use crate::broker_config::AdmissionLimits;
use crate::job::{Job, JobOutput};
use crate::message::Message;

/// A machine of this broker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Address {
    /// A shard, by its number from 0.
    Shard(u16),
    /// The metadata controller.
    Controller,
    /// The disk's write-ahead log.
    Disk,
}

/// A client's connection; never used again once it is closed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(pub u64);

/// Names a job in flight; unique for the machine that emitted it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobToken(pub u64);

/// What happens to a machine.
#[derive(Debug)]
pub enum Event {
    /// A client connected to this shard.
    Connected {
        /// The connection.
        connection: ConnectionId,
        /// The client's address.
        peer: SocketAddr,
        /// The address that the client reached: what it is told to come back to where nothing else is advertised.
        local: SocketAddr,
        /// The number of the listener that it came by, among those of [`BrokerOptions`](crate::BrokerOptions).
        listener: u16,
    },
    /// A whole request came in, without its size prefix. The driver has checked its size against the limit. It is
    /// answered by exactly one [`Effect::Respond`] or by [`Effect::Close`].
    Frame {
        /// The connection.
        connection: ConnectionId,
        /// The bytes.
        frame: Bytes,
    },
    /// The connection is gone; whatever was asked on it need not be answered.
    Disconnected {
        /// The connection.
        connection: ConnectionId,
    },
    /// Another machine of this broker says something.
    Message {
        /// Who.
        from: Address,
        /// What.
        message: Message,
    },
    /// A disk operation ended.
    DiskDone {
        /// Which one.
        token: OpToken,
        /// How.
        result: DiskResult,
    },
    /// A job ended.
    JobDone {
        /// Which one.
        token: JobToken,
        /// Its result.
        output: JobOutput,
    },
    /// The time that the machine asked to be woken at has come. One that comes early or twice does no harm.
    Timer,
    /// To the controller: stop in good order. Requests that were begun are finished, others are not begun;
    /// [`Effect::Stopped`] follows.
    Shutdown,
}

/// What a machine wants done.
#[derive(Debug)]
pub enum Effect {
    /// Answers the oldest unanswered frame of a connection. An empty answer (acks=0) only says that the frame is done with.
    Respond {
        /// The connection.
        connection: ConnectionId,
        /// The frame with its size prefix, or nothing.
        frame: Option<Frame>,
    },
    /// Closes a connection after what was answered on it; the reason is for the log.
    Close {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: String,
    },
    /// Says something to another machine.
    Send {
        /// To whom.
        to: Address,
        /// What.
        message: Message,
    },
    /// Performs a disk operation.
    Disk {
        /// Its name.
        token: OpToken,
        /// What to do.
        op: DiskOp,
    },
    /// Runs a pure function somewhere.
    Job {
        /// Its name.
        token: JobToken,
        /// The function and its arguments.
        job: Job,
    },
    /// From the first shard: from now on this says who may connect.
    Admit(Box<AdmissionLimits>),
    /// Asks for an [`Event::Timer`] at that time; replaces what was asked before.
    WakeAt(Monotonic),
    /// From the controller, once: the broker serves every partition that it leads.
    Ready,
    /// From the controller, once: all is on disk and nothing will need recovery.
    Stopped,
    /// The broker cannot go on (a failed sync, D8). The process ends with this message and status 1.
    Fatal(String),
}

/// A part of a broker that is driven by events.
pub trait Machine {
    /// Takes one event, at `now`, and appends what it wants done to `effects`.
    fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>);
}
