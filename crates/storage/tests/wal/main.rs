//! The write-ahead log over a disk that fails.
#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

mod damage;
mod disk;
mod driver;
mod golden;
mod loss;
mod machine;
mod world;

use wiber_model::BrokerId;
use wiber_storage::wal::{self, Opened, WalError};
use wiber_storage::{Checkpoint, DirectoryId, Disk, Identity, Participant, WalOptions};

/// Extents of a few blocks: every run goes round them many times.
const OPTIONS: WalOptions = WalOptions {
    initial_extent_bytes: 16 * 1024,
    extent_bytes: 64 * 1024,
    wal_bytes_max: 256 * 1024,
    checkpoint_bytes: 96 * 1024,
    group_bytes_max: 16 * 1024,
    reserve_bytes: 32 * 1024,
};

const PARTICIPANTS: [Participant; 3] = [Participant(0), Participant(1), Participant::CONTROLLER];

fn identity() -> Identity {
    Identity {
        cluster_id: "test-cluster".to_owned(),
        directory: DirectoryId([0xd1; 16]),
        node_id: BrokerId(1),
    }
}

/// The same without a checkpoint of its own accord.
const UNCHECKPOINTED: WalOptions = WalOptions {
    wal_bytes_max: 2 * 1024 * 1024,
    checkpoint_bytes: 2 * 1024 * 1024,
    ..OPTIONS
};

/// Opens the log as a start of the broker does.
fn open(disk: &mut dyn Disk, options: WalOptions) -> Result<Opened, WalError> {
    let checkpoint = Checkpoint::read(disk).expect("the checkpoint is whole");
    let opened = wal::open(
        disk,
        &identity(),
        checkpoint.as_ref(),
        options,
        &PARTICIPANTS,
    )?;
    opened.wal.validate();
    Ok(opened)
}
