//! Opening the log: recovery of what is in it, and the machine that goes on behind it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::BufMut;
use wiber_model::Lsn;

use crate::checkpoint::{Checkpoint, Position};
use crate::frame::{Frame, Participant};
use crate::identity::Identity;
use crate::io::BLOCK_BYTES;
use crate::wal::extents::{Extent, Extents};
use crate::wal::group::Buffers;
use crate::wal::scan::{Damage, ExtentFile, Group, Scan, WalError};
use crate::wal::{Start, Wal, WalOptions};
use crate::{Disk, DiskOp, FileId};

/// Bytes rewritten at a time.
const REWRITE_BYTES: u64 = 4 * 1024 * 1024;

/// A log that was opened, and what was in it.
#[derive(Debug)]
pub struct Opened {
    /// The machine, ready to go on.
    pub wal: Wal,
    /// The frames above the checkpoint's smallest cut, in the order of their LSNs. All are durable.
    pub frames: Vec<(Lsn, Frame)>,
    /// What is lost, in the order of the log. Empty on a healthy disk.
    pub damage: Vec<Damage>,
    /// Frames that groups name as the last one with metadata before their end, in order.
    pub metadata: Vec<Lsn>,
    /// For the log of the process.
    pub report: OpenReport,
}

/// What the opening of a log found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenReport {
    /// Groups that were read.
    pub groups: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes that were written once more, as nothing on disk proved them durable.
    pub rewritten_bytes: u64,
    /// Whether the log ended in a group that was being written.
    pub torn: bool,
    /// Counts the openings of the directory that wrote something.
    pub opening: u64,
}

/// Opens the log of a directory, or makes that of a new one. Nobody else may use the directory.
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
    let cut = checkpoint.map_or(Lsn::ZERO, Checkpoint::smallest_cut);
    let mut scan = Scan::new(disk, identity, checkpoint)?;
    let begin = *scan.position();
    let mut found = Found::new(&begin);
    while let Some(group) = scan.next_group()? {
        found.take(group, cut);
    }
    scan.check_end()?;
    found.report.torn = scan.is_torn();
    let latest = scan.latest_opening();
    let tail = *scan.position();
    found.enter(tail.extent);
    let (disk, mut files) = scan.into_parts();

    if checkpoint.is_none() && found.report.groups == 0 {
        // Whatever is there of an extent may have been left by a start that did not get to its end.
        let first = FileId::Wal(tail.extent);
        let len = options.initial_extent_bytes;
        disk.perform(DiskOp::Allocate { file: first, len })?;
        let file = ExtentFile {
            bytes: len,
            first: None,
            is_searched: true,
        };
        files.insert(tail.extent, file);
    }
    disk.perform(DiskOp::Delete {
        files: vec![FileId::CheckpointDraft],
    })?;
    // The process may have stopped after a rename: what this opening builds on must not be taken back by a power loss.
    disk.perform(DiskOp::SyncDirectories {
        files: vec![FileId::Identity, FileId::Checkpoint],
    })?;
    found.make_durable(disk)?;

    let openings = files
        .values()
        .filter_map(|file| file.first)
        .map(|first| first.opening);
    found.report.opening = openings.fold(latest, u64::max) + 1;
    let extents = sort_extents(&files, &found.live)?;
    let current = extents.current();
    let end = tail.at + BLOCK_BYTES as u64;
    if current.bytes < end {
        return Err(WalError::Short {
            extent: current.file,
            bytes: current.bytes,
            end,
        });
    }
    let start = Start {
        directory: identity.directory,
        opening: found.report.opening,
        tail,
        metadata: found.metadata.last().copied().unwrap_or(Lsn::ZERO),
        extents,
        marked: found.marked,
        log_bytes: found.report.bytes,
        checkpoint_id: checkpoint.map_or(0, |checkpoint| checkpoint.id),
        checkpoint_number: checkpoint.map_or(0, |checkpoint| checkpoint.position.number),
    };
    Ok(Opened {
        wal: Wal::new(start, options, participants),
        frames: found.frames,
        damage: found.damage,
        metadata: found.metadata,
        report: found.report,
    })
}

