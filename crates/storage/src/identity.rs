//! `wiber.format`: which format a data directory has, and whose it is.

use std::fmt;

use wiber_model::{BrokerId, TopicId};

use crate::{Disk, DiskError};

/// The format version that this binary writes, and the only one that it reads.
pub const FORMAT_VERSION: u16 = 1;

/// The 128-bit random id of a data directory: one that was emptied and made again has another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DirectoryId(pub [u8; 16]);

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&TopicId(self.0), f)
    }
}

/// What `wiber.format` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster that the directory belongs to, in Kafka's notation.
    pub cluster_id: String,
    /// The directory's own id.
    pub directory: DirectoryId,
    /// The node that owns it.
    pub node_id: BrokerId,
}

/// Why a directory's identity cannot be read or written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentityError {
    /// The directory has another format.
    #[error("wiber.format: the directory has format {found}, and this binary reads format {FORMAT_VERSION} only; start it with the release that wrote it, or use another directory")]
    Version {
        /// What the file says.
        found: String,
    },
    /// The file is damaged or was edited.
    #[error("wiber.format is damaged: {0}")]
    Corrupt(&'static str),
    /// The disk says no.
    #[error("wiber.format: {0}")]
    Disk(DiskError),
}

impl Identity {
    /// Reads the identity; none if the directory has none.
    ///
    /// # Errors
    /// As [`IdentityError`] says.
    pub fn read(disk: &mut dyn Disk) -> Result<Option<Identity>, IdentityError> {
        let _ = disk;
        unimplemented!("being written")
    }

    /// Writes the identity of a new directory, durably.
    ///
    /// # Errors
    /// If the disk says no.
    pub fn write(&self, disk: &mut dyn Disk) -> Result<(), IdentityError> {
        let _ = disk;
        unimplemented!("being written")
    }
}
