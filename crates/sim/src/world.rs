//! One run: a broker, its disk, its clients and the time, all from one seed.
//!
//! The machines of the broker are driven as the server drives them: events from one machine to another arrive in the order in
//! which they were sent, and everything else in any order; operations and jobs end when they like. A step is one event for a machine
//! or one operation while a broker is opened; a crash may come before any of them.

mod links;
mod machines;

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use wiber_broker::{Address, Broker, Event, Job, JobToken, OpenError, open};
use wiber_model::{Monotonic, Now, Rng, TimestampMs};
use wiber_storage::io::DiskError;
use wiber_storage::recovery::RecoveryError;
use wiber_storage::{FileId, OpToken};

use crate::checker::{Checker, Violation};
use crate::client::admin::Admin;
use crate::client::asker::Asker;
use crate::client::consumer::Consumer;
use crate::client::member::Member;
use crate::client::producer::Producer;
use crate::client::verifier::Verifier;
use crate::client::{Client, Hands, Phase, caretaker, operator, prober};
use crate::coverage::{Count, Coverage};
use crate::disk::{Crash, DirectDisk, DiskFaults, OpNumber, SimDisk};
use crate::plan::{FaultSet, Incident, Plan};
use crate::story::{About, Story};
use crate::trace::Trace;
use links::{Delivery, Links};
use machines::Running;

/// The time of day when a run begins, in milliseconds: 2026-01-01.
const WALL_BEGIN_MS: i64 = 1_767_225_600_000;
/// A run that is wound up must end within so many steps.
const WIND_DOWN_STEPS_MAX: u64 = 100_000;
/// Whether a run is at its end is looked at once in so many steps.
const STEPS_BETWEEN_LOOKS: u64 = 16;
/// A client that has nothing to do rests twice as long each time, up to so often.
const IDLE_DOUBLINGS_MAX: u32 = 6;
/// The longest that a client rests, in nanoseconds.
const PAUSE_MAX_NS: u64 = 20_000_000;
/// A broker that was opened serves within so long, in nanoseconds, on the slowest of disks.
const READY_WITHIN_NS: u64 = 60_000_000_000;
/// A broker that cannot be opened because the disk fails gets a healthy disk after so many tries.
const OPENS_BEFORE_HEALING: u32 = 20;

/// What is going to happen.
#[derive(Debug)]
enum Item {
    /// An event comes to a machine.
    Event(Address, Box<Event>),
    /// An operation ends.
    DiskDone(Address, OpToken, OpNumber),
    /// A job ends.
    JobDone(Address, JobToken, Box<Job>),
    /// A machine's timer is due, if it was not set anew.
    Timer(Address, u64),
    /// A client acts, if nothing has woken it before.
    Wake(usize, u64),
    /// Something comes to a client.
    Delivery(u64, Box<Delivery>),
    /// The broker is started.
    Start,
}

/// Something that is going to happen, and when. The order is that of a heap: what comes first is greatest.
#[derive(Debug)]
struct Scheduled {
    at: u64,
    number: u64,
    life: u32,
    item: Item,
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Scheduled) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Scheduled) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Scheduled) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

/// When a client acts next.
#[derive(Clone, Copy, Debug, Default)]
struct Sleep {
    /// Of its alarms only the newest counts.
    alarm: u64,
    /// How often it had nothing to do since it last had.
    idle: u32,
    /// How long it rests otherwise, in microseconds.
    pause_us: u64,
}

/// How a life of the broker ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    /// The process or the machine died.
    Crash(Crash),
    /// The broker stopped; `clean` says that nothing may need recovery. Then the machine may lose power.
    Stopped { clean: bool, power_loss: bool },
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What went wrong, if something did.
    pub violation: Option<Violation>,
    /// What happened how often.
    pub coverage: Coverage,
    /// Equal for equal seeds.
    pub trace: Trace,
}

