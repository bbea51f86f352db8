//! Clients: their connections, the requests that they send and the responses that they get.
//!
//! Each shard has its connections to itself; all share the limits. The first shard's thread accepts clients for all of them.

mod acceptor;
mod admission;
mod budget;
mod connection;
mod frame_reader;
mod limits;
mod outgoing;

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpStream;
use tracing::{debug, info};
use wiber_broker::broker_config::AdmissionLimits;
use wiber_broker::{ConnectionId, Event};
use wiber_model::Monotonic;
use wiber_protocol::Frame;

pub(crate) use acceptor::{Door, accept, bind};
use admission::{Admission, Refusal};
use budget::Budget;
use connection::{Connection, ConnectionTask, End};
pub(crate) use limits::Limits;

use crate::clock::Clock;

/// What a connection reads at once, in bytes. One buffer serves all connections of a shard, so that idle ones hold none.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Lines about closed connections that a shard logs between two checks for time limits; the rest is only counted.
const CLOSE_LINES_MAX: u64 = 100;

/// What all shards share about clients.
pub(crate) struct Clients {
    limits: Limits,
    budget: Budget,
    admission: Mutex<Admission>,
    /// The connections of each shard.
    counts: Vec<AtomicUsize>,
    next_id: AtomicU64,
}

impl Clients {
    /// Of a broker with listeners of these names.
    pub(crate) fn new(limits: Limits, shards: usize, listeners: Vec<String>) -> Clients {
        let (admission, descriptors_max) = (limits.admission.clone(), limits.descriptors_max);
        Clients {
            budget: Budget::new(limits.requests_max_bytes),
            admission: Mutex::new(Admission::new(admission, descriptors_max, listeners)),
            limits,
            counts: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            next_id: AtomicU64::new(0),
        }
    }

    /// Finds the shard with the fewest connections and counts one more for it, if the client may connect.
    fn admit(&self, origin: Origin) -> Result<usize, Refusal> {
        self.admission()
            .admit(origin.listener, origin.address(), Instant::now())?;
        let counts = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let fewest = counts.enumerate().min_by_key(|(_, count)| *count);
        let shard = fewest.map_or(0, |(shard, _)| shard);
        self.counts[shard].fetch_add(1, Ordering::Relaxed);
        Ok(shard)
    }

    /// How long the next client of a listener is to wait.
    fn pause(&self, listener: usize) -> Option<Duration> {
        self.admission().pause(listener, Instant::now())
    }

    /// A connection of a shard has ended.
    pub(crate) fn leave(&self, shard: usize, origin: Origin) {
        self.counts[shard].fetch_sub(1, Ordering::Relaxed);
        self.admission().leave(origin.listener, origin.address());
    }

    /// From now on, this says who may connect; whoever is connected stays so.
    pub(crate) fn set_admission(&self, limits: AdmissionLimits) {
        self.admission().set_limits(limits);
    }

    fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    /// The client, by IPv4 if it came so to a socket of both families.
    pub(crate) peer: SocketAddr,
    /// The number of the listener.
    pub(crate) listener: usize,
}

impl Origin {
    fn new(peer: SocketAddr, listener: usize) -> Origin {
        Origin {
            peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
            listener,
        }
    }

    /// The client's address.
    fn address(self) -> IpAddr {
        self.peer.ip()
    }
}

/// The connections of one shard.
pub(crate) struct ShardNet {
    shard: usize,
    clients: Arc<Clients>,
    connections: RefCell<HashMap<ConnectionId, Rc<Connection>>>,
    /// What happened to connections and was not told to the shard yet.
    events: RefCell<VecDeque<Event>>,
    /// Of the task that tells the shard.
    driver: RefCell<Option<Waker>>,
    /// Those that have something to send.
    dirty: RefCell<Vec<Rc<Connection>>>,
    scratch: RefCell<Vec<u8>>,
    clock: Clock,
    /// The time of the driver's last turn: near enough for time limits.
    now: Cell<Monotonic>,
    close_lines: Cell<u64>,
    is_stopping: Cell<bool>,
}

impl ShardNet {
    pub(crate) fn new(shard: usize, clients: &Arc<Clients>, clock: Clock) -> Rc<ShardNet> {
        Rc::new(ShardNet {
            shard,
            clients: clients.clone(),
            connections: RefCell::default(),
            events: RefCell::default(),
            driver: RefCell::default(),
            dirty: RefCell::default(),
            scratch: RefCell::new(Vec::with_capacity(SCRATCH_BYTES)),
            clock,
            now: Cell::new(clock.now().monotonic),
            close_lines: Cell::new(0),
            is_stopping: Cell::new(false),
        })
    }

