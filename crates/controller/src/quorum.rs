//! The Raft engine behind one seam: orders opaque entries, and knows nothing of what is in them.
//!
//! This is the only module that knows the `raft` crate. Entries and hard state go to the WAL in a form of our own; nothing that comes
//! from outside is ever given to the engine's protobuf code.
//!
//! Invariants:
//! - An entry is delivered once, in order, and only when it is durable on a quorum.
//! - The frames of a step are handed out before what the step committed.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::storage::{MemStorage, Storage};
use raft::{Config, RawNode};
use wiber_model::BrokerId;

const ENTRY: u8 = 1;
const HARD_STATE: u8 = 2;
/// Ticks without a leader before an election; a quorum of one campaigns at once and never ticks.
const ELECTION_TICKS: usize = 10;
const HEARTBEAT_TICKS: usize = 3;

/// An entry of the metadata log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogEntry {
    /// Its position.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: u64,
    /// What it says; empty for a leader's first.
    pub data: Bytes,
}

/// What a node must not forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vote {
    /// The term.
    pub term: u64,
    /// Whom it voted for in it.
    pub vote: u64,
    /// Up to where entries are known to be committed.
    pub commit: u64,
}

/// A frame of the WAL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QuorumFrame {
    /// An entry. It replaces one of the same index, and all behind it.
    Entry(LogEntry),
    /// The node's state.
    Vote(Vote),
}

/// Why a frame cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// It ends in the middle.
    #[error("a frame of the metadata quorum is cut short")]
    Short,
    /// A newer release wrote it.
    #[error(
        "a frame of the metadata quorum has type {0}, which is not known to this release; start the release that wrote it"
    )]
    Unknown(u8),
}

impl From<TryGetError> for FrameError {
    fn from(_: TryGetError) -> FrameError {
        FrameError::Short
    }
}

impl QuorumFrame {
    /// The frame's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            QuorumFrame::Entry(entry) => {
                out.put_u8(ENTRY);
                out.put_u64(entry.index);
                out.put_u64(entry.term);
                out.put_slice(&entry.data);
            }
            QuorumFrame::Vote(vote) => {
                out.put_u8(HARD_STATE);
                out.put_u64(vote.term);
                out.put_u64(vote.vote);
                out.put_u64(vote.commit);
            }
        }
        out.freeze()
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// As [`FrameError`] says.
    pub fn decode(mut bytes: Bytes) -> Result<QuorumFrame, FrameError> {
        match bytes.try_get_u8()? {
            ENTRY => Ok(QuorumFrame::Entry(LogEntry {
                index: bytes.try_get_u64()?,
                term: bytes.try_get_u64()?,
                data: bytes,
            })),
            HARD_STATE => Ok(QuorumFrame::Vote(Vote {
                term: bytes.try_get_u64()?,
                vote: bytes.try_get_u64()?,
                commit: bytes.try_get_u64()?,
            })),
            kind => Err(FrameError::Unknown(kind)),
        }
    }
}

/// The log as recovery found it: a snapshot stands for the entries up to `snapshot_index`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QuorumLog {
    /// The last entry that the snapshot stands for.
    pub snapshot_index: u64,
    /// Its term.
    pub snapshot_term: u64,
    /// The entries behind it.
    pub entries: Vec<LogEntry>,
    /// The node's state.
    pub vote: Vote,
}

impl QuorumLog {
    /// Adds a frame. Returns false if entries before it are missing.
    pub fn replay(&mut self, frame: QuorumFrame) -> bool {
        match frame {
            QuorumFrame::Vote(vote) => self.vote = vote,
            QuorumFrame::Entry(entry) => {
                let next = self.snapshot_index + 1 + self.entries.len() as u64;
                if entry.index > next {
                    return false;
                }
                if entry.index > self.snapshot_index {
                    self.entries
                        .truncate((entry.index - self.snapshot_index - 1) as usize);
                    self.entries.push(entry);
                }
            }
        }
        true
    }
}

/// What a step of the quorum came to.
#[derive(Debug, Default)]
pub struct Progress {
    /// For the WAL, before anything else.
    pub frames: Vec<Bytes>,
    /// Entries that are committed now.
    pub committed: Vec<LogEntry>,
}

/// This node's part in the quorum.
pub struct Quorum {
    node: RawNode<MemStorage>,
    storage: MemStorage,
    /// Frames handed out since the start.
    frames: u64,
    /// The engine's numbers of what is being written, and the frames that must be durable for them.
    writing: VecDeque<(u64, u64)>,
    applied: u64,
}

impl std::fmt::Debug for Quorum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Quorum {{ term {}, applied {} }}",
            self.node.raft.term, self.applied
        )
    }
}

