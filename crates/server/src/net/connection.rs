//! One client's connection: reads requests, writes responses.
//!
//! Two parties hold it: its task, which waits for the socket, and the shard's driver, which answers. Both run on the shard's
//! thread. Responses are sent by the driver as soon as a batch of them is there; only what the socket does not take waits for the
//! task.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use wiber_broker::ConnectionId;
use wiber_model::Monotonic;
use wiber_protocol::Frame;

use super::budget::{Admission, Budget};
use super::frame_reader::{FrameError, FrameReader};
use super::limits::{Limits, STALLED_MIN_BYTES};
use super::outgoing::Outgoing;
use super::{Origin, ShardNet};

/// How often a connection reads before others get their turn.
const READS_PER_TURN: usize = 4;

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client closed it.
    Eof,
    /// The network lost it.
    Lost(io::Error),
    /// The broker closes it.
    Closed(String),
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> End {
        End::Closed(error.to_string())
    }
}

/// What the shard's driver and the task share.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) origin: Origin,
    socket: OwnedWriteHalf,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    reader: FrameReader,
    /// Frames that were read and that the limits do not let to the shard yet: what came in one read.
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// The sizes of the frames that the shard has and did not answer, in order.
    unanswered: VecDeque<usize>,
    unanswered_bytes: usize,
    /// What the budget counts for this connection.
    held_bytes: usize,
    /// Whether it reads beyond the budget.
    is_exception: bool,
    outgoing: Outgoing,
    /// Nothing is read any more, and the connection ends when everything is sent. With the reason, and the time since when.
    closing: Option<(String, Monotonic)>,
    /// The task is to end the connection for this reason.
    ended: Option<End>,
    /// Whether a limit of this connection keeps the task from reading.
    is_held_back: bool,
    task: Option<Waker>,
    /// Whether the client has ended its side, and the shard got a turn since.
    is_at_end: bool,
    /// Whether the driver is to send.
    is_dirty: bool,
    /// When bytes last came or went.
    active_at: Monotonic,
    /// How many frames were read.
    frames: u64,
    /// Where the frame that is coming in was at a check.
    mark: Option<Mark>,
}

/// How far a frame had come.
#[derive(Clone, Copy)]
struct Mark {
    at: Monotonic,
    frames: u64,
    bytes: usize,
}

impl Connection {
    /// Answers the oldest frame; whether the connection is new among those that are to be flushed.
    pub(crate) fn respond(&self, frame: Option<Frame>, budget: &Budget) -> bool {
        let state = &mut *self.state.borrow_mut();
        debug_assert!(!state.unanswered.is_empty(), "an answer to nothing");
        if state.closing.is_some() {
            return false;
        }
        state.unanswered_bytes -= state.unanswered.pop_front().unwrap_or(0);
        state.settle(self.id, budget);
        if let Some(frame) = &frame {
            state.outgoing.push(frame);
        }
        !std::mem::replace(&mut state.is_dirty, true)
    }

    /// Ends the connection when what was answered is sent; whether it is new among those that are to be flushed.
    pub(crate) fn close(&self, reason: String, now: Monotonic) -> bool {
        let mut state = self.state.borrow_mut();
        state.closing.get_or_insert((reason, now));
        !std::mem::replace(&mut state.is_dirty, true)
    }

    /// Whether frames that were read are still to be served.
    pub(crate) fn is_served(&self) -> bool {
        self.state.borrow().closing.is_none()
    }

    /// Sends what was answered, and goes on with the requests that waited for it.
    pub(crate) fn flush(&self, net: &ShardNet) {
        let state = &mut *self.state.borrow_mut();
        state.is_dirty = false;
        match state.outgoing.send(self.socket.as_ref()) {
            Ok(false) => {}
            Ok(true) => state.active_at = net.now(),
            Err(error) => state.ended = Some(End::Lost(error)),
        }
        state.hand_on(self.id, net);
        let task_is_wanted = state.ended.is_some()
            || state.closing.is_some()
            || state.is_held_back
            || !state.outgoing.is_empty();
        if task_is_wanted {
            state.wake();
        }
    }

