//! The machine of the disk: the WAL, with its events and effects in the broker's words.

use wiber_model::{Monotonic, Now};
use wiber_storage::frame::Participant;
use wiber_storage::wal::{Wal, WalEffect, WalEvent};

use crate::machine::{Address, Effect, Event, Machine};
use crate::message::Message;

/// After a group, when nothing follows for so long, a mark group covers it (S1).
const IDLE_MS: i64 = 20;

/// The machine that a disk's WAL belongs to.
#[derive(Debug)]
pub struct DiskMachine {
    wal: Wal,
    idle_at: Monotonic,
    effects: Vec<WalEffect>,
}

impl DiskMachine {
    pub(crate) fn new(wal: Wal) -> DiskMachine {
        DiskMachine {
            wal,
            idle_at: Monotonic::NEVER,
            effects: Vec::new(),
        }
    }

    /// Checks the WAL's invariants.
    ///
    /// # Panics
    /// If one does not hold: a bug.
    pub fn validate(&self) {
        self.wal.validate();
    }
}

impl Machine for DiskMachine {
    fn step(&mut self, now: Now, event: Event, fx: &mut Vec<Effect>) {
        let event = match event {
            Event::Message { from, message } => event_of(participant(from), message),
            Event::DiskDone { token, result } => WalEvent::OpDone { token, result },
            Event::Timer if now.monotonic >= self.idle_at => {
                self.idle_at = Monotonic::NEVER;
                WalEvent::Idle
            }
            _ => return,
        };
        self.wal.step(event, &mut self.effects);
        for effect in self.effects.drain(..) {
            match effect {
                WalEffect::Disk { token, op } => fx.push(Effect::Disk { token, op }),
                WalEffect::Fatal(reason) => fx.push(Effect::Fatal(reason)),
                WalEffect::Quiet => {
                    self.idle_at = now.monotonic.plus_ms(IDLE_MS);
                    fx.push(Effect::WakeAt(self.idle_at));
                }
                WalEffect::Durable { to, frames, .. } => tell(to, Message::Durable { frames }, fx),
                WalEffect::Written { to, frames } => tell(to, Message::Written { frames }, fx),
                WalEffect::BeginCheckpoint { to, checkpoint } => {
                    tell(to, Message::BeginCheckpoint { checkpoint }, fx);
                }
                WalEffect::Checkpointed { to, checkpoint } => {
                    tell(to, Message::Checkpointed { checkpoint }, fx);
                }
                WalEffect::CheckpointFailed { to, checkpoint } => {
                    tell(to, Message::CheckpointFailed { checkpoint }, fx);
                }
                WalEffect::Space { to, accepting } => tell(to, Message::Space { accepting }, fx),
                WalEffect::Settled { checkpointed } => {
                    tell(
                        Participant::CONTROLLER,
                        Message::Closed { checkpointed },
                        fx,
                    );
                }
            }
        }
    }
}

fn event_of(from: Participant, message: Message) -> WalEvent {
    match message {
        Message::Append { frames, relaxed } => WalEvent::Append {
            from,
            frames,
            relaxed,
        },
        Message::Cut { checkpoint } => WalEvent::Cut { from, checkpoint },
        Message::Section { checkpoint, bytes } => WalEvent::Section {
            from,
            checkpoint,
            bytes,
        },
        Message::SectionFailed { checkpoint } => WalEvent::SectionFailed { from, checkpoint },
        Message::RequestCheckpoint => WalEvent::RequestCheckpoint,
        Message::Close => WalEvent::SyncAll,
        other => unreachable!("{other:?} is not for the disk"),
    }
}

fn tell(to: Participant, message: Message, fx: &mut Vec<Effect>) {
    let to = if to == Participant::CONTROLLER {
        Address::Controller
    } else {
        Address::Shard(to.0)
    };
    fx.push(Effect::Send { to, message });
}

/// What a machine is to the WAL.
fn participant(address: Address) -> Participant {
    match address {
        Address::Shard(number) => Participant(number),
        Address::Controller => Participant::CONTROLLER,
        Address::Disk => unreachable!("the disk appends nothing"),
    }
}
