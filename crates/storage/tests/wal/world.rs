//! A log under random load, with crashes at every operation, against a model of what it must keep.

use std::collections::BTreeMap;

use bytes::Bytes;
use wiber_model::{Lsn, Rng};
use wiber_storage::wal::{self, Opened};
use wiber_storage::{
    Checkpoint, Disk, DiskError, DiskOp, Frame, OpToken, Participant, Wal, WalEffect, WalEvent,
};

use crate::disk::MemDisk;
use crate::{OPTIONS, PARTICIPANTS, identity, open};

const SEEDS: u64 = 400;
const STEPS: u64 = 600;

/// What a participant still has to do for a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Duty {
    Cut,
    Section,
}

/// What one participant knows since the log was opened.
#[derive(Default)]
struct Client {
    /// The LSNs of its frames.
    appended: Vec<Lsn>,
    durable: u64,
    written: u64,
    duties: Vec<(u64, Duty)>,
    /// The state as of the last cut.
    state: u64,
}

struct World {
    rng: Rng,
    disk: MemDisk,
    wal: Wal,
    in_flight: Vec<(OpToken, DiskOp)>,
    clients: BTreeMap<Participant, Client>,
    /// All frames, by LSN from 1.
    history: Vec<(Participant, Frame)>,
    /// The highest LSN that anybody was told to be durable.
    acknowledged: Lsn,
    /// The highest LSN that anybody was told to be written, in this process.
    written: Lsn,
    accepting: bool,
    quiet: bool,
    settled: Option<bool>,
    next_payload: u64,
    checkpoints: u64,
    failed_checkpoints: u64,
    recovered_beyond: u64,
}

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut disk = MemDisk::default();
        let opened = open(&mut disk, OPTIONS).unwrap();
        assert!(opened.frames.is_empty());
        World {
            rng: Rng::new(seed),
            disk,
            wal: opened.wal,
            in_flight: Vec::new(),
            clients: PARTICIPANTS.map(|it| (it, Client::default())).into(),
            history: Vec::new(),
            acknowledged: Lsn::ZERO,
            written: Lsn::ZERO,
            accepting: true,
            quiet: false,
            settled: None,
            next_payload: 0,
            checkpoints: 0,
            failed_checkpoints: 0,
            recovered_beyond: 0,
        }
    }

    fn step(&mut self, event: WalEvent) {
        let mut effects = Vec::new();
        self.wal.step(event, &mut effects);
        self.wal.validate();
        for effect in effects {
            self.take(effect);
        }
    }

    fn take(&mut self, effect: WalEffect) {
        match effect {
            WalEffect::Disk { token, op } => self.in_flight.push((token, op)),
            WalEffect::Durable { to, frames, lsn } => {
                let client = self.clients.get_mut(&to).unwrap();
                assert!(frames > client.durable, "each is told once");
                assert!(client.appended[frames as usize - 1] <= lsn);
                let next = client.appended.get(frames as usize);
                assert!(
                    next.is_none_or(|next| *next > lsn),
                    "told as much as is durable"
                );
                client.durable = frames;
                client.written = client.written.max(frames);
                self.acknowledged = self.acknowledged.max(lsn);
                self.written = self.written.max(lsn);
            }
            WalEffect::Written { to, frames } => {
                let client = self.clients.get_mut(&to).unwrap();
                assert!(frames > client.written, "each is told once");
                client.written = frames;
                self.written = self.written.max(client.appended[frames as usize - 1]);
            }
            WalEffect::BeginCheckpoint { to, checkpoint } => {
                let duties = &mut self.clients.get_mut(&to).unwrap().duties;
                duties.extend([(checkpoint, Duty::Cut), (checkpoint, Duty::Section)]);
            }
            WalEffect::Checkpointed { .. } => self.checkpoints += 1,
            WalEffect::CheckpointFailed { to, checkpoint } => {
                self.failed_checkpoints += 1;
                let duties = &mut self.clients.get_mut(&to).unwrap().duties;
                duties.retain(|(id, _)| *id != checkpoint);
            }
            WalEffect::Space { accepting, .. } => self.accepting = accepting,
            WalEffect::Quiet => self.quiet = true,
            WalEffect::Settled { checkpointed } => self.settled = Some(checkpointed),
            WalEffect::Fatal(reason) => panic!("no operation failed: {reason}"),
        }
    }

    fn append(&mut self) {
        let from = PARTICIPANTS[self.rng.below(3) as usize];
        let count = self.rng.range(1..5);
        let mut frames = Vec::new();
        for _ in 0..count {
            self.next_payload += 1;
            let size = match self.rng.below(20) {
                0 => self.rng.range(8..30_000),
                1..4 => self.rng.range(8..6_000),
                _ => self.rng.range(8..300),
            };
            let mut payload = vec![0; size as usize];
            self.rng.fill(&mut payload);
            payload[..8].copy_from_slice(&self.next_payload.to_le_bytes());
            frames.push(Frame::Metadata(Bytes::from(payload)));
        }
        let client = self.clients.get_mut(&from).unwrap();
        for frame in &frames {
            self.history.push((from, frame.clone()));
            client.appended.push(Lsn(self.history.len() as u64));
        }
        let relaxed = self.rng.one_in(3);
        self.step(WalEvent::Append {
            from,
            frames,
            relaxed,
        });
        assert_eq!(self.wal.assigned(), Lsn(self.history.len() as u64));
    }

    /// The state of a participant as of an LSN: how many frames it had appended, in all.
    fn state(&self, participant: Participant, cut: Lsn) -> u64 {
        let until = &self.history[..cut.0 as usize];
        until
            .iter()
            .filter(|(from, _)| *from == participant)
            .count() as u64
    }

    fn do_duty(&mut self) {
        let from = PARTICIPANTS[self.rng.below(3) as usize];
        let state = self.state(from, self.wal.assigned());
        let client = self.clients.get_mut(&from).unwrap();
        if client.duties.is_empty() {
            return;
        }
        let (checkpoint, duty) = client.duties.remove(0);
        match duty {
            Duty::Cut => {
                client.state = state;
                self.step(WalEvent::Cut { from, checkpoint });
            }
            Duty::Section if self.disk.capacity.is_some() && self.rng.one_in(4) => {
                self.step(WalEvent::SectionFailed { from, checkpoint });
            }
            Duty::Section => {
                let mut bytes = client.state.to_le_bytes().to_vec();
                // No two checkpoints are of one size.
                bytes.resize(self.rng.range(8..2_000) as usize, 0);
                let bytes = Bytes::from(bytes);
                self.step(WalEvent::Section {
                    from,
                    checkpoint,
                    bytes,
                });
            }
        }
    }

    fn complete_one(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let index = self.rng.below(self.in_flight.len() as u64) as usize;
        let (token, op) = self.in_flight.remove(index);
        let result = self.disk.perform(op);
        self.step(WalEvent::OpDone { token, result });
    }

    fn anything(&mut self) {
        match self.rng.below(100) {
            0..40 => {
                // What is on its way when the log says stop still comes.
                if self.accepting || self.rng.one_in(30) {
                    self.append();
                }
            }
            40..80 => self.complete_one(),
            80..94 => self.do_duty(),
            94..97 => {
                if self.quiet {
                    self.quiet = false;
                    self.step(WalEvent::Idle);
                }
            }
            97 => {
                if self.rng.one_in(4) {
                    self.step(WalEvent::RequestCheckpoint);
                }
            }
            _ => {
                if self.rng.one_in(3) {
                    self.crash();
                }
            }
        }
    }

    fn crash(&mut self) {
        for (_, op) in std::mem::take(&mut self.in_flight) {
            match self.rng.below(3) {
                0 => {}
                1 => {
                    let _ = self.disk.perform(op);
                }
                _ => self.disk.interrupt(op, &mut self.rng),
            }
        }
        let mut power_lost = self.rng.one_in(2);
        if power_lost {
            self.disk.lose_power(&mut self.rng);
        }
        // The next start may not get to its end either.
        while self.rng.one_in(3) {
            let at = self.disk.ops + self.rng.below(12);
            self.disk.fail_at = Some((at, DiskError::Failed("the power went".to_owned())));
            if let Ok(checkpoint) = Checkpoint::read(&mut self.disk) {
                let checkpoint = checkpoint.as_ref();
                let disk = &mut self.disk;
                let _ = wal::open(disk, &identity(), checkpoint, OPTIONS, &PARTICIPANTS);
            }
            self.disk.fail_at = None;
            if self.rng.one_in(2) {
                power_lost = true;
                self.disk.lose_power(&mut self.rng);
            }
        }
        let checkpoint = Checkpoint::read(&mut self.disk).unwrap();
        let opened = open(&mut self.disk, OPTIONS).unwrap();
        self.check_recovered(checkpoint.as_ref(), opened, power_lost);
    }

    fn check_recovered(
        &mut self,
        checkpoint: Option<&Checkpoint>,
        opened: Opened,
        power_lost: bool,
    ) {
        assert_eq!(opened.damage, [], "nothing was damaged");
        let end = opened.wal.durable();
        let least = if power_lost {
            self.acknowledged
        } else {
            self.written
        };
        assert!(
            end >= least,
            "recovered up to {end}, and {least} was acknowledged"
        );
        assert!(
            end.0 <= self.history.len() as u64,
            "nothing comes from nowhere"
        );
        let cut = checkpoint.map_or(Lsn::ZERO, Checkpoint::smallest_cut);
        for section in checkpoint.iter().flat_map(|it| &it.sections) {
            assert!(section.cut <= end);
            let state = self.state(section.participant, section.cut).to_le_bytes();
            assert_eq!(section.bytes[..8], state, "the section is that of its cut");
        }
        let mut next = cut.next();
        for (lsn, frame) in &opened.frames {
            assert_eq!(*lsn, next, "no frame is missing and none is there twice");
            assert!(
                *frame == self.history[lsn.0 as usize - 1].1,
                "frame {lsn} is another one"
            );
            next = lsn.next();
        }
        assert_eq!(next, end.next());
        self.recovered_beyond += end.0 - self.acknowledged.0;
        self.history.truncate(end.0 as usize);
        self.acknowledged = end;
        self.written = end;
        self.wal = opened.wal;
        self.clients = PARTICIPANTS.map(|it| (it, Client::default())).into();
        self.accepting = true;
        self.quiet = false;
        self.settled = None;
    }

    /// Lets everything end and stops in good order; then nothing may be left to recover.
    fn settle(&mut self) {
        self.disk.capacity = None;
        self.step(WalEvent::RequestCheckpoint);
        self.step(WalEvent::SyncAll);
        for _ in 0..10_000 {
            if self.settled.is_some() {
                break;
            }
            self.complete_one();
            self.do_duty();
        }
        assert_eq!(self.settled, Some(true));
        assert_eq!(
            self.wal.durable(),
            self.wal.assigned(),
            "relaxed frames too"
        );
        let appended = self
            .clients
            .values()
            .map(|client| client.appended.len() as u64);
        let durable = self.clients.values().map(|client| client.durable);
        assert_eq!(appended.sum::<u64>(), durable.sum::<u64>(), "all are told");
        self.in_flight.clear();
        let opened = open(&mut self.disk, OPTIONS).unwrap();
        assert_eq!(opened.report.groups, 0, "nothing is left to recover");
        assert_eq!(opened.wal.durable(), Lsn(self.history.len() as u64));
    }
}

