//! The quorum's log in memory, and what the engine reads of it.
//!
//! Invariants: entries have consecutive indexes from the one behind the base, and terms that never fall; the commit index lies
//! between the base and the last entry.

use std::collections::VecDeque;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, Snapshot};
use raft::storage::{GetEntriesContext, Storage};
use raft::{Error, RaftState, StorageError};

use super::frame::QuorumFrame;

/// An entry: opaque here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LogEntry {
    /// Its position, from 1.
    pub index: u64,
    /// The term of the leader that made it.
    pub term: u64,
    /// What it says; empty for the entry with which a leader begins its term.
    pub data: Bytes,
}

/// What a voter must not forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct HardState {
    /// The latest term that it knows of.
    pub term: u64,
    /// Whom it voted for in that term, by the engine's ids; 0 is nobody.
    pub vote: u64,
    /// The last entry that it knows to be committed.
    pub commit: u64,
}

/// An entry's position and term.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct LogPosition {
    pub index: u64,
    pub term: u64,
}

/// The log, from some position on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct QuorumLog {
    pub voters: Vec<u64>,
    pub hard_state: HardState,
    /// The last entry that is not kept, because what it and all before it did is kept elsewhere.
    pub base: LogPosition,
    entries: VecDeque<(u64, Bytes)>,
}

/// Why a frame does not continue the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LogError {
    /// Entries are missing before it.
    #[error("entry {index} of the metadata log follows entry {last}: those between are lost")]
    Gap {
        /// The entry.
        index: u64,
        /// The last before it.
        last: u64,
    },
    /// It replaces what is committed.
    #[error("entry {index} of the metadata log replaces one that is committed, up to {commit}")]
    Committed {
        /// The entry.
        index: u64,
        /// Up to where entries are committed.
        commit: u64,
    },
    /// Its term is older than what is before it.
    #[error("term {term} of the metadata log follows term {before}")]
    Term {
        /// The term.
        term: u64,
        /// The term before.
        before: u64,
    },
    /// It commits what is not there, or takes back a commit.
    #[error(
        "the metadata log is committed up to {commit}, and then up to {next}, and ends at {last}"
    )]
    Commit {
        /// The commit index before.
        commit: u64,
        /// The commit index after.
        next: u64,
        /// The last entry.
        last: u64,
    },
}

impl QuorumLog {
    /// A log without entries, of which the last was `base`, in `term`.
    pub fn new(voters: Vec<u64>, base: LogPosition, term: u64) -> QuorumLog {
        QuorumLog {
            voters,
            hard_state: HardState {
                term,
                ..HardState::default()
            },
            base,
            entries: VecDeque::new(),
        }
    }

    /// Takes in a frame that came back from the disk.
    pub fn replay(&mut self, frame: QuorumFrame) -> Result<(), LogError> {
        match frame {
            QuorumFrame::Voters(voters) => self.voters = voters,
            QuorumFrame::HardState(state) => self.replay_hard_state(state)?,
            QuorumFrame::Entry(entry) => self.replay_entry(entry)?,
        }
        Ok(())
    }

    pub fn last(&self) -> LogPosition {
        let term = self.entries.back().map_or(self.base.term, |last| last.0);
        LogPosition {
            index: self.base.index + self.entries.len() as u64,
            term,
        }
    }

    /// The entries behind the base.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = LogEntry> {
        let first = self.base.index + 1;
        self.entries
            .iter()
            .enumerate()
            .map(move |(i, entry)| LogEntry {
                index: first + i as u64,
                term: entry.0,
                data: entry.1.clone(),
            })
    }

    /// Appends entries of the engine; where they overlap the log, they replace its end.
    pub fn append(&mut self, entries: &[Entry]) {
        for entry in entries {
            assert!(
                entry.index > self.base.index && entry.index <= self.last().index + 1,
                "the engine appends entry {} to a log from {} to {}",
                entry.index,
                self.base.index,
                self.last().index
            );
            self.truncate(entry.index);
            self.entries.push_back((entry.term, entry.data.clone()));
        }
    }

    /// Forgets the entries up to `index`, which are kept elsewhere.
    pub fn compact(&mut self, index: u64) {
        while self.base.index < index
            && let Some((term, _)) = self.entries.pop_front()
        {
            self.base.index += 1;
            self.base.term = term;
        }
    }

    fn replay_hard_state(&mut self, state: HardState) -> Result<(), LogError> {
        if state.term < self.hard_state.term {
            return Err(LogError::Term {
                term: state.term,
                before: self.hard_state.term,
            });
        }
        let (commit, last) = (self.hard_state.commit, self.last().index);
        if state.commit < commit || state.commit > last {
            return Err(LogError::Commit {
                commit,
                next: state.commit,
                last,
            });
        }
        self.hard_state = state;
        Ok(())
    }

    fn replay_entry(&mut self, entry: LogEntry) -> Result<(), LogError> {
        let last = self.last().index;
        if entry.index > last.saturating_add(1) {
            return Err(LogError::Gap {
                index: entry.index,
                last,
            });
        }
        let commit = self.hard_state.commit.max(self.base.index);
        if entry.index <= commit {
            return Err(LogError::Committed {
                index: entry.index,
                commit,
            });
        }
        let before = self.term_at(entry.index - 1).unwrap_or(self.base.term);
        if entry.term < before || entry.term > self.hard_state.term {
            return Err(LogError::Term {
                term: entry.term,
                before: before.max(self.hard_state.term),
            });
        }
        self.truncate(entry.index);
        // The bytes may be part of a whole extent of the write-ahead log, which must not stay in memory for them.
        let data = Bytes::copy_from_slice(&entry.data);
        self.entries.push_back((entry.term, data));
        Ok(())
    }

    /// Drops the entries from `index` on.
    fn truncate(&mut self, index: u64) {
        self.entries
            .truncate((index - self.base.index - 1) as usize);
    }

    fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        let at = index.checked_sub(self.base.index + 1)?;
        self.entries
            .get(usize::try_from(at).ok()?)
            .map(|entry| entry.0)
    }
}

