//! A disk that is no kinder than ext4 on a drive with a volatile cache, and breaks by seed.
//!
//! Operations in flight take effect when they end. A process that is killed leaves the page cache and, of each operation in
//! flight, all, a part or nothing. A power loss leaves what is on stable storage and an arbitrary part of the rest
//! ([`contents`], [`names`]). Faults are drawn by the rates in [`DiskFaults`].
//!
//! Invariant: nothing survives a power loss for certain that the contract of [`DiskOp`] does not promise.

pub mod contents;
pub mod names;
pub mod wal_watch;

use std::collections::BTreeMap;

use bytes::Bytes;
use wiber_model::{Offset, PartitionId, Rng, TopicId};
use wiber_storage::io::{BLOCK_BYTES, SegmentId, Space};
use wiber_storage::{Disk, DiskError, DiskOp, DiskResult, FileId};

use crate::coverage::{Count, Coverage};
use contents::{Contents, Survival, torn};
use names::{Directory, Inode, Names};
use wal_watch::{Cost, WalWatch};

/// How often each thing goes wrong: once in so many operations of its kind, on average; never, if 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFaults {
    /// A sync fails and drops what it should have written.
    pub failed_sync: u64,
    /// A read fails.
    pub read_error: u64,
    /// A write fails in the middle.
    pub write_error: u64,
    /// An operation takes up to [`SLOW_NS`].
    pub slow: u64,
}

/// How long operations take, in nanoseconds: half of this to three halves.
#[derive(Clone, Copy, Debug)]
pub struct DiskSpeed {
    /// A WAL write, synced or not.
    pub wal_write_ns: u64,
    /// A read.
    pub read_ns: u64,
    /// A write to the page cache.
    pub write_ns: u64,
    /// A sync, and everything that the filesystem's journal is waited for.
    pub sync_ns: u64,
}

/// The longest that a slow operation takes.
pub const SLOW_NS: u64 = 1_500_000_000;

/// How the broker ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// The process is killed; the machine goes on.
    Kill,
    /// The machine loses power.
    PowerLoss,
}

/// A bit that was flipped.
#[derive(Clone, Debug)]
pub struct Flip {
    /// In which file.
    pub file: FileId,
    /// In which byte.
    pub byte: usize,
    /// What that may cost.
    pub cost: Cost,
}

/// Names an operation in flight.
pub type OpNumber = u64;

#[derive(Debug)]
struct InFlight {
    op: DiskOp,
    /// The last change before it was issued: what a sync covers.
    issued: u64,
    fails: bool,
    /// A read that saw the file as it was when it was issued.
    early: Option<DiskResult>,
}

/// See the module.
#[derive(Debug)]
pub struct SimDisk {
    rng: Rng,
    names: Names,
    inodes: BTreeMap<Inode, Contents>,
    next_inode: Inode,
    /// Counts changes, of contents and of names.
    change: u64,
    in_flight: BTreeMap<OpNumber, InFlight>,
    next_op: OpNumber,
    /// What goes wrong from here on.
    pub faults: DiskFaults,
    /// How fast it is.
    pub speed: DiskSpeed,
    /// The most bytes that all files may take.
    pub budget_bytes: u64,
    watch: WalWatch,
    /// Operations left before the power fails, while a broker is opened.
    fuse: Option<u64>,
    performed: u64,
    dead: bool,
    /// Extents that groups were written to, to tell when one is used again.
    used_extents: BTreeMap<u32, u64>,
    flipped: Vec<FileId>,
    /// Whether a sync failed since the last crash: what is written and not synced may be gone for good.
    pub forsook: bool,
    /// What broke the contract of [`DiskOp`]: a bug.
    pub complaints: Vec<String>,
}

impl SimDisk {
    /// An empty directory.
    pub fn new(seed: u64, speed: DiskSpeed) -> SimDisk {
        SimDisk {
            rng: Rng::new(seed),
            names: Names::default(),
            inodes: BTreeMap::new(),
            next_inode: 1,
            change: 0,
            in_flight: BTreeMap::new(),
            next_op: 0,
            faults: DiskFaults::default(),
            speed,
            budget_bytes: u64::MAX,
            watch: WalWatch::default(),
            fuse: None,
            performed: 0,
            dead: false,
            used_extents: BTreeMap::new(),
            flipped: Vec::new(),
            forsook: false,
            complaints: Vec::new(),
        }
    }

