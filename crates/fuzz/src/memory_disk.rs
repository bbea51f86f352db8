//! A disk in memory that does what it is told.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use wiber_model::{PartitionId, TopicId};
use wiber_storage::io::Space;
use wiber_storage::{Disk, DiskError, DiskOp, DiskResult, FileId};

/// No file grows beyond this, in bytes: damage must not make the broker ask for more.
const FILE_BYTES_MAX: usize = 64 << 20;

/// The files, by what they hold.
#[derive(Clone, Default, Debug)]
pub struct MemoryDisk(pub BTreeMap<FileId, Vec<u8>>);

impl MemoryDisk {
    fn file(&mut self, file: FileId) -> Result<&mut Vec<u8>, DiskError> {
        self.0.get_mut(&file).ok_or(DiskError::NotFound)
    }

    fn write(bytes: &mut Vec<u8>, at: u64, data: &[u8]) -> Result<(), DiskError> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let end = at.saturating_add(data.len());
        if end > FILE_BYTES_MAX {
            return Err(DiskError::NoSpace);
        }
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[at..end].copy_from_slice(data);
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn perform(&mut self, op: DiskOp) -> DiskResult {
        match op {
            DiskOp::Read { file, at, len } => {
                let bytes = self.file(file)?;
                let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                let end = at.saturating_add(len).min(bytes.len());
                return Ok(Bytes::copy_from_slice(&bytes[at..end]));
            }
            DiskOp::Write { file, at, data } => {
                let mut at = at;
                for piece in data {
                    MemoryDisk::write(self.0.entry(file).or_default(), at, &piece)?;
                    at += piece.len() as u64;
                }
            }
            DiskOp::WalWrite { file, at, data, .. } => {
                MemoryDisk::write(self.file(file)?, at, &data)?;
            }
            DiskOp::Allocate { file, len } => {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                if len > FILE_BYTES_MAX {
                    return Err(DiskError::NoSpace);
                }
                self.0.insert(file, vec![0; len]);
            }
            DiskOp::Space => {
                let used: usize = self.0.values().map(Vec::len).sum();
                let space = Space {
                    total_bytes: (used + FILE_BYTES_MAX) as u64,
                    usable_bytes: FILE_BYTES_MAX as u64,
                };
                return Ok(space.encode());
            }
            DiskOp::Sync { .. } | DiskOp::SyncDirectories { .. } => {}
            DiskOp::Rename { from, to } => {
                let bytes = self.0.remove(&from).ok_or(DiskError::NotFound)?;
                self.0.insert(to, bytes);
            }
            DiskOp::Truncate { file, len } => {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                if len > FILE_BYTES_MAX {
                    return Err(DiskError::NoSpace);
                }
                self.file(file)?.resize(len, 0);
            }
            DiskOp::Delete { files } => files.iter().for_each(|file| {
                self.0.remove(file);
            }),
        }
        Ok(Bytes::new())
    }

    fn size(&mut self, file: FileId) -> Result<u64, DiskError> {
        self.file(file).map(|bytes| bytes.len() as u64)
    }

    fn wal_extents(&mut self) -> Result<Vec<u32>, DiskError> {
        let extent = |file: &FileId| match file {
            FileId::Wal(number) => Some(*number),
            _ => None,
        };
        Ok(self.0.keys().filter_map(extent).collect())
    }

    fn topics(&mut self) -> Result<Vec<TopicId>, DiskError> {
        let topics: BTreeSet<_> = self.0.keys().filter_map(partition_of).collect();
        let topics: BTreeSet<_> = topics.into_iter().map(|id| id.topic).collect();
        Ok(topics.into_iter().collect())
    }

    fn partitions(&mut self, topic: TopicId) -> Result<Vec<PartitionId>, DiskError> {
        let partitions: BTreeSet<_> = self.0.keys().filter_map(partition_of).collect();
        let of_topic = partitions.into_iter().filter(|id| id.topic == topic);
        Ok(of_topic.collect())
    }

    fn partition_files(&mut self, partition: PartitionId) -> Result<Vec<(FileId, u64)>, DiskError> {
        let files = self.0.iter();
        let of_partition = files.filter(|(file, _)| partition_of(file) == Some(partition));
        Ok(of_partition
            .map(|(file, bytes)| (*file, bytes.len() as u64))
            .collect())
    }
}

fn partition_of(file: &FileId) -> Option<PartitionId> {
    match file {
        FileId::Segment(segment) | FileId::Index(segment) => Some(segment.partition),
        _ => None,
    }
}
