//! A disk in memory that loses what was not synced, tears what was being written, and runs full.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use wiber_model::{PartitionId, Rng, TopicId};
use wiber_storage::{Disk, DiskError, DiskOp, DiskResult, FileId};

/// What is written whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct File {
    /// What survives a power loss.
    durable: Vec<u8>,
    /// Writes since, in order.
    pending: Vec<(u64, Bytes)>,
    /// What is read.
    current: Vec<u8>,
}

/// Files by inode, names by what is durable and what is seen.
#[derive(Clone, Default)]
pub struct MemDisk {
    inodes: BTreeMap<u64, File>,
    names: BTreeMap<FileId, u64>,
    durable_names: BTreeMap<FileId, u64>,
    next_inode: u64,
    /// Bytes that all files together may take.
    pub capacity: Option<u64>,
    /// The operation that fails, by its number from 0, and how.
    pub fail_at: Option<(u64, DiskError)>,
    /// How many operations there were.
    pub ops: u64,
}

impl MemDisk {
    /// Does an operation partly, as if the process or the power had gone while it ran.
    pub fn interrupt(&mut self, op: DiskOp, rng: &mut Rng) {
        match op {
            DiskOp::WalWrite { file, at, data, .. } => {
                for (index, sector) in data.chunks(SECTOR).enumerate() {
                    if rng.one_in(2) {
                        let at = at + (index * SECTOR) as u64;
                        self.write(file, at, Bytes::copy_from_slice(sector));
                    }
                }
            }
            DiskOp::Allocate { file, len } => {
                let len = rng.below(len + 1) as usize;
                self.remove(file);
                self.write(file, 0, Bytes::from(vec![0; len]));
            }
            DiskOp::Write { file, at, data } => {
                let data = data.concat();
                let len = rng.below(data.len() as u64 + 1) as usize;
                self.write(file, at, Bytes::copy_from_slice(&data[..len]));
            }
            op => {
                if rng.one_in(2) {
                    let _ = self.perform(op);
                }
            }
        }
    }

    /// Loses what was not synced: each sector of each write, and each name, by itself.
    pub fn lose_power(&mut self, rng: &mut Rng) {
        for file in self.inodes.values_mut() {
            let mut left = file.durable.clone();
            for (at, data) in file.pending.drain(..) {
                for (index, sector) in data.chunks(SECTOR).enumerate() {
                    if rng.one_in(2) {
                        put(&mut left, at as usize + index * SECTOR, sector);
                    }
                }
            }
            file.durable.clone_from(&left);
            file.current = left;
        }
        let all: BTreeSet<FileId> = self
            .names
            .keys()
            .chain(self.durable_names.keys())
            .copied()
            .collect();
        let mut left = BTreeMap::new();
        for file in all {
            let names = if rng.one_in(2) {
                &self.names
            } else {
                &self.durable_names
            };
            if let Some(inode) = names.get(&file) {
                left.insert(file, *inode);
            }
        }
        self.durable_names.clone_from(&left);
        self.names = left;
    }

    pub fn contents(&self, file: FileId) -> Option<&[u8]> {
        self.names
            .get(&file)
            .map(|inode| &self.inodes[inode].current[..])
    }

    pub fn put_contents(&mut self, file: FileId, bytes: &[u8]) {
        self.remove(file);
        self.write(file, 0, Bytes::copy_from_slice(bytes));
        self.sync(file).unwrap();
        self.durable_names.insert(file, self.names[&file]);
    }

    pub fn flip(&mut self, file: FileId, bit: u64) {
        let inode = self.inodes.get_mut(&self.names[&file]).unwrap();
        inode.current[(bit / 8) as usize] ^= 1 << (bit % 8);
        inode.durable.clone_from(&inode.current);
        assert!(inode.pending.is_empty(), "flips are for a disk at rest");
    }

    pub fn wal_files(&self) -> Vec<FileId> {
        let wal = |file: &&FileId| matches!(file, FileId::Wal(_));
        self.names.keys().filter(wal).copied().collect()
    }

    pub fn remove(&mut self, file: FileId) {
        self.names.remove(&file);
    }

    /// A failed sync: the pages stay in memory and count as clean, and never come to the disk.
    fn drop_pages(&mut self, op: &DiskOp) {
        if let DiskOp::Sync { files } = op {
            for file in files {
                self.inode(*file).pending.clear();
            }
        }
    }

    fn used(&self) -> u64 {
        let sizes = self
            .names
            .values()
            .map(|inode| self.inodes[inode].current.len() as u64);
        sizes.sum()
    }

    fn inode(&mut self, file: FileId) -> &mut File {
        let next = &mut self.next_inode;
        let inode = *self.names.entry(file).or_insert_with(|| {
            *next += 1;
            *next
        });
        self.inodes.entry(inode).or_default()
    }

    fn write(&mut self, file: FileId, at: u64, data: Bytes) {
        let inode = self.inode(file);
        put(&mut inode.current, at as usize, &data);
        inode.pending.push((at, data));
    }

