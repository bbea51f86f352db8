//! The thread of a shard: its runtime, its clients, and the machines that it drives.
//!
//! Requests that came in together are stepped together, and what they want is performed once for all of them.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::{debug, error};
use wiber_broker::broker_config::AdmissionLimits;
use wiber_broker::{Address, ConnectionId, Machine};
use wiber_model::Monotonic;
use wiber_protocol::Frame;

use crate::host::{Edge, Host, Ways};
use crate::net::{self, Clients, Door, ShardNet};
use crate::threads::{Accepted, Mail, Notice};

/// What a shard's thread begins with.
pub(crate) struct ShardThread {
    pub(crate) shard: u16,
    pub(crate) ways: Arc<Ways>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) machines: Vec<(Address, Box<dyn Machine + Send>)>,
    /// Where the first shard accepts clients once the broker serves.
    pub(crate) doors: Vec<Door>,
}

impl ShardThread {
    /// Runs until the mail says to stop.
    pub(crate) fn run(self) {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let reason = format!("cannot wait for sockets: {error}");
                return self.ways.notices.push(Notice::Failed(reason));
            }
        };
        let net = ShardNet::new(usize::from(self.shard), &self.clients, self.ways.clock);
        let driver = Driver {
            host: Host::new(&self.ways, self.machines),
            clients: ClientsOfShard {
                shard: self.shard,
                net,
                clients: self.clients,
                ways: self.ways,
                doors: self.doors,
                acceptors: Vec::new(),
            },
            mail: Vec::new(),
            alarm: Alarm::default(),
            check: Alarm::default(),
        };
        // The driver is a task of its own: to wake the future that the runtime blocks on costs a system call.
        let ended = runtime.block_on(runtime.spawn_local(driver));
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A timer that is set again only if it would be late.
#[derive(Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Sees to it that the task is woken at `at`, or before.
    fn set(&mut self, at: Option<Instant>, context: &mut Context<'_>) {
        let Some(at) = at else {
            return;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at || sleep.is_elapsed() {
            sleep.as_mut().reset(at);
        }
        if sleep.as_mut().poll(context).is_ready() {
            context.waker().wake_by_ref();
        }
    }

    fn is_due(&self) -> bool {
        self.sleep.as_ref().is_some_and(|sleep| sleep.is_elapsed())
    }
}

/// The task that steps the machines.
struct Driver {
    host: Host,
    clients: ClientsOfShard,
    mail: Vec<Mail>,
    /// For the machines.
    alarm: Alarm,
    /// For the time limits of connections.
    check: Alarm,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Driver {
            host,
            clients,
            mail,
            alarm,
            check,
        } = &mut *self;
        let (ways, net) = (clients.ways.clone(), clients.net.clone());
        let now = ways.clock.now().monotonic;
        let shard = Address::Shard(clients.shard);
        let inbox = &ways.post.shards[usize::from(clients.shard)];
        inbox.take(mail);
        for mail in mail.drain(..) {
            match mail {
                Mail::Event { to, event } => host.push(to, event),
                Mail::Connection(accepted) => clients.connect(accepted),
                Mail::StopServing => clients.stop_serving(),
                Mail::Stop => return Poll::Ready(()),
            }
        }
        net.begin_turn(now, context.waker(), |event| host.push(shard, event));
        host.step(clients);
        if host.has_failed() {
            return Poll::Ready(());
        }
        net.end_turn();
        inbox.poll(context, mail);
        if host.has_events() || net.has_events() || !mail.is_empty() {
            // Sockets and connections get their turn first.
            context.waker().wake_by_ref();
        }
        let wake_at = ways.clock.instant(host.wake_at());
        alarm.set(wake_at.map(Instant::from_std), context);
        clients.check_times(now, check, context);
        Poll::Pending
    }
}

/// The clients of a shard, and on the first shard's thread the door for all.
struct ClientsOfShard {
    shard: u16,
    net: Rc<ShardNet>,
    clients: Arc<Clients>,
    ways: Arc<Ways>,
    doors: Vec<Door>,
    acceptors: Vec<JoinHandle<()>>,
}

impl ClientsOfShard {
    fn connect(&self, accepted: Accepted) {
        match tokio::net::TcpStream::from_std(accepted.stream) {
            Ok(stream) => self.net.connect(stream, accepted.origin),
            Err(error) => {
                let peer = accepted.origin.peer;
                debug!(%peer, %error, "a connection was lost before it was served");
                self.clients.leave(usize::from(self.shard), accepted.origin);
            }
        }
    }

    fn stop_serving(&mut self) {
        self.net.stop_serving();
        self.doors.clear();
        for acceptor in self.acceptors.drain(..) {
            acceptor.abort();
        }
    }

    /// Checks the time limits of connections every now and then, while there are any.
    fn check_times(&self, now: Monotonic, check: &mut Alarm, context: &mut Context<'_>) {
        if check.is_due() {
            self.net.check_times(now);
        }
        if self.net.has_connections() {
            let interval: Duration = self.net.limits().check_interval();
            if check.sleep.is_none() || check.is_due() {
                check.set(Some(Instant::now() + interval), context);
            }
        }
    }
}

impl Edge for ClientsOfShard {
    fn serves(&self, connection: ConnectionId) -> bool {
        self.net.serves(connection)
    }

    fn respond(&mut self, connection: ConnectionId, frame: Option<Frame>) {
        self.net.respond(connection, frame);
    }

    fn close(&mut self, connection: ConnectionId, reason: String) {
        self.net.close(connection, reason);
    }

    fn admit(&mut self, limits: AdmissionLimits) {
        self.clients.set_admission(limits);
    }

    fn ready(&mut self) {
        for Door { listener, socket } in self.doors.drain(..) {
            match tokio::net::TcpListener::from_std(socket) {
                Ok(socket) => {
                    let (clients, net) = (self.clients.clone(), self.net.clone());
                    let acceptor = net::accept(socket, listener, clients, net, self.ways.clone());
                    self.acceptors.push(tokio::task::spawn_local(acceptor));
                }
                Err(error) => error!(%error, "cannot accept connections"),
            }
        }
    }
}
