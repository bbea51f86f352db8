//! A checkpoint being taken: cuts, sections, then the file.

use bytes::Bytes;
use wiber_model::Lsn;

use crate::OpToken;
use crate::checkpoint::Position;

#[derive(Debug, Default)]
struct Part {
    cut: Option<Lsn>,
    bytes: Option<Bytes>,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Cuts and sections are coming in, and the frames up to the cuts are being made durable.
    Collecting,
    /// The draft is being written.
    Writing(OpToken),
    /// The draft is being synced.
    Syncing(OpToken),
    /// The draft is being renamed.
    Renaming(OpToken),
    /// The directory is being synced.
    SyncingDirectory(OpToken),
    /// The checkpoint was given up and its draft is being deleted.
    Discarding(OpToken),
}

impl Phase {
    /// The operation that it waits for.
    pub fn token(self) -> Option<OpToken> {
        match self {
            Phase::Collecting => None,
            Phase::Writing(token)
            | Phase::Syncing(token)
            | Phase::Renaming(token)
            | Phase::SyncingDirectory(token)
            | Phase::Discarding(token) => Some(token),
        }
    }
}

/// A checkpoint being taken.
#[derive(Debug)]
pub(super) struct Checkpointing {
    pub id: u64,
    /// Where the log stood when it began: every cut comes later.
    pub position: Position,
    /// How many bytes had been written then.
    pub log_bytes: u64,
    pub phase: Phase,
    parts: Vec<Part>,
}

impl Checkpointing {
    pub fn new(id: u64, position: Position, log_bytes: u64, participants: usize) -> Checkpointing {
        Checkpointing {
            id,
            position,
            log_bytes,
            phase: Phase::Collecting,
            parts: (0..participants).map(|_| Part::default()).collect(),
        }
    }

    /// Notes a participant's cut.
    pub fn cut(&mut self, participant: usize, lsn: Lsn) {
        let cut = &mut self.parts[participant].cut;
        assert!(
            cut.is_none(),
            "a participant takes one cut for a checkpoint"
        );
        *cut = Some(lsn);
    }

    /// Notes a participant's section.
    pub fn section(&mut self, participant: usize, bytes: Bytes) {
        let part = &mut self.parts[participant];
        assert!(part.cut.is_some(), "the cut comes before the section");
        part.bytes = Some(bytes);
    }

    /// The largest cut, once all sections are there.
    pub fn complete(&self) -> Option<Lsn> {
        let whole = self.parts.iter().all(|part| part.bytes.is_some());
        whole
            .then(|| self.parts.iter().filter_map(|part| part.cut).max())
            .flatten()
    }

    /// Cuts and sections in the order of the participants, once all are there.
    pub fn sections(&self) -> impl Iterator<Item = (Lsn, Bytes)> + '_ {
        self.parts
            .iter()
            .filter_map(|part| part.cut.zip(part.bytes.clone()))
    }
}
