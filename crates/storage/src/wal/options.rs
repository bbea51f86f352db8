//! The sizes that a log works with.

use crate::frame::{HEADER_BYTES, MAX_BODY_BYTES};
use crate::io::BLOCK_BYTES;
use crate::wal::GROUP_HEADER_BYTES;

/// Bytes of the first extent of a new directory, small so that a first start is quick.
pub const INITIAL_EXTENT_BYTES: u64 = 1024 * 1024;
/// Bytes of every other extent.
pub const EXTENT_BYTES: u64 = 32 * 1024 * 1024;
/// The most bytes that all extents together take.
pub const WAL_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Bytes in the log after which a checkpoint is due.
pub const CHECKPOINT_WAL_BYTES: u64 = 64 * 1024 * 1024;
/// The most bytes of a group, unless a single frame is larger.
pub const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of the log that are kept for what is under way when participants are told to stop.
pub const RESERVE_BYTES: u64 = 8 * 1024 * 1024;

/// The sizes that a log works with, in bytes. All are multiples of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalOptions {
    /// See [`INITIAL_EXTENT_BYTES`].
    pub initial_extent_bytes: u64,
    /// See [`EXTENT_BYTES`].
    pub extent_bytes: u64,
    /// See [`WAL_BYTES_MAX`].
    pub wal_bytes_max: u64,
    /// See [`CHECKPOINT_WAL_BYTES`].
    pub checkpoint_bytes: u64,
    /// See [`GROUP_BYTES_MAX`].
    pub group_bytes_max: usize,
    /// See [`RESERVE_BYTES`].
    pub reserve_bytes: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions {
            initial_extent_bytes: INITIAL_EXTENT_BYTES,
            extent_bytes: EXTENT_BYTES,
            wal_bytes_max: WAL_BYTES_MAX,
            checkpoint_bytes: CHECKPOINT_WAL_BYTES,
            group_bytes_max: GROUP_BYTES_MAX,
            reserve_bytes: RESERVE_BYTES,
        }
    }
}

impl WalOptions {
    /// The largest frame, in bytes with its header, that an extent of these sizes takes.
    #[must_use]
    pub fn frame_bytes_max(&self) -> usize {
        let body = MAX_BODY_BYTES as u64 + HEADER_BYTES as u64;
        let room = self.extent_bytes - (BLOCK_BYTES + GROUP_HEADER_BYTES) as u64;
        body.min(room) as usize
    }

    pub(super) fn validate(&self) {
        let block = BLOCK_BYTES as u64;
        for bytes in [
            self.initial_extent_bytes,
            self.extent_bytes,
            self.group_bytes_max as u64,
        ] {
            assert!(bytes >= block && bytes % block == 0, "sizes are in blocks");
        }
        assert!(
            self.extent_bytes >= 2 * block,
            "an extent has room for a group and a link"
        );
        assert!(
            self.wal_bytes_max >= 2 * self.extent_bytes,
            "a log needs two extents to go round"
        );
    }
}
