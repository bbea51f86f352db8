//! What is in a data directory: the inverse of [`FileId::path`].
//!
//! Names that [`FileId::path`] would not have given are none of ours, and are passed over.

use std::fmt::Display;
use std::str::FromStr;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;
use wiber_model::{Offset, PartitionId, TopicId};
use wiber_storage::io::SegmentId;
use wiber_storage::{DiskError, FileId};

use super::{DataDirectory, failed};

impl DataDirectory {
    /// The size of a file in bytes.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if it is not there.
    pub fn size_of(&self, file: FileId) -> Result<u64, DiskError> {
        let path = file.path();
        let stat = rustix::fs::statat(&self.root, &path, AtFlags::empty())
            .map_err(|error| failed("stat", &path, error))?;
        Ok(stat.st_size as u64)
    }

    pub(super) fn list_wal_extents(&self) -> Result<Vec<u32>, DiskError> {
        let mut extents = Vec::new();
        for name in self.names("wal")? {
            let number = name.strip_suffix(".wal").and_then(|n| n.parse().ok());
            extents.extend(number.filter(|n| FileId::Wal(*n).path() == format!("wal/{name}")));
        }
        extents.sort_unstable();
        Ok(extents)
    }

    pub(super) fn list_topics(&self) -> Result<Vec<TopicId>, DiskError> {
        let mut topics: Vec<TopicId> = self.names("topics")?.iter().filter_map(canonical).collect();
        topics.sort_unstable();
        Ok(topics)
    }

    pub(super) fn list_partitions(&self, topic: TopicId) -> Result<Vec<PartitionId>, DiskError> {
        let names = self.names(&format!("topics/{topic}"))?;
        let mut partitions: Vec<PartitionId> = names
            .iter()
            .filter_map(canonical)
            .filter(|partition| *partition >= 0)
            .map(|partition| PartitionId { topic, partition })
            .collect();
        partitions.sort_unstable();
        Ok(partitions)
    }

    pub(super) fn list_partition_files(
        &self,
        partition: PartitionId,
    ) -> Result<Vec<(FileId, u64)>, DiskError> {
        let directory = format!("topics/{}/{}", partition.topic, partition.partition);
        let mut files = Vec::new();
        for name in self.names(&directory)? {
            if let Some(file) = partition_file(partition, &name)
                && file.path() == format!("{directory}/{name}")
            {
                files.push((file, self.size_of(file)?));
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// The names in a directory, as far as they are text; none if there is no such directory.
    fn names(&self, path: &str) -> Result<Vec<String>, DiskError> {
        let fail = |error| failed("list", path, error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match rustix::fs::openat(&self.root, path, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(error) => return Err(fail(error)),
        };
        let mut names = Vec::new();
        for entry in Dir::new(directory).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            names.extend(entry.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }
}

/// A value whose name this is, if it would be written so.
fn canonical<T: FromStr + Display>(name: &String) -> Option<T> {
    name.parse()
        .ok()
        .filter(|value: &T| value.to_string() == *name)
}

fn partition_file(partition: PartitionId, name: &str) -> Option<FileId> {
    let mut parts = name.split('.');
    let base = Offset(parts.next()?.parse().ok()?);
    let generation = parts.next()?.parse().ok()?;
    let segment = SegmentId {
        partition,
        base,
        generation,
    };
    match (parts.next()?, parts.next()) {
        ("log", None) => Some(FileId::Segment(segment)),
        ("index", None) => Some(FileId::Index(segment)),
        _ => None,
    }
}
