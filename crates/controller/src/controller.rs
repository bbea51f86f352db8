//! The controller: commands in, records committed by the quorum, answers out.
//!
//! Invariants:
//! - `proposed` is the committed image with every proposal folded in. Commands are planned on it, so that two that are under way
//!   cannot contradict each other.
//! - A command is answered after the records were published that it was planned on, its own among them. So whoever has an answer
//!   finds in the published image what the answer says.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use wiber_model::{BrokerId, Rng};

use crate::command::{Command, CommandError, CommandResult, LimitError};
use crate::image::ClusterImage;
use crate::plan::{Plan, plan};
use crate::quorum::{LogEntry, MAX_ENTRY_BYTES, ProposeError, Quorum, voter_id};
use crate::record::{MetadataOffset, MetadataRecord};
use crate::recovered::{Recovered, RecoveredError, fold};
use crate::settings::ConfigCheck;

/// What happens to the controller.
#[derive(Debug)]
pub enum ControllerEvent {
    /// A change is asked for. It is answered by exactly one [`ControllerEffect::Reply`].
    Command {
        /// Comes back with the answer.
        id: u64,
        /// The change.
        command: Command,
    },
    /// So many of the frames that [`ControllerEffect::Append`] handed out are durable.
    Durable {
        /// How many, counted from the start.
        frames: u64,
    },
}

/// What the controller wants. The order counts: frames go to the write-ahead log before anything that follows them here.
#[derive(Debug)]
pub enum ControllerEffect {
    /// Frames for the write-ahead log, to be synced whatever topics may do (S6).
    Append(Vec<Bytes>),
    /// An entry's records are committed: every shard is to fold them in, all at this offset.
    Publish {
        /// The entry.
        offset: MetadataOffset,
        /// Its records, in order.
        records: Arc<[MetadataRecord]>,
    },
    /// Answers a command; what it changed was published.
    Reply {
        /// As the command had it.
        id: u64,
        /// The answer.
        result: Result<CommandResult, CommandError>,
    },
    /// The metadata log holds what cannot be: the broker must stop.
    Fatal(String),
}

/// Where the metadata log stands, which this node leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MetadataLogState {
    /// The leader's term.
    pub term: u64,
    /// The last entry that is committed.
    pub committed: MetadataOffset,
    /// The last entry.
    pub last: MetadataOffset,
}

/// The metadata controller of a node.
#[derive(Debug)]
pub struct Controller {
    quorum: Quorum,
    committed: ClusterImage,
    proposed: ClusterImage,
    rng: Rng,
    check: ConfigCheck,
    /// Answers, each with the offset that must be published before; the offsets never fall.
    replies: VecDeque<Reply>,
}

#[derive(Debug)]
struct Reply {
    after: MetadataOffset,
    id: u64,
    result: Result<CommandResult, CommandError>,
}

impl Controller {
    /// The controller of `node` over recovered metadata. It leads the quorum from its first step on.
    ///
    /// # Errors
    /// If the metadata are another node's.
    pub fn new(
        node: BrokerId,
        mut rng: Rng,
        recovered: Recovered,
    ) -> Result<Controller, RecoveredError> {
        let voter = voter_id(node).ok_or(RecoveredError::NodeId(node.0))?;
        let Recovered { image, log } = recovered;
        if let Some(owner) = log.voters.iter().find(|owner| **owner != voter) {
            return Err(RecoveredError::Owner {
                owner: owner - 1,
                node: node.0,
            });
        }
        let quorum = Quorum::new(voter, log, &mut rng);
        // A term is never used twice, so that not even two starts with one seed draw the same topic ids.
        let rng = Rng::new(rng.next_u64() ^ quorum.term());
        // The leader has begun its term with an entry that says nothing. Commands come behind it.
        let mut proposed = image.clone();
        proposed.advance(MetadataOffset(quorum.next_index() - 1));
        Ok(Controller {
            quorum,
            proposed,
            committed: image,
            rng,
            check: |_| Ok(()),
            replies: VecDeque::new(),
        })
    }

    /// Where the metadata log stands.
    #[must_use]
    pub fn log_state(&self) -> MetadataLogState {
        MetadataLogState {
            term: self.quorum.term(),
            committed: self.committed.offset(),
            last: MetadataOffset(self.quorum.next_index() - 1),
        }
    }

    /// Says which settings a topic may be changed to have; without this, any.
    pub fn set_config_check(&mut self, check: ConfigCheck) {
        self.check = check;
    }

    /// What is committed; all but what recovery brought was published.
    #[must_use]
    pub fn image(&self) -> &ClusterImage {
        &self.committed
    }

    /// Takes one event. A quorum of one needs no clock.
    pub fn step(&mut self, event: ControllerEvent, fx: &mut Vec<ControllerEffect>) {
        match event {
            ControllerEvent::Command { id, command } => self.command(id, command),
            ControllerEvent::Durable { frames } => self.quorum.durable(frames),
        }
        let progress = self.quorum.progress();
        if !progress.frames.is_empty() {
            fx.push(ControllerEffect::Append(progress.frames));
        }
        for entry in progress.committed {
            self.publish(&entry, fx);
        }
        let published = self.committed.offset();
        while let Some(reply) = self.replies.pop_front_if(|reply| reply.after <= published) {
            fx.push(ControllerEffect::Reply {
                id: reply.id,
                result: reply.result,
            });
        }
    }

    /// What a checkpoint keeps of the metadata: all that the frames handed out so far say. [`Recovered::new`] reads it.
    #[must_use]
    pub fn checkpoint_section(&self) -> Bytes {
        Recovered::encode_section(&self.committed, self.quorum.log())
    }

    /// Checks the invariants.
    ///
    /// # Panics
    /// If one does not hold: a bug.
    pub fn validate(&self) {
        self.committed.validate();
        self.proposed.validate();
        self.proposed.validate_after(&self.committed);
        assert_eq!(self.committed.offset().0, self.quorum.log().base.index);
        assert!(self.proposed.offset().0 <= self.quorum.log().last().index);
        assert!(
            self.replies
                .iter()
                .all(|reply| reply.after > self.committed.offset()),
            "an answer was kept back"
        );
    }

    fn command(&mut self, id: u64, command: Command) {
        let result = self.propose(command);
        // An answer that says that nothing is changed may say so because of what a command before it will change.
        let after = self.proposed.offset();
        self.replies.push_back(Reply { after, id, result });
    }

    fn propose(&mut self, command: Command) -> Result<CommandResult, CommandError> {
        let offset = MetadataOffset(self.quorum.next_index());
        let Plan { records, result } = plan(&self.proposed, command, &mut self.rng, self.check)?;
        if records.is_empty() {
            return Ok(result);
        }
        let data = MetadataRecord::encode_all(&records);
        if data.len() > MAX_ENTRY_BYTES {
            return Err(LimitError::EntryBytes(data.len()).into());
        }
        self.quorum.propose(data).map_err(|error| match error {
            ProposeError::NotLeader => CommandError::NotController,
            ProposeError::Busy => CommandError::Busy,
        })?;
        for record in &records {
            self.proposed.apply(offset, record);
        }
        Ok(result)
    }

    fn publish(&mut self, entry: &LogEntry, fx: &mut Vec<ControllerEffect>) {
        match fold(&mut self.committed, entry) {
            Err(error) => fx.push(ControllerEffect::Fatal(error.to_string())),
            Ok(records) if records.is_empty() => {}
            Ok(records) => fx.push(ControllerEffect::Publish {
                offset: MetadataOffset(entry.index),
                records: records.into(),
            }),
        }
    }
}