    /// What is durable in the write-ahead log.
    pub fn wal(&self) -> &WalWatch {
        &self.watch
    }

    /// The files that bits were flipped in.
    pub fn flipped(&self) -> &[FileId] {
        &self.flipped
    }

    /// Bytes that all files take, in whole blocks.
    pub fn used_bytes(&self) -> u64 {
        let blocks = |inode: &Inode| {
            self.inodes
                .get(inode)
                .map_or(0, |file| file.bytes().len().next_multiple_of(BLOCK_BYTES))
        };
        self.names
            .files()
            .map(|(_, inode)| blocks(&inode) as u64)
            .sum()
    }

    /// The files and their sizes.
    pub fn list(&self) -> Vec<(FileId, usize)> {
        let size = |inode: &Inode| self.inodes.get(inode).map_or(0, |file| file.bytes().len());
        self.names
            .files()
            .map(|(file, inode)| (file, size(&inode)))
            .collect()
    }

    /// Begins an operation. Returns its number and how long it takes, in nanoseconds.
    pub fn begin(&mut self, op: DiskOp, coverage: &mut Coverage) -> (OpNumber, u64) {
        let base = match &op {
            DiskOp::WalWrite { .. } => self.speed.wal_write_ns,
            DiskOp::Read { .. } | DiskOp::Space => self.speed.read_ns,
            DiskOp::Write { .. }
            | DiskOp::Truncate { .. }
            | DiskOp::Rename { .. }
            | DiskOp::Delete { .. } => self.speed.write_ns,
            DiskOp::Sync { .. } | DiskOp::SyncDirectories { .. } | DiskOp::Allocate { .. } => {
                self.speed.sync_ns
            }
        };
        let mut latency = base / 2 + self.rng.below(base.max(1));
        if self.draw(self.faults.slow) {
            coverage.add(Count::SlowOperation);
            latency += self.rng.below(SLOW_NS);
        }
        let number = self.next_op;
        self.next_op += 1;
        let in_flight = self.issue(op, coverage);
        self.in_flight.insert(number, in_flight);
        (number, latency)
    }

    /// Ends an operation: what it does happens now.
    pub fn finish(&mut self, number: OpNumber, coverage: &mut Coverage) -> DiskResult {
        match self.in_flight.remove(&number) {
            Some(in_flight) => self.perform_issued(in_flight, coverage),
            None => Err(DiskError::Failed("no such operation".to_owned())),
        }
    }

    /// The process dies, or the machine does.
    pub fn crash(&mut self, crash: Crash, coverage: &mut Coverage) {
        for in_flight in std::mem::take(&mut self.in_flight).into_values() {
            match self.rng.below(3) {
                0 => {}
                1 => self.perform_part(&in_flight.op, coverage),
                _ => {
                    // As nobody heard of it, nothing of it need be durable.
                    let op = match in_flight.op {
                        DiskOp::WalWrite { file, at, data, .. } => DiskOp::WalWrite {
                            file,
                            at,
                            data,
                            sync: false,
                        },
                        DiskOp::Sync { .. } | DiskOp::SyncDirectories { .. } => continue,
                        op => op,
                    };
                    let _ = self.apply(&op, in_flight.issued, coverage);
                }
            }
        }
        match crash {
            Crash::Kill => {
                if self.rng.one_in(2) {
                    self.inodes.values_mut().for_each(Contents::evict);
                }
            }
            Crash::PowerLoss => self.lose_power(coverage),
        }
        let reachable = self.names.reachable();
        self.inodes.retain(|inode, _| reachable.contains(inode));
        self.watch.crashed();
        self.fuse = None;
        self.dead = false;
        self.forsook = false;
    }

    /// Lets the power fail after so many more calls of [`Disk`].
    pub fn set_fuse(&mut self, operations: Option<u64>) {
        self.fuse = operations;
    }

    /// Whether the fuse has blown.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// How many calls of [`Disk`] there were.
    pub fn performed(&self) -> u64 {
        self.performed
    }

