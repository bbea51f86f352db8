//! The machines of the running broker, and what becomes of their effects.

use std::collections::BTreeMap;

use bytes::Bytes;
use wiber_broker::{
    Address, Broker, ControllerMachine, DiskMachine, Effect, Event, Machine, Message, Shard,
};
use wiber_model::{Monotonic, Rng};
use wiber_storage::{DiskOp, FileId};

use super::{Ending, Item, World};
use crate::coverage::Count;
use crate::disk::Crash;
use crate::story::About;

/// A message from one machine to another takes up to so long, in nanoseconds.
const MESSAGE_NS: u64 = 20_000;
/// One that is late takes up to so long.
const LATE_MESSAGE_NS: u64 = 1_000_000;
/// A job takes up to so long.
const JOB_NS: u64 = 500_000;

/// A broker that runs.
pub(super) struct Running {
    pub shards: Vec<Shard>,
    controller: ControllerMachine,
    disk: DiskMachine,
    timers: BTreeMap<Address, u64>,
    stalled: BTreeMap<Address, u64>,
    /// When the last event from one machine, or from outside, to another arrives.
    arrivals: BTreeMap<(Option<Address>, Address), u64>,
    /// It was asked to stop.
    pub stopping: bool,
    /// What the disk said at the end: whether a checkpoint covers everything.
    checkpointed: bool,
    effects: Vec<Effect>,
}

impl Running {
    pub fn new(broker: Broker) -> Running {
        Running {
            shards: broker.shards,
            controller: broker.controller,
            disk: broker.disk,
            timers: BTreeMap::new(),
            stalled: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            stopping: false,
            checkpointed: false,
            effects: Vec::new(),
        }
    }

    pub fn addresses(&self) -> Vec<Address> {
        let shards = (0..self.shards.len() as u16).map(Address::Shard);
        shards.chain([Address::Controller, Address::Disk]).collect()
    }

    /// Whether a timer was not set anew since it was set.
    pub fn timer_is_due(&self, at: Address, generation: u64) -> bool {
        self.timers.get(&at) == Some(&generation)
    }

    /// One of the machines gets no message until then.
    pub fn stall(&mut self, until_ns: u64, rng: &mut Rng) {
        let addresses = self.addresses();
        let address = addresses[rng.below(addresses.len() as u64) as usize];
        self.stalled.insert(address, until_ns);
    }

    fn machine(&mut self, address: Address) -> Option<&mut dyn Machine> {
        match address {
            Address::Shard(number) => self
                .shards
                .get_mut(usize::from(number))
                .map(|shard| shard as &mut dyn Machine),
            Address::Controller => Some(&mut self.controller),
            Address::Disk => Some(&mut self.disk),
        }
    }

    fn validate(&self, address: Address) {
        match address {
            Address::Shard(number) => self.shards[usize::from(number)].validate(),
            Address::Controller => self.controller.validate(),
            Address::Disk => self.disk.validate(),
        }
    }
}

