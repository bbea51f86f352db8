//! Reading the write-ahead log at start-up: which groups are live, which are torn, which are damaged (S3).

use wiber_model::Lsn;

use crate::checkpoint::Checkpoint;
use crate::frame::{Frame, Participant};
use crate::identity::Identity;
use crate::wal::{Wal, WalOptions};
use crate::{Disk, DiskError};

/// LSNs below a durable mark that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The extent where it begins.
    pub extent: u32,
    /// The byte position there.
    pub at: u64,
    /// The first LSN that is lost.
    pub first: Lsn,
    /// The last LSN that is lost.
    pub last: Lsn,
}

/// Why a log cannot be opened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WalError {
    /// The disk says no.
    #[error("write-ahead log: {0}")]
    Disk(#[from] DiskError),
}

/// A log that was opened, and what was in it.
#[derive(Debug)]
pub struct Opened {
    /// The machine, ready to go on.
    pub wal: Wal,
    /// The frames above the checkpoint's smallest cut, in the order of their LSNs.
    pub frames: Vec<(Lsn, Frame)>,
    /// What is lost. Empty on a healthy disk.
    pub damage: Vec<Damage>,
}

/// Opens the log of a directory, or makes the one of a new directory. All frames that it returns are durable.
///
/// # Errors
/// As [`WalError`] says.
pub fn open(
    disk: &mut dyn Disk,
    identity: &Identity,
    checkpoint: Option<&Checkpoint>,
    options: WalOptions,
    participants: &[Participant],
) -> Result<Opened, WalError> {
    let _ = (disk, identity, checkpoint, options, participants);
    unimplemented!("being written")
}