    /// Flips a bit of something that matters, on stable storage.
    pub fn flip(&mut self, coverage: &mut Coverage) -> Option<Flip> {
        let mut cost = Cost::default();
        let (file, byte, count) = match self.rng.below(8) {
            0..=3 => {
                let (extent, at, len) = self.watch.flippable(&mut self.rng)?;
                // The padding behind the frames is of no interest: the front is likelier hit.
                let len = if self.rng.one_in(2) {
                    len
                } else {
                    len.min(BLOCK_BYTES)
                };
                let within = self.rng.below(len as u64) as usize;
                cost = self.watch.flipped(extent, at, within);
                (FileId::Wal(extent), at as usize + within, Count::FlipInWal)
            }
            4 => self.flippable(
                |file| matches!(file, FileId::Checkpoint),
                Count::FlipInCheckpoint,
            )?,
            5 => self.flippable(|file| matches!(file, FileId::Index(_)), Count::FlipInIndex)?,
            _ => self.flippable(
                |file| matches!(file, FileId::Segment(_)),
                Count::FlipInSegment,
            )?,
        };
        let inode = self.names.find(file)?;
        let bit = self.rng.below(8) as u8;
        self.inodes.get_mut(&inode)?.flip(byte, bit);
        self.flipped.push(file);
        coverage.add(count);
        if let FileId::Segment(segment) = file {
            // A read finds what it wants from the index entry before it, and may meet the flipped bit on the way.
            let of = |(file, _): (FileId, Inode)| match file {
                FileId::Segment(other) if other.partition == segment.partition => Some(other.base),
                _ => None,
            };
            let is_compacted = |partition| {
                self.names.files().any(|(file, _)| {
                    matches!(file, FileId::Segment(s) if s.partition == partition && s.generation > 0)
                })
            };
            let bases = self.names.files().filter_map(of);
            let next = bases.filter(|base| *base > segment.base).min();
            // A compacted segment reaches over others that are still there.
            let next = next.filter(|_| !is_compacted(segment.partition));
            let range = segment.base..next.unwrap_or(Offset(i64::MAX));
            cost.unreadable = Some((segment.partition, range));
        }
        Some(Flip { file, byte, cost })
    }

    fn flippable(
        &mut self,
        kind: impl Fn(&FileId) -> bool,
        count: Count,
    ) -> Option<(FileId, usize, Count)> {
        let inodes = &self.inodes;
        let stable = |inode: Inode| {
            inodes
                .get(&inode)
                .map_or(0, |file| file.stable_bytes().len())
        };
        let files: Vec<_> = self
            .names
            .files()
            .filter(|(file, inode)| kind(file) && stable(*inode) > 0)
            .collect();
        if files.is_empty() {
            return None;
        }
        let (file, inode) = files[self.rng.below(files.len() as u64) as usize];
        let byte = self.rng.below(stable(inode) as u64) as usize;
        Some((file, byte, count))
    }

    fn lose_power(&mut self, coverage: &mut Coverage) {
        let survival = match self.rng.below(8) {
            0 => Survival::All,
            1 | 2 => Survival::None,
            _ => Survival::Mixed,
        };
        let unsynced = self.inodes.values().any(|file| !file.is_synced());
        if unsynced {
            coverage.add(Count::UnsyncedWritesAtPowerLoss);
        }
        for file in self.inodes.values_mut() {
            file.lose_power(survival, &mut self.rng);
        }
        if self.names.lose_power(survival, &mut self.rng) {
            coverage.add(Count::EntriesLost);
        }
    }

    /// True once in `rate` draws; never for 0.
    fn draw(&mut self, rate: u64) -> bool {
        rate > 0 && self.rng.one_in(rate)
    }

    fn issue(&mut self, op: DiskOp, coverage: &mut Coverage) -> InFlight {
        let (rate, count) = match &op {
            DiskOp::Read { .. } | DiskOp::Space => (self.faults.read_error, Count::ReadError),
            DiskOp::WalWrite { sync: true, .. }
            | DiskOp::Sync { .. }
            | DiskOp::SyncDirectories { .. } => (self.faults.failed_sync, Count::FailedSync),
            _ => (self.faults.write_error, Count::WriteError),
        };
        let fails = self.draw(rate);
        if fails {
            coverage.add(count);
        }
        let early = match &op {
            DiskOp::Read { .. } if !fails && self.rng.one_in(2) => {
                Some(self.apply(&op, self.change, coverage))
            }
            _ => None,
        };
        InFlight {
            issued: self.change,
            op,
            fails,
            early,
        }
    }