/// See the module.
pub struct World<'a> {
    plan: Plan,
    rng: Rng,
    now_ns: u64,
    wall_offset_ms: i64,
    steps: u64,
    phase: Phase,
    wound_up_at: u64,
    /// When it was last looked whether the run is at its end.
    looked_at: u64,
    /// The rounds of stop, start and verification that are left at the end.
    rounds_left: u32,
    queue: BinaryHeap<Scheduled>,
    next_item: u64,
    /// Counts the lives of the broker; what was meant for an earlier one is void.
    life: u32,
    disk: SimDisk,
    running: Option<Running>,
    /// The directory was opened to the end at least once.
    initialised: bool,
    /// When the broker was opened last.
    begun_ns: u64,
    /// The write-ahead log found no space for an extent, or a checkpoint, since.
    log_found_no_space: bool,
    opens_failed: u32,
    ended: Option<Ending>,
    links: Links,
    clients: Vec<Option<Box<dyn Client>>>,
    client_rngs: Vec<Rng>,
    sleeps: Vec<Sleep>,
    verifier: usize,
    checker: Checker,
    coverage: Coverage,
    trace: Trace,
    story: &'a mut Story,
    incidents: std::vec::IntoIter<(u64, Incident)>,
    next_incident: Option<(u64, Incident)>,
    refused: bool,
}

/// Runs a seed.
pub fn run(
    seed: u64,
    allowed: FaultSet,
    groups: bool,
    full_trace: bool,
    story: &mut Story,
) -> Outcome {
    let mut rng = Rng::new(seed);
    let mut plan = Plan::new(&mut rng, allowed);
    if groups {
        plan.add_groups(seed);
    }
    story.tell(About::Broker, || format!("the plan is {plan:?}"));
    let mut world = World::new(plan, rng, full_trace, story);
    world.run();
    world.coverage.add(Count::Runs);
    world.coverage.add_many(Count::Steps, world.steps);
    Outcome {
        violation: world.checker.violations.into_iter().next(),
        coverage: world.coverage,
        trace: world.trace,
    }
}

