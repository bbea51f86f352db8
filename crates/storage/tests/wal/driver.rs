//! Drives a log on a healthy disk: every operation is done at once, and every participant answers a checkpoint.

use bytes::Bytes;
use wiber_model::Lsn;
use wiber_storage::wal::OpenReport;
use wiber_storage::{
    Damage, Disk, DiskOp, Frame, Participant, Wal, WalEffect, WalEvent, WalOptions,
};

use crate::disk::MemDisk;
use crate::{PARTICIPANTS, UNCHECKPOINTED, open};

pub struct Driver {
    pub disk: MemDisk,
    pub wal: Wal,
    /// What the log wanted and said, in order, operations included.
    pub seen: Vec<WalEffect>,
}

/// What the opening of a log found.
pub struct Recovered {
    pub frames: Vec<(Lsn, Frame)>,
    pub damage: Vec<Damage>,
    pub report: OpenReport,
}

impl Driver {
    pub fn new(options: WalOptions) -> Driver {
        Driver::on(MemDisk::default(), options).0
    }

    pub fn on(mut disk: MemDisk, options: WalOptions) -> (Driver, Recovered) {
        let opened = open(&mut disk, options).unwrap();
        let driver = Driver {
            disk,
            wal: opened.wal,
            seen: Vec::new(),
        };
        let recovered = Recovered {
            frames: opened.frames,
            damage: opened.damage,
            report: opened.report,
        };
        (driver, recovered)
    }

    /// What a start would find now. (It writes to the disk, and the log must not be used any more.)
    pub fn recover(self, options: WalOptions) -> Recovered {
        Driver::on(self.disk, options).1
    }

    /// Takes an event and whatever follows from it.
    pub fn run(&mut self, event: WalEvent) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.wal.step(event, &mut effects);
            self.wal.validate();
            // The last pushed is taken first: so that the events come in the order of the effects.
            let mut answers: Vec<WalEvent> = Vec::new();
            for effect in &effects {
                match effect {
                    WalEffect::Disk { token, op } => answers.push(WalEvent::OpDone {
                        token: *token,
                        result: self.disk.perform(op.clone()),
                    }),
                    WalEffect::BeginCheckpoint { to, checkpoint } => {
                        let (from, checkpoint) = (*to, *checkpoint);
                        answers.push(WalEvent::Cut { from, checkpoint });
                        answers.push(WalEvent::Section {
                            from,
                            checkpoint,
                            bytes: Bytes::from(format!("state of {from}")),
                        });
                    }
                    _ => {}
                }
            }
            self.seen.extend(effects);
            answers.reverse();
            events.extend(answers);
        }
    }

    pub fn append(&mut self, from: Participant, frames: Vec<Frame>) {
        self.run(WalEvent::Append {
            from,
            frames,
            relaxed: false,
        });
    }

    pub fn ops(&self) -> Vec<&DiskOp> {
        let ops = self.seen.iter().filter_map(|effect| match effect {
            WalEffect::Disk { op, .. } => Some(op),
            _ => None,
        });
        ops.collect()
    }
}

/// A frame whose content names it.
pub fn frame(number: u64, bytes: usize) -> Frame {
    let mut payload = vec![number as u8; bytes.max(8)];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    Frame::Metadata(Bytes::from(payload))
}

/// A disk with a log of `groups` groups, synced one by one, and the frames in it; with a mark behind them.
pub fn written_log(groups: u64, frames_per_group: u64, bytes: usize) -> (MemDisk, Vec<Frame>) {
    let mut driver = Driver::new(UNCHECKPOINTED);
    let mut all = Vec::new();
    for group in 0..groups {
        let first = group * frames_per_group + 1;
        let frames: Vec<Frame> = (first..first + frames_per_group)
            .map(|number| frame(number, bytes))
            .collect();
        all.extend(frames.clone());
        driver.append(PARTICIPANTS[(group % 3) as usize], frames);
    }
    driver.run(WalEvent::Idle);
    assert_eq!(driver.wal.durable(), Lsn(all.len() as u64));
    (driver.disk, all)
}