impl Quorum {
    /// A quorum of one over a recovered log whose entries up to `applied` are folded in. It leads at once.
    ///
    /// # Errors
    /// In words, if the engine refuses the log.
    pub fn new(id: BrokerId, log: &QuorumLog, applied: u64) -> Result<Quorum, String> {
        // The engine has no node 0.
        let id = id.0 as u64 + 1;
        let storage = MemStorage::new();
        let conf_state = ConfState::from((vec![id], vec![]));
        let mut entries: Vec<Entry> = log.entries.iter().map(to_engine).collect();
        {
            let mut core = storage.wl();
            let mut snapshot = Snapshot::default();
            // The engine wants a log that starts behind something: an empty one starts behind entry 1 of term 1.
            snapshot.mut_metadata().index = log.snapshot_index.max(1);
            snapshot.mut_metadata().term = log.snapshot_term.max(1);
            *snapshot.mut_metadata().mut_conf_state() = conf_state;
            core.apply_snapshot(snapshot)
                .map_err(|error| error.to_string())?;
            entries.retain(|entry| entry.index > log.snapshot_index.max(1));
            core.append(&entries).map_err(|error| error.to_string())?;
            let state = HardState {
                term: log.vote.term.max(1),
                vote: log.vote.vote,
                commit: log.vote.commit.max(log.snapshot_index).max(1),
                ..HardState::default()
            };
            core.set_hardstate(state);
        }
        let config = Config {
            id,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied: applied.max(1),
            pre_vote: true,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let mut node =
            RawNode::new(&config, storage.clone(), &logger).map_err(|error| error.to_string())?;
        node.campaign().map_err(|error| error.to_string())?;
        Ok(Quorum {
            node,
            storage,
            frames: 0,
            writing: VecDeque::new(),
            applied: applied.max(1),
        })
    }

    /// Proposes an entry. Returns its index.
    ///
    /// # Errors
    /// In words, if this node does not lead.
    pub fn propose(&mut self, data: &Bytes) -> Result<u64, String> {
        self.node
            .propose(Vec::new(), data.to_vec())
            .map_err(|error| error.to_string())?;
        Ok(self.node.raft.raft_log.last_index())
    }

    /// So many frames, counted from the start, are durable.
    pub fn durable(&mut self, frames: u64) {
        while let Some((number, _)) = self.writing.pop_front_if(|(_, needed)| *needed <= frames) {
            self.node.on_persist_ready(number);
        }
    }

    /// Takes what the engine has ready.
    pub fn progress(&mut self) -> Progress {
        let mut progress = Progress::default();
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            if !ready.entries().is_empty() {
                let entries = ready.take_entries();
                for entry in &entries {
                    progress
                        .frames
                        .push(QuorumFrame::Entry(from_engine(entry)).encode());
                }
                if let Err(error) = self.storage.wl().append(&entries) {
                    panic!("the engine's own entries do not continue its log: {error}");
                }
            }
            if let Some(state) = ready.hs() {
                progress
                    .frames
                    .push(QuorumFrame::Vote(vote_of(state)).encode());
                self.storage.wl().set_hardstate(state.clone());
            }
            for entry in ready.take_committed_entries() {
                self.applied = entry.index;
                progress.committed.push(from_engine(&entry));
            }
            self.writing
                .push_back((ready.number(), self.frames + progress.frames.len() as u64));
            self.node.advance_append_async(ready);
            self.node.advance_apply_to(self.applied);
        }
        self.frames += progress.frames.len() as u64;
        progress
    }

    /// The log as a checkpoint keeps it, with a snapshot standing for all that is applied.
    #[must_use]
    pub fn log(&self) -> QuorumLog {
        let log = &self.node.raft.raft_log;
        let term = log.term(self.applied).unwrap_or(1);
        let behind = log.slice(
            self.applied + 1,
            log.last_index() + 1,
            None,
            raft::GetEntriesContext::empty(false),
        );
        QuorumLog {
            snapshot_index: self.applied,
            snapshot_term: term,
            entries: behind.unwrap_or_default().iter().map(from_engine).collect(),
            vote: vote_of(&self.node.raft.hard_state()),
        }
    }

    /// Forgets entries that a durable checkpoint stands for.
    pub fn compact(&mut self, upto: u64) {
        let first = self.storage.first_index().unwrap_or(upto);
        if upto > first
            && let Err(error) = self.storage.wl().compact(upto)
        {
            panic!("entries up to {upto} are applied and can be forgotten: {error}");
        }
    }
}

fn vote_of(state: &HardState) -> Vote {
    Vote {
        term: state.term,
        vote: state.vote,
        commit: state.commit,
    }
}

fn to_engine(entry: &LogEntry) -> Entry {
    let mut out = Entry::default();
    out.set_entry_type(EntryType::EntryNormal);
    out.index = entry.index;
    out.term = entry.term;
    out.data = entry.data.to_vec().into();
    out
}

fn from_engine(entry: &Entry) -> LogEntry {
    LogEntry {
        index: entry.index,
        term: entry.term,
        data: Bytes::copy_from_slice(&entry.data),
    }
}