#[test]
fn what_was_acknowledged_survives_crashes_and_power_loss() {
    let (mut checkpoints, mut beyond) = (0, 0);
    for seed in 0..SEEDS {
        let guard = Seed(seed);
        let mut world = World::new(guard.0);
        for _ in 0..STEPS {
            world.anything();
        }
        world.settle();
        checkpoints += world.checkpoints;
        beyond += world.recovered_beyond;
    }
    assert!(checkpoints > SEEDS, "the runs went round the log");
    assert!(
        beyond > 0,
        "the runs met groups that were on disk and not acknowledged"
    );
}

#[test]
fn a_disk_that_runs_full_refuses_and_recovers() {
    let (mut failed, mut refused) = (0, 0);
    for seed in 0..SEEDS {
        let guard = Seed(seed);
        let mut world = World::new(1_000_000 + guard.0);
        for step in 0..STEPS {
            if step % 50 == 0 {
                let bytes = world.rng.range(30..400) * 1024;
                world.disk.capacity = (!world.rng.one_in(3)).then_some(bytes);
            }
            refused += u64::from(!world.accepting);
            world.anything();
        }
        failed += world.failed_checkpoints;
        world.settle();
    }
    assert!(
        failed > SEEDS && refused > SEEDS,
        "the runs met a full disk"
    );
}