    fn perform_issued(&mut self, in_flight: InFlight, coverage: &mut Coverage) -> DiskResult {
        if let Some(result) = in_flight.early {
            return result;
        }
        if in_flight.fails {
            self.fail(&in_flight);
            return Err(DiskError::Failed(
                "Input/output error (os error 5)".to_owned(),
            ));
        }
        self.apply(&in_flight.op, in_flight.issued, coverage)
    }

    /// An operation fails: it may have done a part of its work.
    fn fail(&mut self, failed: &InFlight) {
        match &failed.op {
            DiskOp::Sync { files } => {
                self.forsook = true;
                for file in files {
                    let rng = &mut self.rng;
                    if let Some(inode) = self.names.find(*file)
                        && let Some(contents) = self.inodes.get_mut(&inode)
                    {
                        contents.fail_sync(failed.issued, rng);
                    }
                }
            }
            DiskOp::Write { .. } | DiskOp::WalWrite { .. } => {
                self.forsook = true;
                self.perform_part(&failed.op, &mut Coverage::default());
            }
            _ => {}
        }
    }

    /// Does a part of an operation.
    fn perform_part(&mut self, op: &DiskOp, coverage: &mut Coverage) {
        match op {
            DiskOp::Write { file, at, data } => {
                let data = data.concat();
                let len = self.rng.below(data.len() as u64 + 1) as usize;
                self.write(*file, *at as usize, &data[..len]);
            }
            DiskOp::WalWrite { file, at, data, .. } => {
                coverage.add(Count::TornWalWrite);
                let Some(inode) = self.names.find(*file) else {
                    return;
                };
                for range in torn(*at as usize, data.len(), &mut self.rng) {
                    self.change += 1;
                    if let Some(contents) = self.inodes.get_mut(&inode) {
                        contents.write(self.change, *at as usize + range.start, &data[range]);
                    }
                }
            }
            DiskOp::Allocate { file, len } => {
                let inode = self.create(*file);
                let blocks = len / BLOCK_BYTES as u64;
                let len = self.rng.below(blocks + 1) as usize * BLOCK_BYTES;
                self.change += 1;
                if let Some(contents) = self.inodes.get_mut(&inode) {
                    contents.resize(self.change, 0);
                    contents.resize(self.change, len);
                }
                if let FileId::Wal(extent) = file {
                    self.watch.removed(*extent);
                }
            }
            DiskOp::Delete { files } => {
                let some = files
                    .iter()
                    .filter(|_| self.rng.one_in(2))
                    .copied()
                    .collect();
                let _ = self.apply(&DiskOp::Delete { files: some }, self.change, coverage);
            }
            _ => {}
        }
    }