/// Which extents are live, which are free, and which are of unknown make: those in which nothing of this directory
/// begins, as the process may have stopped while it made them.
fn sort_extents(files: &BTreeMap<u32, ExtentFile>, live: &[u32]) -> Result<Extents, WalError> {
    let extent = |file: u32| match files.get(&file) {
        Some(found) => Ok(Extent {
            file,
            bytes: found.bytes,
        }),
        None => Err(WalError::Missing(file)),
    };
    let mut free = Vec::new();
    let mut vacant = BTreeSet::new();
    for (&file, found) in files {
        if live.contains(&file) {
            continue;
        }
        if found.first.is_some() {
            free.push(extent(file)?);
        } else {
            vacant.insert(file);
        }
    }
    let live: VecDeque<Extent> = live
        .iter()
        .map(|&file| extent(file))
        .collect::<Result<_, _>>()?;
    Ok(Extents::new(live, free, vacant))
}

/// A part of an extent.
#[derive(Clone, Copy, Debug)]
struct Range {
    extent: u32,
    at: u64,
    bytes: u64,
    /// The last LSN in it.
    last: Lsn,
}

/// What the scan found so far.
#[derive(Debug)]
struct Found {
    frames: Vec<(Lsn, Frame)>,
    damage: Vec<Damage>,
    metadata: Vec<Lsn>,
    report: OpenReport,
    /// In the order of the log.
    live: Vec<u32>,
    /// The highest durable LSN that the checkpoint or a group tells.
    marked: Lsn,
    /// The groups beyond it.
    unproven: VecDeque<Range>,
}

impl Found {
    fn new(begin: &Position) -> Found {
        Found {
            frames: Vec::new(),
            damage: Vec::new(),
            metadata: Vec::new(),
            report: OpenReport::default(),
            live: vec![begin.extent],
            marked: Lsn(begin.lsn.0 - 1),
            unproven: VecDeque::new(),
        }
    }

    fn enter(&mut self, extent: u32) {
        if self.live.last() != Some(&extent) {
            self.live.push(extent);
        }
    }

    fn take(&mut self, group: Group, cut: Lsn) {
        self.enter(group.extent);
        self.report.groups += 1;
        self.damage.extend(group.damage);
        if let Some(header) = group.header {
            self.report.bytes += header.group_bytes();
            self.marked = self.marked.max(header.durable);
            if self.metadata.last() != Some(&header.metadata) {
                self.metadata.push(header.metadata);
            }
            while self
                .unproven
                .front()
                .is_some_and(|range| range.last <= self.marked)
            {
                self.unproven.pop_front();
            }
            self.unproven.push_back(Range {
                extent: group.extent,
                at: group.at,
                bytes: header.group_bytes(),
                last: Lsn(header.next_lsn().0 - 1),
            });
        }
        let frames = group.frames.into_iter().filter(|(lsn, ..)| *lsn > cut);
        self.frames
            .extend(frames.map(|(lsn, _, frame)| (lsn, frame)));
    }

    /// Writes once more, and syncs, the groups that nothing proves durable: they may stand in memory of the system alone,
    /// and after a sync that failed (D8) another sync would not tell.
    fn make_durable(&mut self, disk: &mut dyn Disk) -> Result<(), WalError> {
        let mut buffers = Buffers::default();
        let mut touched = BTreeSet::new();
        for range in joined(&self.unproven) {
            let file = FileId::Wal(range.extent);
            let bytes = disk.perform(DiskOp::Read {
                file,
                at: range.at,
                len: range.bytes as usize,
            })?;
            let mut buffer = buffers.take(bytes.len());
            buffer.put_slice(&bytes);
            let data = buffer.freeze();
            disk.perform(DiskOp::WalWrite {
                file,
                at: range.at,
                data: data.clone(),
                sync: false,
            })?;
            buffers.give_back(data);
            touched.insert(file);
            self.report.rewritten_bytes += range.bytes;
        }
        if !touched.is_empty() {
            let files = touched.into_iter().collect();
            disk.perform(DiskOp::Sync { files })?;
        }
        Ok(())
    }
}

/// Ranges that touch, as one, as long as that is not too large.
fn joined(ranges: &VecDeque<Range>) -> Vec<Range> {
    let mut joined: Vec<Range> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last)
                if last.extent == range.extent
                    && last.at + last.bytes == range.at
                    && last.bytes + range.bytes <= REWRITE_BYTES =>
            {
                last.bytes += range.bytes;
            }
            _ => joined.push(*range),
        }
    }
    joined
}