    /// Serves a client that was counted when it was accepted. To be called on the shard's thread, within its runtime.
    pub(crate) fn connect(self: &Rc<ShardNet>, stream: TcpStream, origin: Origin) {
        let Origin { peer, listener } = origin;
        let local = match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
            Ok(local) => local,
            Err(error) => {
                debug!(%peer, %error, "a connection was lost before it was served");
                return self.clients.leave(self.shard, origin);
            }
        };
        let connection = ConnectionId(self.clients.next_id.fetch_add(1, Ordering::Relaxed));
        debug!(connection = connection.0, %peer, "connected");
        self.now.set(self.clock.now().monotonic);
        let task = ConnectionTask::new(connection, origin, stream, self.clone());
        let shared = task.connection().clone();
        self.connections.borrow_mut().insert(connection, shared);
        self.tell(Event::Connected {
            connection,
            peer,
            local,
            listener: listener as u16,
        });
        tokio::task::spawn_local(task);
    }

    /// Whether anything happened that the shard was not told.
    pub(crate) fn has_events(&self) -> bool {
        !self.events.borrow().is_empty()
    }

    /// Whether there are connections.
    pub(crate) fn has_connections(&self) -> bool {
        !self.connections.borrow().is_empty()
    }

    /// The driver's turn begins: gives it what happened. `waker` is woken when there is more.
    pub(crate) fn begin_turn(&self, now: Monotonic, waker: &Waker, mut take: impl FnMut(Event)) {
        self.now.set(now);
        match &mut *self.driver.borrow_mut() {
            Some(driver) => driver.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        self.events.borrow_mut().drain(..).for_each(&mut take);
    }

    /// The driver's turn ends: sends what was answered.
    pub(crate) fn end_turn(&self) {
        for connection in self.dirty.borrow_mut().drain(..) {
            connection.flush(self);
        }
    }

    /// Whether frames of a connection are still to be served. Those of a client that went are: it may have wanted no answer.
    pub(crate) fn serves(&self, connection: ConnectionId) -> bool {
        let connections = self.connections.borrow();
        connections
            .get(&connection)
            .is_none_or(|connection| connection.is_served())
    }

    /// Answers the oldest frame of a connection at the end of this turn.
    pub(crate) fn respond(&self, connection: ConnectionId, frame: Option<Frame>) {
        if let Some(connection) = self.connections.borrow().get(&connection)
            && connection.respond(frame, self.budget())
        {
            self.dirty.borrow_mut().push(connection.clone());
        }
    }

    /// Closes a connection when what was answered is sent.
    pub(crate) fn close(&self, connection: ConnectionId, reason: String) {
        if let Some(connection) = self.connections.borrow().get(&connection)
            && connection.close(reason, self.now())
        {
            self.dirty.borrow_mut().push(connection.clone());
        }
    }

    /// Takes no more requests.
    pub(crate) fn stop_serving(&self) {
        self.is_stopping.set(true);
    }

    /// Closes the connections that used up their time.
    pub(crate) fn check_times(&self, now: Monotonic) {
        self.now.set(now);
        let lines = self.close_lines.take();
        if lines > CLOSE_LINES_MAX {
            info!("{} more connections were closed", lines - CLOSE_LINES_MAX);
        }
        for connection in self.connections.borrow().values() {
            connection.check(now, self.limits());
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.clients.limits
    }

    fn budget(&self) -> &Budget {
        &self.clients.budget
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    fn now(&self) -> Monotonic {
        self.now.get()
    }

    fn scratch(&self) -> RefMut<'_, Vec<u8>> {
        self.scratch.borrow_mut()
    }

    fn take_frame(&self, connection: ConnectionId, frame: Bytes) {
        self.tell(Event::Frame { connection, frame });
    }

    /// A connection has ended.
    fn ended(&self, connection: &Connection, end: End) {
        let (id, origin) = (connection.id, connection.origin);
        let peer = origin.peer;
        match end {
            End::Eof => debug!(connection = id.0, %peer, "disconnected"),
            End::Lost(error) => debug!(connection = id.0, %peer, %error, "lost a connection"),
            End::Closed(reason) => {
                let line = self.close_lines.get();
                self.close_lines.set(line + 1);
                if line < CLOSE_LINES_MAX {
                    info!(connection = id.0, %peer, reason, "closed a connection");
                }
            }
        }
        self.connections.borrow_mut().remove(&id);
        self.clients.leave(self.shard, origin);
        self.tell(Event::Disconnected { connection: id });
    }

    fn tell(&self, event: Event) {
        self.events.borrow_mut().push_back(event);
        if let Some(driver) = self.driver.borrow_mut().take() {
            driver.wake();
        }
    }
}