    /// Does what an operation is meant to do.
    fn apply(&mut self, op: &DiskOp, issued: u64, coverage: &mut Coverage) -> DiskResult {
        match op {
            DiskOp::Read { file, at, len } => return self.read(*file, *at, *len),
            DiskOp::Space => {
                let space = Space {
                    total_bytes: self.budget_bytes,
                    usable_bytes: self.budget_bytes.saturating_sub(self.used_bytes()),
                };
                return Ok(space.encode());
            }
            DiskOp::Write { file, at, data } => {
                let data = data.concat();
                let end = *at as usize + data.len();
                let size = self
                    .contents(*file)
                    .map_or(0, |contents| contents.bytes().len());
                let room = self.room_for(size, end);
                if room < end {
                    coverage.add(Count::NoSpace);
                    if room > *at as usize {
                        self.write(*file, *at as usize, &data[..room - *at as usize]);
                    }
                    return Err(DiskError::NoSpace);
                }
                self.write(*file, *at as usize, &data);
            }
            DiskOp::WalWrite {
                file,
                at,
                data,
                sync,
            } => self.wal_write(*file, *at, data, *sync, coverage)?,
            DiskOp::Allocate { file, len } => self.allocate(*file, *len, coverage)?,
            DiskOp::Sync { files } => {
                for file in files {
                    // One that was deleted meanwhile is passed over.
                    let Ok(contents) = self.contents_mut(*file) else {
                        continue;
                    };
                    contents.sync(issued);
                    if let FileId::Wal(extent) = file {
                        self.watch.synced(issued, *extent);
                    }
                }
            }
            DiskOp::SyncDirectories { files } => {
                for file in files {
                    self.names.sync(issued, *file);
                }
            }
            DiskOp::Rename { from, to } => {
                let inode = self.names.find(*from).ok_or(DiskError::NotFound)?;
                self.change += 1;
                self.names.link(self.change, *to, inode);
                self.names.unlink(self.change, *from);
            }
            DiskOp::Truncate { file, len } => {
                self.change += 1;
                let change = self.change;
                self.contents_mut(*file)?.resize(change, *len as usize);
            }
            DiskOp::Delete { files } => {
                for file in files {
                    self.change += 1;
                    let was_there = self.names.unlink(self.change, *file);
                    match file {
                        FileId::Wal(extent) => {
                            self.watch.removed(*extent);
                            self.used_extents.remove(extent);
                            coverage.add(Count::ExtentDeleted);
                        }
                        FileId::Segment(_) if was_there => coverage.add(Count::SegmentDeleted),
                        _ => {}
                    }
                }
            }
        }
        Ok(Bytes::new())
    }

    fn read(&mut self, file: FileId, at: u64, len: usize) -> DiskResult {
        let bytes = self.contents(file).ok_or(DiskError::NotFound)?.bytes();
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let to = from.saturating_add(len).min(bytes.len());
        Ok(Bytes::copy_from_slice(&bytes[from..to]))
    }

    fn wal_write(
        &mut self,
        file: FileId,
        at: u64,
        data: &Bytes,
        sync: bool,
        coverage: &mut Coverage,
    ) -> Result<(), DiskError> {
        let end = at as usize + data.len();
        let size = self
            .contents(file)
            .ok_or(DiskError::NotFound)?
            .bytes()
            .len();
        if end > size
            || !at.is_multiple_of(BLOCK_BYTES as u64)
            || !data.len().is_multiple_of(BLOCK_BYTES)
        {
            self.complaints.push(format!(
                "a write of {} bytes at {at} to {}, which has {size}",
                data.len(),
                file.path()
            ));
            return Err(DiskError::Failed(
                "Invalid argument (os error 22)".to_owned(),
            ));
        }
        self.change += 1;
        let change = self.change;
        let contents = self.contents_mut(file)?;
        if sync {
            contents.write_through(at as usize, data);
        } else {
            // Each block goes its own way.
            for (i, block) in data.chunks(BLOCK_BYTES).enumerate() {
                contents.write(change, at as usize + i * BLOCK_BYTES, block);
            }
        }
        if let FileId::Wal(extent) = file {
            self.watch.wrote(change, extent, at, data, sync);
            let uses = self.used_extents.entry(extent).or_default();
            *uses += u64::from(at == 0);
            if at == 0 && *uses > 1 {
                coverage.add(Count::ExtentRecycled);
            }
        }
        Ok(())
    }

    fn allocate(
        &mut self,
        file: FileId,
        len: u64,
        coverage: &mut Coverage,
    ) -> Result<(), DiskError> {
        let had = self
            .contents(file)
            .map_or(0, |contents| contents.bytes().len());
        if self.room_for(had, len as usize) < len as usize {
            coverage.add(Count::NoSpace);
            self.change += 1;
            self.names.unlink(self.change, file);
            return Err(DiskError::NoSpace);
        }
        let inode = self.create(file);
        self.inodes.insert(inode, Contents::zeros(len as usize));
        self.names.sync(self.change, file);
        if let FileId::Wal(extent) = file {
            self.watch.removed(extent);
            coverage.add(Count::ExtentAllocated);
        }
        Ok(())
    }