impl<'a> World<'a> {
    fn new(plan: Plan, mut rng: Rng, full_trace: bool, story: &'a mut Story) -> World<'a> {
        let mut clients: Vec<Option<Box<dyn Client>>> = Vec::new();
        clients.push(Some(Box::new(Admin::new(
            plan.topics.clone(),
            plan.pauses_us.1,
        ))));
        clients.push(Some(Box::new(Asker::new(prober::ask, plan.pauses_us.0))));
        clients.extend(
            plan.producers
                .iter()
                .map(|plan| Some(Box::new(Producer::new(plan.clone())) as Box<dyn Client>)),
        );
        clients.extend(
            plan.consumers
                .iter()
                .map(|plan| Some(Box::new(Consumer::new(plan.clone())) as Box<dyn Client>)),
        );
        clients.extend(
            plan.operator_pause_us
                .map(|pause| Some(Box::new(Asker::new(operator::act, pause)) as Box<dyn Client>)),
        );
        clients.extend(
            plan.groups
                .members
                .iter()
                .map(|plan| Some(Box::new(Member::new(plan.clone())) as Box<dyn Client>)),
        );
        clients.extend(
            plan.groups
                .caretaker_pause_us
                .map(|pause| Some(Box::new(Asker::new(caretaker::act, pause)) as Box<dyn Client>)),
        );
        let verifier = clients.len();
        let mut disk = SimDisk::new(rng.next_u64(), plan.disk_speed);
        disk.faults = plan.disk_faults;
        let mut checker = Checker::default();
        checker.excuses.expiry = plan.faults.has(crate::plan::Fault::Expiry);
        checker.excuses.clock = plan.faults.has(crate::plan::Fault::Clock);
        checker.excuses.read_errors = plan.disk_faults.read_error > 0;
        checker.groups.retention_ns = plan.groups.retention_ms.map(|ms| ms as u64 * 1_000_000);
        for member in &plan.groups.members {
            checker.groups.expect(member);
        }
        let mut incidents = plan.incidents.clone().into_iter();
        let client_rngs = (0..=verifier).map(|_| rng.fork()).collect();
        World {
            rounds_left: 1 + rng.below(2) as u32,
            rng,
            now_ns: 1_000_000_000,
            wall_offset_ms: 0,
            steps: 0,
            phase: Phase::Chaos,
            wound_up_at: 0,
            looked_at: 0,
            queue: BinaryHeap::new(),
            next_item: 0,
            life: 0,
            disk,
            running: None,
            initialised: false,
            begun_ns: 0,
            log_found_no_space: false,
            opens_failed: 0,
            ended: None,
            links: Links::new(verifier + 1),
            clients,
            client_rngs,
            sleeps: vec![Sleep::default(); verifier + 1],
            verifier,
            checker,
            coverage: Coverage::default(),
            trace: Trace::new(full_trace),
            story,
            next_incident: incidents.next(),
            incidents,
            refused: false,
            plan,
        }
    }

    fn run(&mut self) {
        self.clients.push(Some(Box::new(Verifier::default())));
        self.schedule(0, Item::Start);
        for client in 0..self.clients.len() {
            let delay = self.rng.below(100_000);
            self.wake_after(client, delay);
        }
        while self.checker.violations.is_empty() && !self.is_over() {
            self.take_incidents();
            let Some(next) = self.queue.pop() else {
                self.checker
                    .fail(About::Broker, "nothing is going to happen any more");
                return;
            };
            self.now_ns = self.now_ns.max(next.at);
            let of_the_past =
                next.life != self.life && !matches!(next.item, Item::Wake(..) | Item::Delivery(..));
            if !of_the_past {
                self.happen(next.number, next.item);
            }
            self.check_that_it_serves();
            let complaints = std::mem::take(&mut self.disk.complaints);
            for complaint in complaints {
                self.checker.fail(About::Disk, complaint);
            }
        }
    }

    /// Whatever fails, a broker that was opened serves after a while, unless so many starts on a full disk came before that the room
    /// that the log keeps for them is used up.
    fn check_that_it_serves(&mut self) {
        let waited_ns = self.now_ns - self.begun_ns;
        let serves = self.checker.ready || self.running.as_ref().is_none_or(|it| it.stopping);
        if !serves && waited_ns > READY_WITHIN_NS && !self.log_found_no_space {
            let what = format!(
                "the broker was opened {} ms ago and does not serve",
                waited_ns / 1_000_000
            );
            self.checker.fail(About::Broker, what);
        }
    }

    fn happen(&mut self, number: u64, item: Item) {
        self.story.at(self.steps, self.now_ns);
        self.trace
            .add(self.now_ns ^ number << 40, &(self.now_ns, &item));
        match item {
            Item::Event(to, event) => self.step(to, *event),
            Item::DiskDone(to, token, op) => {
                let result = self.disk.finish(op, &mut self.coverage);
                let no_space = result == Err(DiskError::NoSpace);
                self.checker.excuses.space |= no_space;
                self.log_found_no_space |= no_space && to == Address::Disk;
                self.story.tell(About::Disk, || match &result {
                    Ok(bytes) => format!("operation {op} ends: {} bytes", bytes.len()),
                    Err(error) => format!("operation {op} fails: {error}"),
                });
                self.step(to, Event::DiskDone { token, result });
            }
            Item::JobDone(to, token, job) => {
                self.coverage.add(Count::Jobs);
                let output = job.run();
                self.step(to, Event::JobDone { token, output });
            }
            Item::Timer(at, generation) => {
                if self
                    .running
                    .as_ref()
                    .is_some_and(|running| running.timer_is_due(at, generation))
                {
                    self.step(at, Event::Timer);
                }
            }
            Item::Wake(client, alarm) => {
                if self.sleeps[client].alarm == alarm {
                    self.wake(client);
                }
            }
            Item::Delivery(link, delivery) => self.deliver(link, *delivery),
            Item::Start => self.start(),
        }
    }

    fn schedule(&mut self, delay_ns: u64, item: Item) {
        self.schedule_at(self.now_ns + delay_ns, item);
    }

    fn schedule_at(&mut self, at: u64, item: Item) {
        let number = self.next_item;
        self.next_item += 1;
        let life = self.life;
        self.queue.push(Scheduled {
            at,
            number,
            life,
            item,
        });
    }

    fn now(&self) -> Now {
        let wall = WALL_BEGIN_MS + self.wall_offset_ms + (self.now_ns / 1_000_000) as i64;
        Now {
            monotonic: Monotonic(self.now_ns),
            wall: TimestampMs(wall),
        }
    }

    /// Whether the run is at its end. Takes it there, once its steps are used up.
    fn is_over(&mut self) -> bool {
        if self.refused {
            return true;
        }
        if self.phase == Phase::Chaos {
            if self.steps >= self.plan.steps {
                self.wind_down();
            }
            return false;
        }
        if self.steps < self.looked_at + STEPS_BETWEEN_LOOKS {
            return false;
        }
        self.looked_at = self.steps;
        let unfinished = self.unfinished();
        if unfinished.is_none() {
            self.checker.check_processed();
            if self.rounds_left == 0 {
                return true;
            }
            self.rounds_left -= 1;
            self.last_round();
        } else if self.steps > self.wound_up_at + WIND_DOWN_STEPS_MAX {
            let what = format!(
                "the run does not come to its end: {}",
                unfinished.unwrap_or_default()
            );
            self.checker.fail(About::Broker, what);
            return true;
        }
        false
    }

    /// Heals everything, and lets the clients finish.
    fn wind_down(&mut self) {
        self.story.at(self.steps, self.now_ns);
        self.story
            .tell(About::Broker, || "nothing breaks from here on".to_owned());
        self.phase = Phase::WindingDown;
        self.wound_up_at = self.steps;
        self.disk.faults = DiskFaults::default();
        self.disk.budget_bytes = u64::MAX;
        self.next_incident = None;
        self.verify();
    }

    /// Why the run cannot end yet.
    fn unfinished(&self) -> Option<String> {
        if self.running.as_ref().is_none_or(|running| running.stopping) || !self.checker.ready {
            return Some("the broker does not serve".to_owned());
        }
        self.clients
            .iter()
            .flatten()
            .find_map(|client| client.unfinished(&self.checker))
    }

    /// Ends the broker once more, in a way that must lose nothing, and has all read back.
    fn last_round(&mut self) {
        self.wound_up_at = self.steps;
        match self.rng.below(3) {
            0 => self.crash(Crash::PowerLoss),
            1 => self.crash(Crash::Kill),
            _ => {
                let clients_stay = self.rng.one_in(2);
                self.shut_down(clients_stay);
            }
        }
    }

    fn verify(&mut self) {
        let verifier = self.verifier;
        self.clients[verifier] = Some(Box::new(Verifier::begun()));
        self.disconnect_client(verifier);
    }

    /// Lets happen what the plan has for this step.
    fn take_incidents(&mut self) {
        while let Some((_, incident)) = self.next_incident.take_if(|(at, _)| *at <= self.steps) {
            self.next_incident = self.incidents.next();
            self.story.at(self.steps, self.now_ns);
            self.suffer(incident);
        }
    }

    fn suffer(&mut self, incident: Incident) {
        match incident {
            Incident::Crash(crash) => self.crash(crash),
            Incident::Shutdown { clients_stay } => self.shut_down(clients_stay),
            Incident::Flip => self.flip(),
            Incident::SpaceLeft(bytes) => {
                self.disk.budget_bytes = self.disk.used_bytes() + bytes;
                self.story
                    .tell(About::Broker, || format!("the disk has {bytes} bytes left"));
            }
            Incident::SpaceFreed => self.disk.budget_bytes = u64::MAX,
            Incident::ClockJump(ms) => {
                self.coverage.add(Count::ClockJumps);
                self.wall_offset_ms += ms;
                self.story
                    .tell(About::Broker, || format!("the clock jumps by {ms} ms"));
            }
            Incident::Disconnect => {
                if let Some(client) = self.links.some_client(&mut self.rng) {
                    self.coverage.add(Count::Disconnects);
                    self.disconnect_client(client);
                }
            }
            Incident::Stall(ns) => {
                if let Some(running) = &mut self.running {
                    running.stall(self.now_ns + ns, &mut self.rng);
                }
            }
        }
    }

    fn flip(&mut self) {
        if let Some(flip) = self.disk.flip(&mut self.coverage) {
            self.checker.flipped(&flip.cost);
            self.story.tell(About::Broker, || {
                let (file, cost) = (flip.file.path(), &flip.cost);
                format!("a bit flips in byte {} of {file}: {cost:?}", flip.byte)
            });
        }
    }

    fn shut_down(&mut self, clients_stay: bool) {
        let Some(running) = &mut self.running else {
            return;
        };
        running.stopping = true;
        self.story
            .tell(About::Broker, || "is asked to stop".to_owned());
        if !clients_stay {
            for client in 0..self.clients.len() {
                self.disconnect_client(client);
            }
        }
        self.send_event(None, Address::Controller, Event::Shutdown);
    }

    /// The broker dies where it stands.
    fn crash(&mut self, crash: Crash) {
        if let Some(running) = self.running.take() {
            if running.stopping {
                self.coverage.add(Count::CrashesInShutdown);
            }
            self.end(Ending::Crash(crash));
        }
    }

    /// The broker is no more.
    fn end(&mut self, ending: Ending) {
        self.running = None;
        self.checker.ready = false;
        self.checker.groups.crashed(self.now_ns);
        self.story.tell(About::Broker, || {
            format!("life {} ends: {ending:?}", self.life)
        });
        let crash = match ending {
            Ending::Crash(crash) => crash,
            Ending::Stopped {
                power_loss: true, ..
            } => Crash::PowerLoss,
            Ending::Stopped { .. } => Crash::Kill,
        };
        self.coverage.add(match (ending, crash) {
            (Ending::Stopped { .. }, _) => Count::Shutdowns,
            (_, Crash::Kill) => Count::Kills,
            (_, Crash::PowerLoss) => Count::PowerLosses,
        });
        let forsook = self.disk.forsook;
        self.disk.crash(crash, &mut self.coverage);
        if self.plan.faults.has(crate::plan::Fault::Flip)
            && self.phase == Phase::Chaos
            && self.rng.one_in(3)
        {
            self.flip();
        }
        // A failed write or sync leaves no more of what was not synced than a power loss does.
        let lossy = !matches!(ending, Ending::Stopped { clean: true, .. })
            && (crash == Crash::PowerLoss || forsook);
        self.checker.lossy |= lossy;
        self.ended = Some(ending);
        self.life += 1;
        self.cut_links();
        let delay = self.rng.below(5_000_000);
        self.schedule(delay, Item::Start);
    }

    /// Starts the broker.
    fn start(&mut self) {
        self.coverage.add(Count::Opens);
        let shards = 1 + self.rng.below(u64::from(self.plan.shards_max)) as u16;
        let mut options = self.plan.options.clone();
        options.shards = shards;
        let now = self.now();
        let seed = self.rng.next_u64();
        // A crash may be due while it is opened.
        let crash = match self.next_incident {
            Some((at, Incident::Crash(crash))) => Some((at.saturating_sub(self.steps), crash)),
            _ => None,
        };
        self.disk.set_fuse(crash.map(|(left, _)| left));
        let before = self.disk.performed();
        let failures = self.failures();
        let mut direct = DirectDisk {
            disk: &mut self.disk,
            coverage: &mut self.coverage,
        };
        let opened = open(&mut direct, options, now, seed);
        self.steps += self.disk.performed() - before;
        if let Some((_, crash)) = crash.filter(|_| self.disk.is_dead()) {
            self.coverage.add(Count::OpensCutShort);
            self.story
                .tell(About::Broker, || "the start is cut short".to_owned());
            self.next_incident = self.incidents.next();
            self.end(Ending::Crash(crash));
            return;
        }
        self.disk.set_fuse(None);
        match opened {
            Ok(broker) => self.begin_life(broker, shards),
            Err(error) => self.refuse_start(&error, self.failures() > failures),
        }
    }

    fn begin_life(&mut self, broker: Broker, shards: u16) {
        self.story.tell(About::Broker, || {
            let report = &broker.report;
            format!(
                "life {} begins with {shards} shards; recovery found {report:?}",
                self.life
            )
        });
        self.trace.add(0, &broker.report);
        if broker.report.frames > 0 {
            self.coverage.add(Count::GroupsReplayed);
        }
        let clean = matches!(self.ended, Some(Ending::Stopped { clean: true, .. }));
        if clean && broker.report.frames > 0 && !self.checker.excuses.flips {
            let what = format!(
                "the broker stopped in good order, and its next start had to recover: {:?}",
                broker.report
            );
            self.checker.fail(About::Broker, what);
        }
        let lossy = std::mem::take(&mut self.checker.lossy);
        self.checker
            .recovered(&broker, lossy, self.disk.wal(), &mut self.coverage);
        self.initialised = true;
        self.begun_ns = self.now_ns;
        self.log_found_no_space = false;
        self.opens_failed = 0;
        if self.running_shards_before() != Some(shards) {
            self.coverage.add(Count::ShardsChanged);
        }
        self.links.shards = shards;
        let running = Running::new(broker);
        let machines = running.addresses();
        self.running = Some(running);
        for address in machines {
            self.send_event(None, address, Event::Timer);
        }
        self.verify();
    }

    fn running_shards_before(&self) -> Option<u16> {
        self.initialised.then_some(self.links.shards)
    }

    /// The broker cannot be opened. A disk that fails, or that bits were flipped on, excuses that.
    fn refuse_start(&mut self, error: &OpenError, disk_failed: bool) {
        self.coverage.add(Count::OpensRefused);
        self.story
            .tell(About::Broker, || format!("cannot be opened: {error}"));
        self.opens_failed += 1;
        let full = self.disk.budget_bytes < u64::MAX && !self.initialised;
        if disk_failed || full {
            if self.opens_failed >= OPENS_BEFORE_HEALING {
                self.disk.faults = DiskFaults::default();
                self.disk.budget_bytes = u64::MAX;
            }
            let crash = if self.rng.one_in(2) {
                Crash::Kill
            } else {
                Crash::PowerLoss
            };
            self.end(Ending::Crash(crash));
        } else if self.is_refused_for_flips(error) {
            // It says so and leaves the directory alone: that is all that can be asked of it.
            self.coverage.add(Count::OpensRefusedForFlips);
            self.refused = true;
        } else {
            self.checker.fail(
                About::Broker,
                format!("the broker cannot be opened: {error}"),
            );
        }
    }

    /// Whether bits were flipped in something without which a start would have to guess: the checkpoint, or metadata in the
    /// write-ahead log. Damaged records are no reason.
    fn is_refused_for_flips(&self, error: &OpenError) -> bool {
        match error {
            OpenError::Recovery(RecoveryError::Checkpoint(_)) => {
                self.disk.flipped().contains(&FileId::Checkpoint)
            }
            OpenError::Recovery(
                RecoveryError::MetadataLost { .. } | RecoveryError::Metadata(_),
            ) => self.checker.excuses.metadata,
            _ => false,
        }
    }

    /// How often the disk failed of its own accord.
    fn failures(&self) -> u64 {
        let counts = [Count::FailedSync, Count::ReadError, Count::WriteError];
        counts.iter().map(|count| self.coverage.get(*count)).sum()
    }

    /// A client acts, and rests then: the longer, the longer it has had nothing to do.
    fn wake(&mut self, client: usize) {
        let mut pause_us = 0;
        let acted = self.act(client, |client, hands| pause_us = client.wake(hands));
        let sleep = &mut self.sleeps[client];
        sleep.pause_us = pause_us;
        sleep.idle = if acted {
            0
        } else {
            (sleep.idle + 1).min(IDLE_DOUBLINGS_MAX)
        };
        let longest = ((2_000 * pause_us) << sleep.idle).min(PAUSE_MAX_NS);
        let delay = longest / 2 + self.rng.below(longest / 2 + 1);
        self.wake_after(client, delay);
    }

    /// Something came to a client: it need not rest for as long as it wanted.
    fn rouse(&mut self, client: usize) {
        self.sleeps[client].idle = 0;
        let delay = self.rng.below(2_000 * self.sleeps[client].pause_us + 1);
        self.wake_after(client, delay);
    }

    fn wake_after(&mut self, client: usize, delay_ns: u64) {
        self.sleeps[client].alarm += 1;
        self.schedule(delay_ns, Item::Wake(client, self.sleeps[client].alarm));
    }

    /// Lets a client do something, and does what it wants. Returns whether it wants anything.
    fn act(&mut self, number: usize, what: impl FnOnce(&mut dyn Client, &mut Hands<'_>)) -> bool {
        let Some(mut client) = self.clients[number].take() else {
            return false;
        };
        let mut hands = Hands {
            client: number,
            now_ns: self.now_ns,
            wall: self.now().wall,
            phase: self.phase,
            rng: &mut self.client_rngs[number],
            checker: &mut self.checker,
            coverage: &mut self.coverage,
            story: self.story,
            actions: Vec::new(),
        };
        what(client.as_mut(), &mut hands);
        let actions = hands.actions;
        self.clients[number] = Some(client);
        let acted = !actions.is_empty();
        for action in actions {
            self.perform_action(number, action);
        }
        acted
    }
}
