//! The machine of the metadata controller: drives the quorum, publishes to the shards, starts and stops the broker.
//!
//! Invariant: a command is answered only when its records have reached every shard and the epochs that began with them are
//! durable; so a client that got its answer finds the topic everywhere.
//!
//! Invariant: the log is told to close when no machine will append to it any more, so the last checkpoint covers everything.

use std::collections::{BTreeMap, VecDeque};

use wiber_controller::{
    Command, CommandError, CommandResult, Controller, ControllerEffect, ControllerEvent,
    MetadataOffset,
};
use wiber_model::Now;
use wiber_storage::frame::Frame;

use crate::machine::{Address, Effect, Event, Machine};
use crate::message::{Message, RequestId};

/// The command id of the broker's own registration.
const REGISTRATION: u64 = 0;

/// The controller of a broker.
#[derive(Debug)]
pub struct ControllerMachine {
    controller: Controller,
    /// How far each shard has applied the metadata.
    applied: Vec<MetadataOffset>,
    published: MetadataOffset,
    commands: BTreeMap<u64, (Address, RequestId)>,
    next_command: u64,
    /// Answers that wait until every shard has applied the metadata up to there.
    replies: VecDeque<(MetadataOffset, u64, Result<CommandResult, CommandError>)>,
    registration: Option<Command>,
    /// Frames handed to the WAL, and how many of them are durable.
    appended: u64,
    durable: u64,
    /// The broker is to stop, once what was begun is done.
    closing: bool,
    /// How many shards have said that they are done.
    quiet: usize,
    effects: Vec<ControllerEffect>,
}

impl ControllerMachine {
    pub(crate) fn new(
        controller: Controller,
        shards: u16,
        registration: Command,
    ) -> ControllerMachine {
        let published = controller.image().offset();
        ControllerMachine {
            controller,
            applied: vec![published; usize::from(shards)],
            published,
            commands: BTreeMap::new(),
            next_command: REGISTRATION + 1,
            replies: VecDeque::new(),
            registration: Some(registration),
            appended: 0,
            durable: 0,
            closing: false,
            quiet: 0,
            effects: Vec::new(),
        }
    }

    /// Checks the invariants of the metadata.
    ///
    /// # Panics
    /// If one does not hold: a bug.
    pub fn validate(&self) {
        self.controller.validate();
    }

    fn message(&mut self, from: Address, message: Message, fx: &mut Vec<Effect>) {
        match message {
            Message::Command { request, command } => {
                let id = self.next_command;
                self.next_command += 1;
                self.commands.insert(id, (from, request));
                self.drive(ControllerEvent::Command { id, command });
            }
            Message::MetadataApplied { offset } => {
                if let Address::Shard(shard) = from {
                    self.applied[usize::from(shard)] = offset;
                }
            }
            Message::DescribeQuorum { request } => {
                let state = self.controller.log_state();
                let message = Message::Quorum { request, state };
                fx.push(Effect::Send { to: from, message });
            }
            Message::Quiet => self.quiet += 1,
            Message::Durable { frames } => {
                self.durable = frames;
                self.drive(ControllerEvent::Durable { frames });
            }
            Message::BeginCheckpoint { checkpoint } => {
                let bytes = self.controller.checkpoint_section();
                for message in [
                    Message::Cut { checkpoint },
                    Message::Section { checkpoint, bytes },
                ] {
                    fx.push(Effect::Send {
                        to: Address::Disk,
                        message,
                    });
                }
            }
            Message::Closed { checkpointed } => {
                if !checkpointed {
                    tracing::warn!(
                        "stopped without a last checkpoint; the next start replays the write-ahead log"
                    );
                }
                fx.push(Effect::Stopped);
            }
            Message::Written { .. }
            | Message::Checkpointed { .. }
            | Message::CheckpointFailed { .. }
            | Message::Space { .. } => {}
            other => unreachable!("{other:?} is not for the controller"),
        }
    }

    fn drive(&mut self, event: ControllerEvent) {
        self.controller.step(event, &mut self.effects);
    }

    /// Performs what the controller wants, and answers what every shard has applied.
    fn settle(&mut self, fx: &mut Vec<Effect>) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                ControllerEffect::Append(frames) => {
                    self.appended += frames.len() as u64;
                    let frames = frames.into_iter().map(Frame::Metadata).collect();
                    let message = Message::Append {
                        frames,
                        relaxed: false,
                    };
                    fx.push(Effect::Send {
                        to: Address::Disk,
                        message,
                    });
                }
                ControllerEffect::Publish { offset, records } => {
                    self.published = offset;
                    let metadata = || Message::Metadata {
                        offset,
                        records: records.clone(),
                    };
                    self.tell_shards(metadata, fx);
                }
                ControllerEffect::Reply { id, result } => {
                    self.replies.push_back((self.published, id, result));
                }
                ControllerEffect::Fatal(reason) => fx.push(Effect::Fatal(reason)),
            }
        }
        let everywhere = self.applied.iter().min().copied().unwrap_or(self.published);
        while let Some((_, id, result)) = self.replies.pop_front_if(|reply| reply.0 <= everywhere) {
            if id == REGISTRATION {
                match result {
                    Ok(_) => self.serve(fx),
                    Err(error) => {
                        let reason = format!("the broker cannot register: {error}");
                        fx.push(Effect::Fatal(reason));
                    }
                }
            } else if let Some((to, request)) = self.commands.remove(&id) {
                let message = Message::CommandDone { request, result };
                fx.push(Effect::Send { to, message });
            }
        }
        // Shards append when metadata reach them, and what the last checkpoint does not cover would be there to recover.
        let settled = self.appended == self.durable && everywhere == self.published;
        if self.closing && settled && self.quiet == self.applied.len() {
            self.closing = false;
            let message = Message::Close;
            fx.push(Effect::Send {
                to: Address::Disk,
                message,
            });
        }
    }
}

impl ControllerMachine {
    /// The registration has reached every shard: let requests begin.
    fn serve(&self, fx: &mut Vec<Effect>) {
        self.tell_shards(|| Message::Serve, fx);
        fx.push(Effect::Ready);
    }

    fn tell_shards(&self, message: impl Fn() -> Message, fx: &mut Vec<Effect>) {
        for shard in 0..self.applied.len() as u16 {
            fx.push(Effect::Send {
                to: Address::Shard(shard),
                message: message(),
            });
        }
    }
}

impl Machine for ControllerMachine {
    fn step(&mut self, _now: Now, event: Event, fx: &mut Vec<Effect>) {
        // The first event, whatever it is, starts the broker: it registers.
        if let Some(command) = self.registration.take() {
            self.drive(ControllerEvent::Command {
                id: REGISTRATION,
                command,
            });
        }
        match event {
            Event::Message { from, message } => self.message(from, message, fx),
            Event::Shutdown if !self.closing => {
                self.closing = true;
                self.tell_shards(|| Message::Quiesce, fx);
            }
            _ => {}
        }
        self.settle(fx);
    }
}