    fn sync(&mut self, file: FileId) -> Result<(), DiskError> {
        let inode = *self.names.get(&file).ok_or(DiskError::NotFound)?;
        let inode = self.inodes.get_mut(&inode).unwrap();
        inode.pending.clear();
        inode.durable.clone_from(&inode.current);
        Ok(())
    }

    fn has_room(&self, more: u64) -> Result<(), DiskError> {
        match self.capacity {
            Some(capacity) if more > 0 && self.used() + more > capacity => Err(DiskError::NoSpace),
            _ => Ok(()),
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    bytes[at..at + data.len()].copy_from_slice(data);
}

impl Disk for MemDisk {
    fn perform(&mut self, op: DiskOp) -> DiskResult {
        self.ops += 1;
        if let Some((at, error)) = &self.fail_at
            && *at == self.ops - 1
        {
            let error = error.clone();
            self.drop_pages(&op);
            return Err(error);
        }
        match op {
            DiskOp::Read { file, at, len } => {
                let bytes = self.contents(file).ok_or(DiskError::NotFound)?;
                let start = (at as usize).min(bytes.len());
                let end = start.saturating_add(len).min(bytes.len());
                return Ok(Bytes::copy_from_slice(&bytes[start..end]));
            }
            DiskOp::Write { file, at, data } => {
                let data = Bytes::from(data.concat());
                if let Err(full) = self.has_room(data.len() as u64) {
                    // As much as fits is there.
                    self.write(file, at, data.slice(..data.len() / 2));
                    return Err(full);
                }
                self.write(file, at, data);
            }
            DiskOp::WalWrite {
                file,
                at,
                data,
                sync,
            } => {
                let size = self.contents(file).ok_or(DiskError::NotFound)?.len();
                assert!(at.is_multiple_of(4096) && data.len().is_multiple_of(4096));
                assert_eq!(
                    data.as_ptr().align_offset(4096),
                    0,
                    "direct I/O wants alignment"
                );
                assert!(at as usize + data.len() <= size, "a WAL write overwrites");
                if sync {
                    // Durable by itself: earlier writes are not.
                    let inode = self.inode(file);
                    put(&mut inode.current, at as usize, &data);
                    put(&mut inode.durable, at as usize, &data);
                    // An earlier write of the same sectors must not come back over it.
                    let (start, end) = (at, at + data.len() as u64);
                    inode.pending.retain(|(at, data)| {
                        let inside = *at >= start && *at + data.len() as u64 <= end;
                        let apart = *at + data.len() as u64 <= start || *at >= end;
                        assert!(inside || apart, "groups overlap");
                        apart
                    });
                } else {
                    self.write(file, at, data);
                }
            }
            DiskOp::Allocate { file, len } => {
                let old = self.contents(file).map_or(0, <[u8]>::len) as u64;
                if let Err(full) = self.has_room(len.saturating_sub(old)) {
                    // What fitted takes space, until it is deleted.
                    let left = self.capacity.map_or(0, |it| it.saturating_sub(self.used()));
                    self.write(file, 0, Bytes::from(vec![0; left as usize]));
                    return Err(full);
                }
                self.remove(file);
                self.put_contents(file, &vec![0; len as usize]);
            }
            DiskOp::Sync { files } => {
                for file in files {
                    self.sync(file)?;
                }
            }
            DiskOp::SyncDirectories { files } => {
                for file in files {
                    match self.names.get(&file) {
                        Some(inode) => self.durable_names.insert(file, *inode),
                        None => self.durable_names.remove(&file),
                    };
                }
            }
            DiskOp::Rename { from, to } => {
                let inode = self.names.remove(&from).ok_or(DiskError::NotFound)?;
                self.names.insert(to, inode);
            }
            DiskOp::Truncate { file, len } => {
                let mut bytes = self.contents(file).ok_or(DiskError::NotFound)?.to_vec();
                bytes.resize(len as usize, 0);
                self.put_contents(file, &bytes);
            }
            DiskOp::Delete { files } => files.into_iter().for_each(|file| self.remove(file)),
            DiskOp::Space => return Err(DiskError::Failed("the log does not ask".to_owned())),
        }
        Ok(Bytes::new())
    }

    fn size(&mut self, file: FileId) -> Result<u64, DiskError> {
        let bytes = self.contents(file).ok_or(DiskError::NotFound)?;
        Ok(bytes.len() as u64)
    }

    fn wal_extents(&mut self) -> Result<Vec<u32>, DiskError> {
        let number = |file: &FileId| match file {
            FileId::Wal(number) => Some(*number),
            _ => None,
        };
        Ok(self.names.keys().filter_map(number).collect())
    }

    fn topics(&mut self) -> Result<Vec<TopicId>, DiskError> {
        Ok(Vec::new())
    }

    fn partitions(&mut self, _: TopicId) -> Result<Vec<PartitionId>, DiskError> {
        Ok(Vec::new())
    }

    fn partition_files(&mut self, _: PartitionId) -> Result<Vec<(FileId, u64)>, DiskError> {
        Ok(Vec::new())
    }
}
