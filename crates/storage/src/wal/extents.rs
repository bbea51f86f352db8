//! The files of the log: which hold live groups, which are free, and when another one is made.
//!
//! Invariant: an extent is free only if nothing in it is needed; live ones stand in the order of the log, the last being
//! written to.

use std::collections::{BTreeSet, VecDeque};

use crate::io::BLOCK_BYTES;
use crate::wal::WalOptions;
use crate::{DiskError, DiskOp, FileId, OpToken};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// After an extent could not be made for want of space, trying again on its own account takes this part of an extent in
/// newly written bytes.
const RETRY_PARTS: u64 = 16;

/// A file of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    /// The number in its name.
    pub file: u32,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Extent {
    /// The most bytes that a group at `at` may take: the last block is kept for the link to the next extent.
    pub fn room(&self, at: u64) -> u64 {
        self.bytes.saturating_sub(at).saturating_sub(BLOCK)
    }
}

#[derive(Debug)]
struct Allocation {
    token: OpToken,
    extent: Extent,
}

/// All files of a log.
#[derive(Debug)]
pub(super) struct Extents {
    live: VecDeque<Extent>,
    free: Vec<Extent>,
    /// Files that are there and of unknown make: they are written anew before they are used.
    vacant: BTreeSet<u32>,
    next_file: u32,
    allocating: Option<Allocation>,
    /// The last try to make an extent found no space; the next is due when so many bytes have been written.
    retry_at_bytes: Option<u64>,
}

impl Extents {
    /// The files of an opened log; `live` is not empty.
    pub fn new(live: VecDeque<Extent>, free: Vec<Extent>, vacant: BTreeSet<u32>) -> Extents {
        let used = live.iter().chain(&free).map(|extent| extent.file);
        let highest = used.chain(vacant.iter().copied()).max().unwrap_or(0);
        Extents {
            live,
            free,
            vacant,
            next_file: highest + 1,
            allocating: None,
            retry_at_bytes: None,
        }
    }

    /// The extent that is written to.
    pub fn current(&self) -> Extent {
        *self.live.back().expect("a log has an extent")
    }

    /// Whether an extent holds live groups.
    pub fn is_live(&self, file: u32) -> bool {
        self.live.iter().any(|extent| extent.file == file)
    }

    /// How many extents hold live groups.
    pub fn live_count(&self) -> usize {
        self.live.len()
    }

    /// Makes a free extent that has room for `group_bytes` the current one.
    pub fn advance(&mut self, group_bytes: u64) -> Option<Extent> {
        let fits = |extent: &Extent| extent.room(0) >= group_bytes;
        let index = self.free.iter().position(fits)?;
        let extent = self.free.remove(index);
        self.live.push_back(extent);
        Some(extent)
    }

    /// Frees the extents before `first`. Those beyond the log's bound are to be deleted.
    pub fn free_before(&mut self, first: u32, options: &WalOptions) -> Vec<FileId> {
        while self.live.len() > 1 && self.live[0].file != first {
            self.free.extend(self.live.pop_front());
        }
        let mut deleted = Vec::new();
        while self.bytes() > options.wal_bytes_max
            && let Some(extent) = self.free.pop()
        {
            deleted.push(FileId::Wal(extent.file));
        }
        deleted
    }

    /// Bytes for groups that queued ones can count on: what is left at `at` in the current extent, what is free, and what
    /// may still be made, unless the disk said that it is full.
    pub fn free_bytes(&self, at: u64, options: &WalOptions) -> u64 {
        let ready: u64 = self.free.iter().map(|extent| extent.room(0)).sum();
        let more = match self.retry_at_bytes {
            Some(_) => 0,
            None => {
                let made =
                    self.bytes() - self.allocating.as_ref().map_or(0, |made| made.extent.bytes);
                options.wal_bytes_max.saturating_sub(made) / options.extent_bytes
            }
        };
        self.current().room(at) + ready + more * (options.extent_bytes - BLOCK)
    }

    /// Begins to make another extent, if one is needed: when the current one, written up to `at`, is more than half full
    /// and no other is free, or when what is queued fits nowhere (`blocked`). Only the latter may go beyond the bound, as a
    /// checkpoint may depend on what is queued; and upstream bounds that.
    pub fn allocate(
        &mut self,
        at: u64,
        blocked: bool,
        written_bytes: u64,
        options: &WalOptions,
        token: OpToken,
    ) -> Option<DiskOp> {
        let half_full = self.current().room(at) < self.current().bytes / 2;
        // What was refused for want of space is tried again even where no group waits for it: as long as the disk counts as
        // full, none may come.
        let wanted = blocked || (half_full && self.free.is_empty()) || self.out_of_space();
        let allowed = blocked || self.bytes() + options.extent_bytes <= options.wal_bytes_max;
        let waits = self
            .retry_at_bytes
            .is_some_and(|retry_at| written_bytes < retry_at);
        if !wanted || !allowed || waits || self.allocating.is_some() {
            return None;
        }
        let extent = Extent {
            file: self.vacant.pop_first().unwrap_or(self.next_file),
            bytes: options.extent_bytes,
        };
        self.next_file = self.next_file.max(extent.file + 1);
        self.allocating = Some(Allocation { token, extent });
        Some(DiskOp::Allocate {
            file: FileId::Wal(extent.file),
            len: extent.bytes,
        })
    }

    /// Whether an extent is being made.
    pub fn is_allocating(&self) -> bool {
        self.allocating.is_some()
    }

    /// Whether `token` is that of the extent being made.
    pub fn is_allocation(&self, token: OpToken) -> bool {
        self.allocating
            .as_ref()
            .is_some_and(|made| made.token == token)
    }

    /// Takes the result of making an extent. If there was no space, answers what is left of it, to be deleted.
    ///
    /// # Errors
    /// If it failed for another reason.
    pub fn allocated(
        &mut self,
        result: Result<(), DiskError>,
        written_bytes: u64,
    ) -> Result<Option<FileId>, DiskError> {
        let Some(Allocation { extent, .. }) = self.allocating.take() else {
            return Ok(None);
        };
        match result {
            Ok(()) => {
                self.retry_at_bytes = None;
                self.free.push(extent);
                Ok(None)
            }
            Err(DiskError::NoSpace) => {
                self.retry_at_bytes = Some(written_bytes + extent.bytes / RETRY_PARTS);
                Ok(Some(FileId::Wal(extent.file)))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the disk had no space for another extent.
    pub fn out_of_space(&self) -> bool {
        self.retry_at_bytes.is_some()
    }

    /// Lets the next need for an extent be tried at once, although the disk was full. It counts as full until it succeeds.
    pub fn retry(&mut self) {
        if let Some(retry_at) = &mut self.retry_at_bytes {
            *retry_at = 0;
        }
    }

    fn bytes(&self) -> u64 {
        let held = self.live.iter().chain(&self.free);
        held.chain(self.allocating.iter().map(|made| &made.extent))
            .map(|extent| extent.bytes)
            .sum()
    }

    /// Asserts that no file stands in two places.
    pub fn validate(&self) {
        let held = self.live.iter().chain(&self.free);
        let held = held.chain(self.allocating.iter().map(|made| &made.extent));
        let mut files: Vec<u32> = held.map(|extent| extent.file).collect();
        files.extend(&self.vacant);
        let distinct: BTreeSet<u32> = files.iter().copied().collect();
        assert_eq!(
            files.len(),
            distinct.len(),
            "an extent has one role: {self:?}"
        );
        assert!(files.iter().all(|file| *file < self.next_file));
    }
}