    /// Ends the connection if it used up its time.
    pub(crate) fn check(&self, now: Monotonic, limits: &Limits) {
        let state = &mut *self.state.borrow_mut();
        if let Some(reason) = state.overdue(now, limits) {
            state.ended = Some(End::Closed(reason));
            state.wake();
        }
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    /// Tells the budget what the connection holds now.
    fn settle(&mut self, id: ConnectionId, budget: &Budget) {
        let held = self.unanswered_bytes + self.waiting_bytes + self.reader.partial_bytes();
        budget.settle(self.held_bytes, held);
        self.held_bytes = held;
        let is_done = self.unanswered.is_empty() && self.waiting.is_empty();
        if self.is_exception && is_done && !self.reader.is_in_frame() {
            self.end_exception(id, budget);
        }
    }

    /// Whether the limits keep the broker from working on more of this client's requests.
    fn is_at_limit(&self, net: &ShardNet) -> bool {
        let limits = net.limits();
        net.is_stopping()
            || self.closing.is_some()
            || self.unanswered.len() >= limits.unanswered_max
            || self.unanswered_bytes >= limits.unanswered_max_bytes
            || self.outgoing.bytes() >= limits.unsent_max_bytes
    }

    fn take(&mut self, frame: Bytes) {
        self.frames += 1;
        self.waiting_bytes += frame.len();
        self.waiting.push_back(frame);
    }

    /// Gives the shard as many frames as the limits allow.
    fn hand_on(&mut self, id: ConnectionId, net: &ShardNet) {
        while !self.waiting.is_empty() && !self.is_at_limit(net) {
            let Some(frame) = self.waiting.pop_front() else {
                return;
            };
            self.waiting_bytes -= frame.len();
            self.unanswered_bytes += frame.len();
            self.unanswered.push_back(frame.len());
            net.take_frame(id, frame);
        }
    }

    fn end_exception(&mut self, id: ConnectionId, budget: &Budget) {
        if std::mem::take(&mut self.is_exception) {
            budget.end_exception(id);
        }
    }

    /// Whether more may be read; if not, `waker` is woken when that may have changed.
    fn may_read(&mut self, id: ConnectionId, net: &ShardNet, waker: &Waker) -> bool {
        self.is_held_back = !self.waiting.is_empty() || self.is_at_limit(net);
        if self.is_held_back {
            // Others need not wait for this client to take its responses.
            self.end_exception(id, net.budget());
            return false;
        }
        let in_frame = self.reader.is_in_frame();
        let admission = net.budget().admit(id, in_frame, waker);
        self.is_exception |= admission == Admission::Exception;
        if admission == Admission::Refused {
            // It is not the client that stalls.
            self.mark = None;
        }
        admission != Admission::Refused
    }

    fn overdue(&mut self, now: Monotonic, limits: &Limits) -> Option<String> {
        let passed = |since: Monotonic, limit: std::time::Duration| {
            u128::from(now.ms_since(since)) >= limit.as_millis()
        };
        if let Some((reason, since)) = &self.closing {
            return passed(*since, limits.linger).then(|| reason.clone());
        }
        if self.unanswered.is_empty() && passed(self.active_at, limits.idle)
            || !self.outgoing.is_empty() && passed(self.active_at, limits.idle)
        {
            let limit = limits.idle.as_millis();
            return Some(format!("idle, and connections.max.idle.ms is {limit}"));
        }
        if !self.reader.is_in_frame() || self.is_held_back {
            self.mark = None;
            return None;
        }
        let (frames, bytes) = (self.frames, self.reader.partial_bytes());
        let mark = self
            .mark
            .filter(|mark| mark.frames == frames && bytes < mark.bytes + STALLED_MIN_BYTES);
        let mark = *self.mark.insert(mark.unwrap_or(Mark {
            at: now,
            frames,
            bytes,
        }));
        passed(mark.at, limits.stalled).then(|| {
            let limit = limits.stalled.as_millis();
            format!("half a request came in, of which {bytes} bytes, and too little of the rest since; wiber.request.stall.ms is {limit}")
        })
    }
}

/// Waits for the socket of a connection.
pub(crate) struct ConnectionTask {
    connection: Rc<Connection>,
    socket: OwnedReadHalf,
    net: Rc<ShardNet>,
}

impl ConnectionTask {
    pub(crate) fn new(
        id: ConnectionId,
        origin: Origin,
        stream: TcpStream,
        net: Rc<ShardNet>,
    ) -> ConnectionTask {
        let (read, write) = stream.into_split();
        let state = State {
            active_at: net.now(),
            reader: FrameReader::new(net.limits().request_max_bytes),
            ..State::default()
        };
        let connection = Rc::new(Connection {
            id,
            origin,
            socket: write,
            state: RefCell::new(state),
        });
        ConnectionTask {
            connection,
            socket: read,
            net,
        }
    }

    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Goes on with what the socket allows. Ready when the connection has ended.
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let (connection, net) = (self.connection.clone(), self.net.clone());
        let mut state = connection.state.borrow_mut();
        match &mut state.task {
            Some(task) => task.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        if let Some(end) = state.ended.take() {
            return Poll::Ready(end);
        }
        let stream: &TcpStream = connection.socket.as_ref();
        while !state.outgoing.is_empty() && stream.poll_write_ready(context).is_ready() {
            match state.outgoing.send(stream) {
                Ok(_) => state.active_at = net.now(),
                Err(error) => return Poll::Ready(End::Lost(error)),
            }
        }
        if state.outgoing.is_empty()
            && let Some((reason, _)) = state.closing.take()
        {
            return Poll::Ready(End::Closed(reason));
        }
        state.hand_on(connection.id, &net);
        for _ in 0..READS_PER_TURN {
            if !state.may_read(connection.id, &net, context.waker()) {
                return Poll::Pending;
            }
            match self.read(context, &mut state) {
                Poll::Ready(Ok(())) => {}
                // The shard is to look at what came before the end first: it may have a reason to close the connection.
                Poll::Ready(Err(End::Eof | End::Lost(_)))
                    if !state.unanswered.is_empty() && !state.is_at_end =>
                {
                    state.is_at_end = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => return Poll::Pending,
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once, and hands on the frames that are complete.
    fn read(&mut self, context: &mut Context<'_>, state: &mut State) -> Poll<Result<(), End>> {
        if let Some(mut rest) = state.reader.direct() {
            let read = pin!(self.socket.read_buf(&mut rest)).poll(context);
            std::task::ready!(check_read(read))?;
            if let Some(frame) = state.reader.complete()? {
                state.take(frame);
            }
        } else {
            let mut scratch = self.net.scratch();
            scratch.clear();
            let read = pin!(self.socket.read_buf(&mut *scratch)).poll(context);
            std::task::ready!(check_read(read))?;
            let mut input = &scratch[..];
            while let Some(frame) = state.reader.feed(&mut input)? {
                state.take(frame);
            }
        }
        state.active_at = self.net.now();
        state.hand_on(self.connection.id, &self.net);
        state.settle(self.connection.id, self.net.budget());
        Poll::Ready(Ok(()))
    }
}

fn check_read(read: Poll<io::Result<usize>>) -> Poll<Result<(), End>> {
    read.map(|result| match result {
        Ok(0) => Err(End::Eof),
        Ok(_) => Ok(()),
        Err(error) => Err(End::Lost(error)),
    })
}

impl Future for ConnectionTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.advance(context)
            .map(|end| self.net.ended(&self.connection, end))
    }
}

impl Drop for ConnectionTask {
    /// Gives back what the connection held, also when the shard's thread ends.
    fn drop(&mut self) {
        let state = &mut *self.connection.state.borrow_mut();
        self.net.budget().settle(state.held_bytes, 0);
        state.held_bytes = 0;
        state.end_exception(self.connection.id, self.net.budget());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_slow_request_that_makes_progress_is_no_stall() {
        let limits = Limits {
            stalled: Duration::from_secs(60),
            idle: Duration::MAX,
            ..Limits::default()
        };
        let second = |n: u64| Monotonic(n * 1_000_000_000);
        let mut state = State::default();
        let send = |state: &mut State, bytes: &[u8]| {
            assert_eq!(state.reader.feed(&mut &*bytes), Ok(None));
        };
        assert_eq!(state.overdue(second(0), &limits), None);
        send(&mut state, &1_000_000i32.to_be_bytes());
        let mut now = 1;
        for _ in 0..10 {
            assert_eq!(state.overdue(second(now), &limits), None);
            assert_eq!(state.overdue(second(now + 59), &limits), None);
            send(&mut state, &[0; STALLED_MIN_BYTES]);
            now += 60;
        }
        // Less than that is too little, however often it comes.
        for _ in 0..59 {
            assert_eq!(state.overdue(second(now), &limits), None);
            send(&mut state, &[0; 10]);
            now += 1;
        }
        let reason = state.overdue(second(now + 1), &limits).unwrap();
        assert!(reason.contains("half a request"), "{reason}");
    }

    #[test]
    fn time_that_the_broker_needs_is_not_the_client_s() {
        let limits = Limits::default();
        let late = Monotonic(u64::MAX / 2);
        let mut state = State::default();
        assert!(state.overdue(late, &limits).unwrap().contains("idle"));
        state.unanswered.push_back(1);
        assert_eq!(state.overdue(late, &limits), None);
        assert_eq!(state.reader.feed(&mut &[0, 0][..]), Ok(None));
        state.is_held_back = true;
        assert_eq!(state.overdue(Monotonic(0), &limits), None);
        assert_eq!(state.overdue(late, &limits), None);
        // But it is the client that leaves its responses untaken.
        let mut writer = wiber_protocol::Writer::with_capacity(4);
        writer.reserve_size();
        state.outgoing.push(&writer.finish_sized().unwrap());
        assert!(state.overdue(late, &limits).unwrap().contains("idle"));
    }
}
