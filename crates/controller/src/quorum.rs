//! The Raft engine behind one seam: it orders opaque entries, and knows nothing of what is in them.
//!
//! This is the only module that knows the `raft` crate (`docs/adr/0001-raft-engine.md`). What goes to the write-ahead log has a
//! form of our own, and no bytes from outside ever reach the engine's protobuf code.
//!
//! Invariants:
//! - An entry is delivered once, in order, and only when it is durable on a quorum, which here is this node.
//! - The frame that says that entries are committed is handed out before, or with, the entries.
//! - The term rises with each start, and is in the write-ahead log before anything of that term is.

mod frame;
mod log;

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use raft::{Config, RawNode, StateRole};
use wiber_model::limit::MAX_BATCH_BYTES;
use wiber_model::{BrokerId, Rng};

pub use frame::FrameError;
pub(crate) use frame::QuorumFrame;
pub use log::LogError;
pub(crate) use log::{HardState, LogEntry, LogPosition, QuorumLog};

/// The largest entry, in bytes.
pub const MAX_ENTRY_BYTES: usize = 8 * 1024 * 1024;

/// The most bytes of entries that are proposed and not yet committed; one entry of any size always fits.
pub const MAX_IN_FLIGHT_BYTES: usize = 32 * 1024 * 1024;

/// The most bytes of entries that are delivered at once; one entry of any size always is.
const MAX_DELIVERY_BYTES: u64 = 1024 * 1024;

/// Ticks of the engine's clock without a leader after which a voter campaigns, at the earliest, and at the latest twice as many.
/// A quorum of one campaigns at once, and its clock stands still.
const ELECTION_TICKS: usize = 10;
const HEARTBEAT_TICKS: usize = 2;

// A frame of the write-ahead log can be as large as the largest batch.
const _: () = assert!(MAX_ENTRY_BYTES + frame::ENTRY_HEADER_BYTES <= MAX_BATCH_BYTES);

/// This node's part in the quorum.
pub(crate) struct Quorum {
    node: RawNode<QuorumLog>,
    /// Frames that are not handed out yet.
    frames: Vec<Bytes>,
    /// How many frames were handed out.
    handed_out: u64,
    /// The engine's steps that wait to be durable, each with the number of frames that must be.
    writing: VecDeque<(u64, u64)>,
}

/// What the quorum has come to.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Frames for the write-ahead log; they go there before `committed` has any effect.
    pub frames: Vec<Bytes>,
    /// Entries that are committed, in order.
    pub committed: Vec<LogEntry>,
}

/// Why an entry is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProposeError {
    /// This node does not lead.
    NotLeader,
    /// [`MAX_IN_FLIGHT_BYTES`] wait to be committed.
    Busy,
}

/// The engine's id of a broker, whose own is not negative: the engine takes 0 for "nobody".
pub(crate) fn voter_id(broker: BrokerId) -> Option<u64> {
    u64::try_from(broker.0).ok().map(|id| id + 1)
}

impl Quorum {
    /// Takes up a log whose entries are all folded in; one that names no voters is new, and gets this node for its only one. The
    /// node campaigns at once: it is the leader before it has handed out a frame.
    pub fn new(voter: u64, mut log: QuorumLog, rng: &mut Rng) -> Quorum {
        let mut frames = Vec::new();
        if log.voters.is_empty() {
            log.voters = vec![voter];
            frames.push(QuorumFrame::Voters(log.voters.clone()).encode());
        }
        let config = Config {
            id: voter,
            applied: log.base.index,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            pre_vote: true,
            check_quorum: true,
            max_uncommitted_size: MAX_IN_FLIGHT_BYTES as u64,
            max_committed_size_per_ready: MAX_DELIVERY_BYTES,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let mut node = RawNode::new(&config, log, &logger)
            .unwrap_or_else(|error| panic!("the raft engine refuses its configuration: {error}"));
        if let Err(error) = node.campaign() {
            panic!("the raft engine refuses to campaign: {error}");
        }
        // The engine drew from a generator of its own, which no seed repeats.
        let timeout = ELECTION_TICKS as u64 + rng.below(ELECTION_TICKS as u64);
        node.raft.set_randomized_election_timeout(timeout as usize);
        Quorum {
            node,
            frames,
            handed_out: 0,
            writing: VecDeque::new(),
        }
    }

    /// The term, which no earlier start had.
    pub fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// The index that the next entry gets.
    pub fn next_index(&self) -> u64 {
        self.node.raft.raft_log.last_index() + 1
    }

    /// Proposes an entry, which gets the index that [`Quorum::next_index`] said. It is no larger than [`MAX_ENTRY_BYTES`].
    pub fn propose(&mut self, data: Bytes) -> Result<(), ProposeError> {
        assert!(data.len() <= MAX_ENTRY_BYTES);
        let leads = self.node.raft.state == StateRole::Leader;
        match self.node.propose(Vec::new(), data.into()) {
            Ok(()) => Ok(()),
            Err(_) if leads => Err(ProposeError::Busy),
            Err(_) => Err(ProposeError::NotLeader),
        }
    }

    /// So many of the frames that were handed out are durable.
    pub fn durable(&mut self, frames: u64) {
        while let Some((step, _)) = self.writing.pop_front_if(|(_, needed)| *needed <= frames) {
            self.node.on_persist_ready(step);
        }
    }

    /// Takes from the engine what it has.
    pub fn progress(&mut self) -> Progress {
        let mut committed = Vec::new();
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            // The vote and the term come first: nothing of a term may be on the disk that does not have the term.
            if let Some(state) = ready.hs() {
                let state = HardState::from(state);
                self.node.mut_store().hard_state = state;
                self.frames.push(QuorumFrame::HardState(state).encode());
            }
            let entries = ready.take_entries();
            self.node.mut_store().append(&entries);
            for entry in entries {
                self.frames.push(QuorumFrame::Entry(entry.into()).encode());
            }
            let delivered = ready.take_committed_entries();
            let step = ready.number();
            self.node.advance_append_async(ready);
            if let Some(last) = delivered.last() {
                self.node.advance_apply_to(last.index);
                self.node.mut_store().compact(last.index);
            }
            committed.extend(delivered.into_iter().map(LogEntry::from));
            let needed = self.handed_out + self.frames.len() as u64;
            self.writing.push_back((step, needed));
        }
        self.handed_out += self.frames.len() as u64;
        Progress {
            frames: std::mem::take(&mut self.frames),
            committed,
        }
    }

    /// The log as all frames that were handed out leave it.
    pub fn log(&self) -> &QuorumLog {
        self.node.store()
    }
}

impl fmt::Debug for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quorum")
            .field("log", self.log())
            .field("handed_out", &self.handed_out)
            .field("writing", &self.writing)
            .finish_non_exhaustive()
    }
}

impl From<raft::eraftpb::Entry> for LogEntry {
    fn from(entry: raft::eraftpb::Entry) -> LogEntry {
        LogEntry {
            index: entry.index,
            term: entry.term,
            data: entry.data,
        }
    }
}

impl From<&raft::eraftpb::HardState> for HardState {
    fn from(state: &raft::eraftpb::HardState) -> HardState {
        HardState {
            term: state.term,
            vote: state.vote,
            commit: state.commit,
        }
    }
}
