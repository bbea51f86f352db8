//! The seam to the disk: operations as data, files named by what they hold.
//!
//! The core emits [`DiskOp`]s; the server performs them on threads, the simulator on a disk that fails in every way that
//! it can think of. At start-up nothing else runs, so recovery calls a [`Disk`] directly.

use std::fmt;

use bytes::Bytes;
use wiber_model::{Offset, PartitionId, TopicId};

/// A file of a data directory. Names never hold a topic's name, only its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileId {
    /// `wiber.format`: format version and the identity of the directory.
    Identity,
    /// `wiber.format.draft`: the identity before it is renamed into place.
    IdentityDraft,
    /// `wal/NNNNNNNNNN.wal`: an extent of the write-ahead log.
    Wal(u32),
    /// `checkpoint`: the newest checkpoint.
    Checkpoint,
    /// `checkpoint.draft`: a checkpoint before it is renamed into place.
    CheckpointDraft,
    /// `topics/TOPIC/PARTITION/BASE.GENERATION.log`: record batches.
    Segment(SegmentId),
    /// `topics/TOPIC/PARTITION/BASE.GENERATION.index`: the sparse index of a segment.
    Index(SegmentId),
}

/// A segment of a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// Whose log.
    pub partition: PartitionId,
    /// The offset that the segment starts at.
    pub base: Offset,
    /// Counts the rewritings of the segment, from 0.
    pub generation: u32,
}

/// Names an operation in flight; unique for the machine that emitted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpToken(pub u64);

/// One operation on a data directory. Operations in flight may run in any order and at the same time; a machine that
/// needs an order waits for the answer of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Reads up to `len` bytes at `at`; fewer only at the end of the file. Answers the bytes.
    Read {
        /// The file.
        file: FileId,
        /// Byte position.
        at: u64,
        /// Bytes.
        len: usize,
    },
    /// Writes at a position, creating the file and its directories. Survives the process and not a power loss.
    Write {
        /// The file.
        file: FileId,
        /// Byte position.
        at: u64,
        /// The bytes, in pieces.
        data: Vec<Bytes>,
    },
    /// Overwrites blocks of a WAL extent that [`DiskOp::Allocate`] wrote before. `at` and the length are multiples of
    /// [`BLOCK_BYTES`]. With `sync`, durable when it is answered. (The disk's writer thread performs it at once.)
    WalWrite {
        /// The extent.
        file: FileId,
        /// Byte position.
        at: u64,
        /// The blocks, in one piece.
        data: Bytes,
        /// Whether it is to be durable when answered.
        sync: bool,
    },
    /// Makes a file of `len` zero bytes that were really written (not just reserved), durable with its directory entry.
    Allocate {
        /// The file.
        file: FileId,
        /// Bytes.
        len: u64,
    },
    /// Makes contents and sizes of these files durable, and not their directory entries. One that is not there (any more) is
    /// passed over.
    Sync {
        /// The files.
        files: Vec<FileId>,
    },
    /// Makes the directory entries that lead to these files durable, whether these were made or deleted.
    SyncDirectories {
        /// The files.
        files: Vec<FileId>,
    },
    /// Renames one file over another. Durable after [`DiskOp::SyncDirectories`] of `to`.
    Rename {
        /// The present name.
        from: FileId,
        /// The new name.
        to: FileId,
    },
    /// Cuts a file, or grows it with zeros, to `len` bytes.
    Truncate {
        /// The file.
        file: FileId,
        /// Bytes.
        len: u64,
    },
    /// Deletes files; one that is not there is no error. Directories that become empty go too.
    Delete {
        /// The files.
        files: Vec<FileId>,
    },
    /// Looks how much room the filesystem has. Answers a [`Space`], encoded.
    Space,
}

/// How much room a filesystem has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it, whether free or not.
    pub total_bytes: u64,
    /// What the broker may still use.
    pub usable_bytes: u64,
}

impl Space {
    /// The answer to [`DiskOp::Space`].
    #[must_use]
    pub fn encode(self) -> Bytes {
        let parts = [self.total_bytes, self.usable_bytes];
        Bytes::from(parts.map(u64::to_be_bytes).concat())
    }

    /// Reads an answer; `None` if it is not one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Space> {
        let (total, rest) = bytes.split_first_chunk()?;
        let (usable, rest) = rest.split_first_chunk()?;
        rest.is_empty().then_some(Space {
            total_bytes: u64::from_be_bytes(*total),
            usable_bytes: u64::from_be_bytes(*usable),
        })
    }
}

/// The unit of WAL writes, in bytes: the logical block that direct I/O and torn writes go by.
pub const BLOCK_BYTES: usize = 4096;

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No space is left, or a quota is used up.
    NoSpace,
    /// The file is not there.
    NotFound,
    /// Anything else, as the system words it. After a failed sync nothing that was written may be trusted (D8).
    Failed(String),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskError::NoSpace => f.write_str("no space left on the device"),
            DiskError::NotFound => f.write_str("no such file"),
            DiskError::Failed(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for DiskError {}

/// The answer to a [`DiskOp`]: the bytes of a read, a [`Space`], or none.
pub type DiskResult = Result<Bytes, DiskError>;

/// A data directory, called directly. Only start-up does so, and the tools that look at a directory.
pub trait Disk {
    /// Performs one operation.
    ///
    /// # Errors
    /// As [`DiskError`] says.
    fn perform(&mut self, op: DiskOp) -> DiskResult;

    /// The size of a file in bytes.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if it is not there.
    fn size(&mut self, file: FileId) -> Result<u64, DiskError>;

    /// The WAL's extents, in ascending order.
    ///
    /// # Errors
    /// If the directory cannot be read.
    fn wal_extents(&mut self) -> Result<Vec<u32>, DiskError>;

    /// The topics that have a directory.
    ///
    /// # Errors
    /// If the directory cannot be read.
    fn topics(&mut self) -> Result<Vec<TopicId>, DiskError>;

    /// The partitions of a topic that have a directory.
    ///
    /// # Errors
    /// If the directory cannot be read.
    fn partitions(&mut self, topic: TopicId) -> Result<Vec<PartitionId>, DiskError>;

    /// The segment and index files of a partition, with their sizes in bytes; none if it has no directory.
    ///
    /// # Errors
    /// If the directory cannot be read.
    fn partition_files(&mut self, partition: PartitionId) -> Result<Vec<(FileId, u64)>, DiskError>;
}

impl FileId {
    /// The path within the data directory.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            FileId::Identity => "wiber.format".to_owned(),
            FileId::IdentityDraft => "wiber.format.draft".to_owned(),
            FileId::Wal(number) => format!("wal/{number:010}.wal"),
            FileId::Checkpoint => "checkpoint".to_owned(),
            FileId::CheckpointDraft => "checkpoint.draft".to_owned(),
            FileId::Segment(segment) => segment.path("log"),
            FileId::Index(segment) => segment.path("index"),
        }
    }
}

impl SegmentId {
    fn path(&self, extension: &str) -> String {
        let PartitionId { topic, partition } = self.partition;
        let (base, generation) = (self.base.0, self.generation);
        format!("topics/{topic}/{partition}/{base:020}.{generation}.{extension}")
    }
}