impl Storage for QuorumLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let hard_state = raft::eraftpb::HardState {
            term: self.hard_state.term,
            vote: self.hard_state.vote,
            commit: self.hard_state.commit,
            ..Default::default()
        };
        let conf_state = ConfState {
            voters: self.voters.clone(),
            ..ConfState::default()
        };
        Ok(RaftState::new(hard_state, conf_state))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.index {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last().index + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let mut left = max_size.into().unwrap_or(u64::MAX);
        let mut entries = Vec::new();
        let first = self.base.index + 1;
        let range = (low - first) as usize..(high - first) as usize;
        for (i, (term, data)) in self.entries.range(range).enumerate() {
            let bytes = data.len() as u64;
            // At least one is given, or the engine would not come on.
            if bytes > left && i > 0 {
                break;
            }
            left = left.saturating_sub(bytes);
            entries.push(Entry {
                index: low + i as u64,
                term: *term,
                data: data.clone(),
                ..Entry::default()
            });
        }
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        self.term_at(index)
            .ok_or(Error::Store(if index < self.base.index {
                StorageError::Compacted
            } else {
                StorageError::Unavailable
            }))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last().index)
    }

    /// Only a follower that is too far behind would need one, and a quorum of one has none.
    fn snapshot(&self, _: u64, _: u64) -> raft::Result<Snapshot> {
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> QuorumFrame {
        QuorumFrame::Entry(LogEntry {
            index,
            term,
            data: Bytes::from(vec![index as u8; 10]),
        })
    }

    fn state(term: u64, commit: u64) -> QuorumFrame {
        QuorumFrame::HardState(HardState {
            term,
            vote: 1,
            commit,
        })
    }

    fn log(frames: &[QuorumFrame]) -> Result<QuorumLog, LogError> {
        let mut log = QuorumLog::default();
        for frame in frames {
            log.replay(frame.clone())?;
        }
        Ok(log)
    }

    #[test]
    fn an_entry_replaces_those_that_are_not_committed() {
        let mut frames = vec![state(1, 0), entry(1, 1), entry(2, 1), entry(3, 1)];
        frames.extend([state(2, 1), entry(2, 2)]);
        let log = log(&frames).unwrap();
        assert_eq!(log.last(), LogPosition { index: 2, term: 2 });
        let terms: Vec<_> = log.entries().map(|entry| entry.term).collect();
        assert_eq!(terms, [1, 2]);
    }

    #[test]
    fn what_contradicts_the_log_is_refused() {
        let begun = [state(2, 0), entry(1, 2), state(2, 1)];
        let with = |frame| log(&[&begun[..], &[frame]].concat()).map(|_| ());
        assert_eq!(
            with(entry(1, 2)),
            Err(LogError::Committed {
                index: 1,
                commit: 1
            })
        );
        assert_eq!(with(entry(3, 2)), Err(LogError::Gap { index: 3, last: 1 }));
        assert_eq!(
            with(entry(2, 1)),
            Err(LogError::Term { term: 1, before: 2 })
        );
        assert_eq!(
            with(entry(2, 3)),
            Err(LogError::Term { term: 3, before: 2 })
        );
        assert_eq!(
            with(state(1, 1)),
            Err(LogError::Term { term: 1, before: 2 })
        );
        for next in [0, 2] {
            assert_eq!(
                with(state(2, next)),
                Err(LogError::Commit {
                    commit: 1,
                    next,
                    last: 1
                })
            );
        }
        assert_eq!(with(entry(2, 2)), Ok(()));
    }

    #[test]
    fn the_engine_reads_what_is_kept_and_no_more() {
        let mut log = log(&[state(1, 0), entry(1, 1), entry(2, 1), entry(3, 1)]).unwrap();
        log.compact(1);
        assert_eq!(log.base, LogPosition { index: 1, term: 1 });
        assert_eq!((log.first_index(), log.last_index()), (Ok(2), Ok(3)));
        assert_eq!((log.term(1), log.term(3)), (Ok(1), Ok(1)));
        assert_eq!(log.term(0), Err(Error::Store(StorageError::Compacted)));
        assert_eq!(log.term(4), Err(Error::Store(StorageError::Unavailable)));
        let read = |low, high, max| {
            let context = GetEntriesContext::empty(false);
            let entries = Storage::entries(&log, low, high, max, context);
            entries.map(|entries| entries.iter().map(|entry| entry.index).collect::<Vec<_>>())
        };
        assert_eq!(read(2, 4, None), Ok(vec![2, 3]));
        assert_eq!(read(2, 4, Some(20)), Ok(vec![2, 3]));
        assert_eq!(read(2, 4, Some(19)), Ok(vec![2]));
        assert_eq!(read(3, 4, Some(0)), Ok(vec![3]));
        assert!(read(1, 4, None).is_err() && read(2, 5, None).is_err());
    }
}
