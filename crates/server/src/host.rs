//! Machines on a thread: steps them, and carries what they want to whoever performs it.
//!
//! Invariants:
//! - Events from one machine to another arrive in order: those for a machine of the same thread wait in the queue here, those
//!   for another thread's go through its inbox.
//! - What a batch of steps sends goes out before anything is waited for.

use std::collections::VecDeque;
use std::sync::Arc;

use wiber_broker::broker_config::AdmissionLimits;
use wiber_broker::{Address, ConnectionId, Effect, Event, Job, JobToken, Machine};
use wiber_model::Monotonic;
use wiber_protocol::Frame;
use wiber_storage::{DiskOp, OpToken};

use crate::clock::Clock;
use crate::pool::Pool;
use crate::threads::{Mail, Notice, Notices, Post};

/// How many events are stepped before what they want is performed: it saves wake-ups to perform many effects at once, and
/// delays the first of them.
const EVENTS_PER_BATCH: usize = 64;

/// A disk operation on its way to the threads that perform it.
pub(crate) struct DiskTask {
    pub(crate) from: Address,
    pub(crate) token: OpToken,
    pub(crate) op: DiskOp,
}

/// A job on its way to a worker.
pub(crate) struct JobTask {
    pub(crate) from: Address,
    pub(crate) token: JobToken,
    pub(crate) job: Job,
}

/// The ways out of a thread, shared by all.
pub(crate) struct Ways {
    pub(crate) clock: Clock,
    pub(crate) post: Post,
    pub(crate) disk: Arc<Pool<DiskTask>>,
    pub(crate) jobs: Arc<Pool<JobTask>>,
    pub(crate) notices: Notices,
}

/// What a thread does itself of what its machines want. The defaults are for a thread without clients.
pub(crate) trait Edge {
    /// Takes an operation to perform it after this batch; gives it back if it is one for the pool.
    fn take_disk_op(&mut self, op: DiskOp, _token: OpToken) -> Option<DiskOp> {
        Some(op)
    }

    /// Whether a connection still is to get its frames served.
    fn serves(&self, _connection: ConnectionId) -> bool {
        false
    }

    /// Answers a request.
    fn respond(&mut self, _connection: ConnectionId, _frame: Option<Frame>) {}

    /// Closes a connection.
    fn close(&mut self, _connection: ConnectionId, _reason: String) {}

    /// From now on this says who may connect.
    fn admit(&mut self, _limits: AdmissionLimits) {}

    /// The broker serves.
    fn ready(&mut self) {}
}

struct Hosted {
    address: Address,
    machine: Box<dyn Machine + Send>,
    wake_at: Monotonic,
}

/// See the module.
pub(crate) struct Host {
    ways: Arc<Ways>,
    machines: Vec<Hosted>,
    queue: VecDeque<(Address, Event)>,
    effects: Vec<Effect>,
    /// By the number of the inbox.
    mail: Vec<Vec<Mail>>,
    disk: Vec<DiskTask>,
    jobs: Vec<JobTask>,
    failed: bool,
}

impl Host {
    /// Hosts machines. Each gets a first [`Event::Timer`], to begin what it has to do.
    pub(crate) fn new(
        ways: &Arc<Ways>,
        machines: impl IntoIterator<Item = (Address, Box<dyn Machine + Send>)>,
    ) -> Host {
        let hosted = |(address, machine)| Hosted {
            address,
            machine,
            wake_at: Monotonic(0),
        };
        Host {
            ways: ways.clone(),
            machines: machines.into_iter().map(hosted).collect(),
            queue: VecDeque::new(),
            effects: Vec::new(),
            mail: (0..ways.post.len()).map(|_| Vec::new()).collect(),
            disk: Vec::new(),
            jobs: Vec::new(),
            failed: false,
        }
    }

    /// Adds an event for a machine that is here.
    pub(crate) fn push(&mut self, to: Address, event: Event) {
        self.queue.push_back((to, event));
    }

    /// Whether events wait.
    pub(crate) fn has_events(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether a machine said that the broker cannot go on; nothing is stepped any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// When a machine here wants to be woken next.
    pub(crate) fn wake_at(&self) -> Monotonic {
        let times = self.machines.iter().map(|hosted| hosted.wake_at);
        times.min().unwrap_or(Monotonic::NEVER)
    }

    /// Steps a batch of events, timers that are due among them, and sends out what the machines want.
    pub(crate) fn step(&mut self, edge: &mut impl Edge) {
        let now = self.ways.clock.now();
        for hosted in &mut self.machines {
            if hosted.wake_at <= now.monotonic {
                hosted.wake_at = Monotonic::NEVER;
                self.queue.push_back((hosted.address, Event::Timer));
            }
        }
        for _ in 0..EVENTS_PER_BATCH {
            let Some((to, event)) = self.queue.pop_front() else {
                break;
            };
            let Some(at) = self.find(to) else {
                continue;
            };
            if let Event::Frame { connection, .. } = &event
                && !edge.serves(*connection)
            {
                continue;
            }
            let mut effects = std::mem::take(&mut self.effects);
            self.machines[at].machine.step(now, event, &mut effects);
            for effect in effects.drain(..) {
                self.route(at, effect, edge);
                if self.failed {
                    return self.drop_everything();
                }
            }
            self.effects = effects;
        }
        self.send();
    }

    fn find(&self, address: Address) -> Option<usize> {
        self.machines
            .iter()
            .position(|hosted| hosted.address == address)
    }

    fn route(&mut self, at: usize, effect: Effect, edge: &mut impl Edge) {
        let from = self.machines[at].address;
        match effect {
            Effect::Respond { connection, frame } => edge.respond(connection, frame),
            Effect::Close { connection, reason } => edge.close(connection, reason),
            Effect::Send { to, message } => {
                let event = Event::Message { from, message };
                if self.find(to).is_some() {
                    self.queue.push_back((to, event));
                } else {
                    self.mail[self.ways.post.number(to)].push(Mail::Event { to, event });
                }
            }
            Effect::Disk { token, op } => {
                if let Some(op) = edge.take_disk_op(op, token) {
                    self.disk.push(DiskTask { from, token, op });
                }
            }
            Effect::Job { token, job } => self.jobs.push(JobTask { from, token, job }),
            Effect::Admit(limits) => edge.admit(*limits),
            Effect::WakeAt(time) => self.machines[at].wake_at = time,
            Effect::Ready => {
                edge.ready();
                self.ways.notices.push(Notice::Ready);
            }
            Effect::Stopped => self.ways.notices.push(Notice::Stopped),
            Effect::Fatal(reason) => {
                self.failed = true;
                self.ways.notices.push(Notice::Failed(reason));
            }
        }
    }

    fn send(&mut self) {
        for (number, mail) in self.mail.iter_mut().enumerate() {
            self.ways.post.inbox(number).push_all(mail);
        }
        self.ways.disk.submit_all(&mut self.disk);
        self.ways.jobs.submit_all(&mut self.jobs);
    }

    /// A broker that cannot go on must not act on what it believed a moment ago.
    fn drop_everything(&mut self) {
        self.queue.clear();
        self.mail.iter_mut().for_each(Vec::clear);
        self.disk.clear();
        self.jobs.clear();
    }
}