impl World<'_> {
    /// Sends an event to a machine, from another one or from outside. It arrives after those that were sent before it.
    pub(super) fn send_event(&mut self, from: Option<Address>, to: Address, event: Event) {
        let late = self.plan.late_messages > 0 && self.rng.one_in(self.plan.late_messages);
        let most = if late { LATE_MESSAGE_NS } else { MESSAGE_NS };
        let at = self.now_ns + 1 + self.rng.below(most);
        let Some(running) = &mut self.running else {
            return;
        };
        let stalled = running.stalled.get(&to).copied().unwrap_or(0);
        let last = running.arrivals.entry((from, to)).or_default();
        *last = at.max(stalled).max(*last + 1);
        let at = *last;
        self.schedule_at(at, Item::Event(to, Box::new(event)));
    }

    /// A machine takes an event.
    pub(super) fn step(&mut self, to: Address, event: Event) {
        let now = self.now();
        let Some(event) = self.admit(to, event) else {
            return;
        };
        let Some(running) = &mut self.running else {
            return;
        };
        self.steps += 1;
        let mut effects = std::mem::take(&mut running.effects);
        if let Some(machine) = running.machine(to) {
            machine.step(now, event, &mut effects);
        }
        running.validate(to);
        if let Address::Shard(number) = to {
            // What a step shows is there when its answers leave.
            let shard = &running.shards[usize::from(number)];
            for effect in &effects {
                if let Effect::Send {
                    message: Message::Append { frames, .. },
                    ..
                } = effect
                {
                    self.checker.append(
                        frames,
                        now,
                        (number, shard),
                        &mut self.coverage,
                        self.story,
                    );
                }
            }
            self.checker
                .observe(number, shard, self.disk.wal(), &mut self.coverage);
        }
        self.perform(to, &mut effects);
        if let Some(running) = &mut self.running {
            running.effects = effects;
        }
    }

    /// Performs what a machine wants, up to the end of the broker if it comes to that.
    fn perform(&mut self, from: Address, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            self.trace.add(number_of(from), &effect);
            match effect {
                Effect::Respond { connection, frame } => self.respond(from, connection, frame),
                Effect::Close { connection, reason } => self.close_by_broker(connection, &reason),
                Effect::Send { to, message } => self.send(from, to, message),
                Effect::Disk { token, op } => {
                    self.count_op(&op);
                    let told = self.story.is_told().then(|| describe(&op));
                    let (number, latency) = self.disk.begin(op, &mut self.coverage);
                    self.story.tell(About::Disk, || {
                        format!(
                            "operation {number} of {from:?}: {}",
                            told.unwrap_or_default()
                        )
                    });
                    self.schedule(latency, Item::DiskDone(from, token, number));
                }
                Effect::Job { token, job } => {
                    let delay = self.rng.below(JOB_NS);
                    self.schedule(delay, Item::JobDone(from, token, Box::new(job)));
                }
                Effect::WakeAt(at) => self.set_timer(from, at),
                // Simulated clients come by no listener.
                Effect::Admit(_) => {}
                Effect::Ready => {
                    self.story.tell(About::Broker, || "serves".to_owned());
                    self.checker.ready = true;
                }
                Effect::Stopped => {
                    self.stopped();
                    return;
                }
                Effect::Fatal(reason) => {
                    self.gave_up(&reason);
                    return;
                }
            }
        }
    }

    fn send(&mut self, from: Address, to: Address, message: Message) {
        if let Some(running) = &mut self.running {
            match &message {
                Message::Checkpointed { checkpoint } if to == Address::Controller => {
                    self.coverage.add(Count::Checkpoints);
                    self.story.tell(About::Broker, || {
                        format!("checkpoint {checkpoint} is durable")
                    });
                }
                Message::CheckpointFailed { checkpoint } if to == Address::Controller => {
                    self.coverage.add(Count::CheckpointsFailed);
                    self.story.tell(About::Broker, || {
                        format!("checkpoint {checkpoint} is given up")
                    });
                }
                Message::BeginCheckpoint { checkpoint } if to == Address::Controller => {
                    self.story
                        .tell(About::Broker, || format!("checkpoint {checkpoint} begins"));
                }
                Message::Space { accepting: false } if to == Address::Controller => {
                    self.coverage.add(Count::WalFull);
                    self.checker.excuses.space = true;
                    self.story.tell(About::Broker, || {
                        "the write-ahead log takes no more".to_owned()
                    });
                }
                Message::Closed { checkpointed } => running.checkpointed = *checkpointed,
                _ => {}
            }
        }
        self.send_event(Some(from), to, Event::Message { from, message });
    }

    fn set_timer(&mut self, of: Address, at: Monotonic) {
        let generation = self.next_item;
        if let Some(running) = &mut self.running {
            running.timers.insert(of, generation);
        }
        if at != Monotonic::NEVER {
            let late = self.rng.below(50_000);
            self.schedule_at(at.0.max(self.now_ns) + late, Item::Timer(of, generation));
        }
    }

    /// The broker stopped in good order.
    fn stopped(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        if !running.stopping {
            self.checker.fail(
                About::Broker,
                "the broker stopped, and nobody asked for that",
            );
        }
        let clean = running.checkpointed;
        let power_loss = self.rng.one_in(2);
        self.end(Ending::Stopped { clean, power_loss });
    }

    /// The broker says that it cannot go on.
    fn gave_up(&mut self, reason: &str) {
        self.coverage.add(Count::FatalStops);
        self.story
            .tell(About::Broker, || format!("gives up: {reason}"));
        if !reason.contains("os error 5") {
            self.checker.fail(
                About::Broker,
                format!("the broker gives up for no good reason: {reason}"),
            );
        }
        let crash = if self.rng.one_in(2) {
            Crash::Kill
        } else {
            Crash::PowerLoss
        };
        self.end(Ending::Crash(crash));
    }

    fn count_op(&mut self, op: &DiskOp) {
        let count = match op {
            DiskOp::Write {
                file: FileId::Segment(segment),
                at: 0,
                ..
            } if segment.generation > 0 => Count::SegmentsCompacted,
            DiskOp::Write {
                file: FileId::Segment(segment),
                at: 0,
                ..
            } if segment.base.0 > 0 => Count::Rolls,
            DiskOp::Write {
                file: FileId::Index(_),
                ..
            } => Count::IndexWrites,
            DiskOp::Read {
                file: FileId::Segment(_),
                ..
            } => Count::ColdReads,
            DiskOp::Read {
                file: FileId::Index(_),
                ..
            } => Count::IndexReads,
            _ => return,
        };
        self.coverage.add(count);
    }
}

/// An operation in words.
fn describe(op: &DiskOp) -> String {
    let paths = |files: &[FileId]| {
        files
            .iter()
            .map(FileId::path)
            .collect::<Vec<_>>()
            .join(", ")
    };
    match op {
        DiskOp::Read { file, at, len } => format!("read {len} bytes at {at} of {}", file.path()),
        DiskOp::Write { file, at, data } => {
            let bytes: usize = data.iter().map(Bytes::len).sum();
            format!("write {bytes} bytes at {at} of {}", file.path())
        }
        DiskOp::WalWrite {
            file,
            at,
            data,
            sync,
        } => {
            format!(
                "write {} bytes at {at} of {}, sync {sync}",
                data.len(),
                file.path()
            )
        }
        DiskOp::Allocate { file, len } => format!("allocate {len} bytes for {}", file.path()),
        DiskOp::Sync { files } => format!("sync {}", paths(files)),
        DiskOp::SyncDirectories { files } => format!("sync the directories of {}", paths(files)),
        DiskOp::Rename { from, to } => format!("rename {} to {}", from.path(), to.path()),
        DiskOp::Space => "look for space".to_owned(),
        DiskOp::Truncate { file, len } => format!("truncate {} to {len} bytes", file.path()),
        DiskOp::Delete { files } => format!("delete {}", paths(files)),
    }
}

fn number_of(address: Address) -> u64 {
    match address {
        Address::Shard(number) => u64::from(number),
        Address::Controller => 1 << 16,
        Address::Disk => 1 << 17,
    }
}