    /// How far a file of `size` bytes may grow on the way to `wanted`.
    fn room_for(&self, size: usize, wanted: usize) -> usize {
        if wanted <= size.next_multiple_of(BLOCK_BYTES) || self.budget_bytes == u64::MAX {
            return wanted;
        }
        let left = self.budget_bytes.saturating_sub(self.used_bytes());
        let most = size.next_multiple_of(BLOCK_BYTES) as u64
            + left / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        wanted.min(usize::try_from(most).unwrap_or(usize::MAX))
    }

    fn write(&mut self, file: FileId, at: usize, data: &[u8]) {
        let inode = self.create(file);
        self.change += 1;
        if let Some(contents) = self.inodes.get_mut(&inode) {
            contents.write(self.change, at, data);
        }
    }

    /// The contents of a file, which is made if it is not there.
    fn create(&mut self, file: FileId) -> Inode {
        if let Some(inode) = self.names.find(file) {
            return inode;
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, Contents::default());
        self.change += 1;
        self.names.link(self.change, file, inode);
        inode
    }

    fn contents(&self, file: FileId) -> Option<&Contents> {
        self.inodes.get(&self.names.find(file)?)
    }

    fn contents_mut(&mut self, file: FileId) -> Result<&mut Contents, DiskError> {
        let inode = self.names.find(file).ok_or(DiskError::NotFound)?;
        self.inodes.get_mut(&inode).ok_or(DiskError::NotFound)
    }

    /// Counts a direct call, and says whether the machine still has power for it.
    fn powered(&mut self) -> Result<(), DiskError> {
        self.performed += 1;
        if let Some(left) = &mut self.fuse {
            self.dead |= *left == 0;
            *left = left.saturating_sub(1);
        }
        if self.dead {
            Err(DiskError::Failed("the power is gone".to_owned()))
        } else {
            Ok(())
        }
    }
}

/// What start-up calls: the same operations, one at a time, with the same faults.
pub struct DirectDisk<'a> {
    /// The disk.
    pub disk: &'a mut SimDisk,
    /// Counts what happens.
    pub coverage: &'a mut Coverage,
}

impl Disk for DirectDisk<'_> {
    fn perform(&mut self, op: DiskOp) -> DiskResult {
        let was_dead = self.disk.dead;
        if let Err(error) = self.disk.powered() {
            if !was_dead {
                self.disk.begin(op, self.coverage);
            }
            return Err(error);
        }
        let in_flight = self.disk.issue(op, self.coverage);
        self.disk.perform_issued(in_flight, self.coverage)
    }

    fn size(&mut self, file: FileId) -> Result<u64, DiskError> {
        self.disk.powered()?;
        Ok(self
            .disk
            .contents(file)
            .ok_or(DiskError::NotFound)?
            .bytes()
            .len() as u64)
    }

    fn wal_extents(&mut self) -> Result<Vec<u32>, DiskError> {
        self.disk.powered()?;
        let extent = |(file, _)| match file {
            FileId::Wal(extent) => Some(extent),
            _ => None,
        };
        Ok(self.disk.names.files().filter_map(extent).collect())
    }

    fn topics(&mut self) -> Result<Vec<TopicId>, DiskError> {
        self.disk.powered()?;
        let topic = |directory| match directory {
            Directory::Topic(id) => Some(id),
            _ => None,
        };
        Ok(self.disk.names.directories().filter_map(topic).collect())
    }

    fn partitions(&mut self, topic: TopicId) -> Result<Vec<PartitionId>, DiskError> {
        self.disk.powered()?;
        let partition = |directory| match directory {
            Directory::Partition(id) if id.topic == topic => Some(id),
            _ => None,
        };
        Ok(self
            .disk
            .names
            .directories()
            .filter_map(partition)
            .collect())
    }

    fn partition_files(&mut self, partition: PartitionId) -> Result<Vec<(FileId, u64)>, DiskError> {
        self.disk.powered()?;
        let of_partition = |id: &SegmentId| id.partition == partition;
        let files = self.disk.list().into_iter().filter(|(file, _)| match file {
            FileId::Segment(id) | FileId::Index(id) => of_partition(id),
            _ => false,
        });
        Ok(files.map(|(file, size)| (file, size as u64)).collect())
    }
}
