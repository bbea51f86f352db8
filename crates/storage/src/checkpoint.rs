//! `checkpoint`: the state of every participant as of its cut, and where in the write-ahead log to go on from.

use bytes::Bytes;
use wiber_model::Lsn;

use crate::frame::Participant;
use crate::identity::DirectoryId;
use crate::{Disk, DiskError};

/// A place in the write-ahead log: where the next group is, and what it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The extent.
    pub extent: u32,
    /// Byte position in it.
    pub at: u64,
    /// The number of the group that is there, or will be.
    pub number: u64,
    /// The LSN of its first frame.
    pub lsn: Lsn,
    /// The checksum of the group before it.
    pub previous: u32,
    /// The opening that wrote the group before it.
    pub opening: u64,
}

/// What one participant gave to a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Whose.
    pub participant: Participant,
    /// The last LSN that the section covers: of this participant's frames, those above it are to be replayed.
    pub cut: Lsn,
    /// The participant's state, opaque here.
    pub bytes: Bytes,
}

/// A checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The directory that it belongs to.
    pub directory: DirectoryId,
    /// Counts the checkpoints of a directory, from 1.
    pub id: u64,
    /// Where recovery begins to read the write-ahead log.
    pub position: Position,
    /// The participants' sections.
    pub sections: Vec<Section>,
}

/// Why a checkpoint cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It has a format that this binary does not read.
    #[error("checkpoint: format {0} is not known to this binary")]
    Version(u16),
    /// The file is damaged.
    #[error("checkpoint is damaged: {0}")]
    Corrupt(&'static str),
    /// The disk says no.
    #[error("checkpoint: {0}")]
    Disk(DiskError),
}

impl Checkpoint {
    /// The smallest cut: frames at or below it are in every section.
    #[must_use]
    pub fn smallest_cut(&self) -> Lsn {
        self.sections
            .iter()
            .map(|section| section.cut)
            .min()
            .unwrap_or(Lsn::ZERO)
    }

    /// Reads the newest checkpoint; none if the directory has none.
    ///
    /// # Errors
    /// As [`CheckpointError`] says.
    pub fn read(disk: &mut dyn Disk) -> Result<Option<Checkpoint>, CheckpointError> {
        let _ = disk;
        unimplemented!("being written")
    }
}
