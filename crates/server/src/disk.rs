//! A data directory on real files: performs [`DiskOp`]s.
//!
//! Every thread may call [`DataDirectory::perform`]. Invariants:
//! - A sync answers with success only if every write that was answered before it began reached the disk: descriptors live
//!   from write to sync, or the whole filesystem is synced instead (see [`descriptors`]).
//! - A directory is used by one process at a time, which holds the lock of `wiber.lock`.

mod aligned;
mod descriptors;
mod listing;
mod open;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};
use tracing::{info, warn};
use wiber_model::{PartitionId, TopicId};
use wiber_storage::io::{BLOCK_BYTES, Space};
use wiber_storage::{Disk, DiskError, DiskOp, DiskResult, FileId};

use aligned::Aligned;
use descriptors::{Descriptors, OpenFile, Path};
pub use open::DirectoryError;

/// From so many files on, one sync of the filesystem is cheaper than one for each.
const SYNC_ALL_MIN_FILES: usize = 9;
/// Zeros are written in pieces of this size, in bytes.
const ZERO_PIECE_BYTES: usize = 1024 * 1024;
/// From so many bytes on, the whole blocks of a write to a segment go around the page cache.
const DIRECT_MIN_BYTES: u64 = 64 * 1024;
/// They go in pieces of at most this size.
const DIRECT_PIECE_BYTES: u64 = 1024 * 1024;
/// The most pieces that the system takes in one write (`IOV_MAX`).
const PIECES_MAX: usize = 1024;
/// A read of more bytes than this first looks how many there are: its length may come from a damaged file.
const READ_UNCHECKED_MAX_BYTES: usize = 64 * 1024;
/// How long the log says nothing more of a full disk once it has said it.
const NO_SPACE_PAUSE: Duration = Duration::from_secs(60);
/// Since this version of Linux `syncfs` reports failed write-backs. Older ones are left to the files' own memory of
/// them, which a file that nobody holds open can lose.
const SYNCFS_REPORTS_SINCE: (u32, u32) = (5, 8);

/// A data directory.
pub struct DataDirectory {
    path: PathBuf,
    /// Open from the start: what `syncfs` reports on it is every failure since.
    root: OwnedFd,
    /// Directories above, to be synced once because the data directory may be new in them.
    above: Mutex<Vec<PathBuf>>,
    descriptors: Descriptors,
    /// Directories of topics are made by those who share it, and pruned by one at a time.
    directories: RwLock<()>,
    /// Whether the system takes `O_DIRECT`, as far as is known.
    direct: AtomicBool,
    /// Whether the system takes `RWF_DSYNC`, as far as is known.
    dsync: AtomicBool,
    syncfs_reports: bool,
    bounce: Mutex<Aligned>,
    /// For runs of segments that go around the page cache; as many as have been written at a time.
    pieces: Mutex<Vec<Aligned>>,
    no_space_told: Mutex<Option<Instant>>,
    /// Holds the lock; none if the directory is only read.
    lock: Option<OwnedFd>,
}

/// Whether a file that is not there is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Create,
    Refuse,
}

impl DataDirectory {
    /// Opens a directory to be used by this process alone, and makes it if it is not there. At most `descriptors_max` files
    /// of topics are kept open.
    ///
    /// # Errors
    /// If another process uses it, or the system refuses.
    pub fn open(path: &FsPath, descriptors_max: usize) -> Result<DataDirectory, DirectoryError> {
        let above = open::create(path)?;
        let root = open::open_root(path)?;
        let lock = open::lock(&root, path)?;
        Ok(DataDirectory::with(
            path,
            root,
            above,
            descriptors_max,
            Some(lock),
        ))
    }

    /// Refuses a directory that is not empty and has no `wiber.format`: it may be somebody else's. Nothing is changed.
    ///
    /// # Errors
    /// What is in it.
    pub fn refuse_foreign(path: &FsPath) -> Result<(), DirectoryError> {
        open::refuse_foreign(path)
    }

    /// Opens a directory to be looked at, whether or not a broker uses it. Everything that would change it is refused.
    ///
    /// # Errors
    /// If it is not there, or the system refuses.
    pub fn open_read_only(path: &FsPath) -> Result<DataDirectory, DirectoryError> {
        const DESCRIPTORS_MAX: usize = 256;
        let root = open::open_root(path)?;
        Ok(DataDirectory::with(
            path,
            root,
            Vec::new(),
            DESCRIPTORS_MAX,
            None,
        ))
    }

    fn with(
        path: &FsPath,
        root: OwnedFd,
        above: Vec<PathBuf>,
        descriptors_max: usize,
        lock: Option<OwnedFd>,
    ) -> DataDirectory {
        DataDirectory {
            path: path.to_owned(),
            root,
            above: Mutex::new(above),
            descriptors: Descriptors::new(descriptors_max),
            directories: RwLock::default(),
            direct: AtomicBool::new(true),
            dsync: AtomicBool::new(true),
            syncfs_reports: kernel_version() >= SYNCFS_REPORTS_SINCE,
            bounce: Mutex::default(),
            pieces: Mutex::default(),
            no_space_told: Mutex::default(),
            lock,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &FsPath {
        &self.path
    }

    /// Where it is, from the root of the filesystem on, as clients are told.
    #[must_use]
    pub fn absolute_path(&self) -> String {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        path.to_string_lossy().into_owned()
    }

    /// Performs one operation.
    ///
    /// # Errors
    /// As [`DiskError`] says.
    pub fn perform(&self, op: DiskOp) -> DiskResult {
        let result = self.attempt(op);
        if let Err(DiskError::NoSpace) = result {
            self.tell_no_space();
        }
        result
    }

    fn attempt(&self, op: DiskOp) -> DiskResult {
        if self.lock.is_none() && !matches!(op, DiskOp::Read { .. }) {
            let reason = "the data directory was opened to be read only";
            return Err(DiskError::Failed(reason.to_owned()));
        }
        match op {
            DiskOp::Read { file, at, len } => return self.read(file, at, len),
            DiskOp::Write { file, at, data } => self.write(file, at, &data),
            DiskOp::WalWrite {
                file,
                at,
                data,
                sync,
            } => self.wal_write(file, at, &data, sync),
            DiskOp::Allocate { file, len } => self.allocate(file, len),
            DiskOp::Sync { files } => self.sync(&files),
            DiskOp::SyncDirectories { files } => self.sync_directories(&files),
            DiskOp::Rename { from, to } => self.rename(from, to),
            DiskOp::Truncate { file, len } => self.truncate(file, len),
            DiskOp::Delete { files } => self.delete(&files),
            DiskOp::Space => return self.space(),
        }
        .map(|()| Bytes::new())
    }

    fn space(&self) -> DiskResult {
        let found = rustix::fs::fstatvfs(&self.root)
            .map_err(|error| failed("look at the space of", "the data directory", error))?;
        let space = Space {
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            usable_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        };
        Ok(space.encode())
    }

    /// Says so in the log, now and then.
    fn tell_no_space(&self) {
        let mut told = self
            .no_space_told
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= NO_SPACE_PAUSE) {
            *told = Some(Instant::now());
            warn!(
                directory = %self.path.display(),
                "no space left on the device: records are refused until there is some; \
                 delete topics, let retention take more, or enlarge the filesystem"
            );
        }
    }

    fn read(&self, file: FileId, at: u64, mut len: usize) -> DiskResult {
        let open = self.open_file(file, Path::Cached, Missing::Refuse)?;
        let fail = |error| failed("read", &file.path(), error);
        if len > READ_UNCHECKED_MAX_BYTES {
            let size = rustix::fs::fstat(&open.fd).map_err(fail)?.st_size as u64;
            len = len.min(usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX));
        }
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let from = at + bytes.len() as u64;
            let read = rustix::io::retry_on_intr(|| {
                rustix::io::pread(&open.fd, rustix::buffer::spare_capacity(&mut bytes), from)
            });
            if read.map_err(fail)? == 0 {
                // The file ends here: keep no memory for what is not in it.
                bytes.shrink_to_fit();
                break;
            }
        }
        bytes.truncate(len);
        Ok(Bytes::from(bytes))
    }

    fn write(&self, file: FileId, at: u64, data: &[Bytes]) -> Result<(), DiskError> {
        let open = self.open_file(file, Path::Cached, Missing::Create)?;
        let result = self.write_pieces(file, &open, at, data);
        open.written();
        result.map_err(|error| failed("write to", &file.path(), error))
    }

    /// Writes what is long enough around the page cache, but for the parts of blocks at its ends: to go through it costs
    /// more CPU time, and what piled up in it would be in the way of the log's writes when it is synced.
    fn write_pieces(
        &self,
        file: FileId,
        open: &OpenFile,
        at: u64,
        data: &[Bytes],
    ) -> Result<(), Errno> {
        let mut slices: Vec<IoSlice<'_>> = data
            .iter()
            .filter(|piece| !piece.is_empty())
            .map(|piece| IoSlice::new(piece))
            .collect();
        let len: usize = data.iter().map(Bytes::len).sum();
        let end = at + len as u64;
        let block = BLOCK_BYTES as u64;
        let (first, last) = (at.next_multiple_of(block), end - end % block);
        let is_long = last >= first + DIRECT_MIN_BYTES && matches!(file, FileId::Segment(_));
        let none = ReadWriteFlags::empty();
        if !is_long || !self.direct.load(Ordering::Relaxed) {
            return write_all(&open.fd, &mut slices, at, none);
        }
        let Ok(direct) = self.open_file(file, Path::Direct, Missing::Refuse) else {
            return write_all(&open.fd, &mut slices, at, none);
        };
        let mut rest = &mut slices[..];
        let mut scratch = self.take_piece();
        let mut copy = |rest: &mut &mut [IoSlice<'_>], from: u64, to: u64, fd: &OwnedFd| {
            let piece = scratch.gather(rest, (to - from) as usize);
            write_all(fd, &mut [IoSlice::new(piece)], from, none)
        };
        copy(&mut rest, at, first, &open.fd)?;
        let mut from = first;
        while from < last {
            let to = last.min(from + DIRECT_PIECE_BYTES);
            // The log, which is written first, has found out whether the system takes it.
            copy(&mut rest, from, to, &direct.fd)?;
            from = to;
        }
        copy(&mut rest, last, end, &open.fd)?;
        self.pieces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(scratch);
        Ok(())
    }

    fn take_piece(&self) -> Aligned {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.pop().unwrap_or_default()
    }

    fn wal_write(&self, file: FileId, at: u64, data: &[u8], sync: bool) -> Result<(), DiskError> {
        let block = BLOCK_BYTES as u64;
        if !at.is_multiple_of(block) || !data.len().is_multiple_of(BLOCK_BYTES) {
            let reason = format!(
                "write to {}: {} bytes at {at} are not whole blocks",
                file.path(),
                data.len()
            );
            return Err(DiskError::Failed(reason));
        }
        if !self.direct.load(Ordering::Relaxed) || Aligned::is_aligned(data) {
            return self.write_blocks(file, at, data, sync);
        }
        let mut bounce = self.bounce.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.write_blocks(file, at, bounce.copy_of(data), sync);
        bounce.relax();
        result
    }

    /// Writes aligned blocks in the best way that the system has; the first writes find out which that is.
    fn write_blocks(
        &self,
        file: FileId,
        at: u64,
        data: &[u8],
        sync: bool,
    ) -> Result<(), DiskError> {
        loop {
            let direct = self.direct.load(Ordering::Relaxed);
            let dsync = sync && self.dsync.load(Ordering::Relaxed);
            let path = if direct { Path::Direct } else { Path::Cached };
            let flags = if dsync {
                ReadWriteFlags::DSYNC
            } else {
                ReadWriteFlags::empty()
            };
            let open = self.open_file(file, path, Missing::Refuse)?;
            let written = write_all(&open.fd, &mut [IoSlice::new(data)], at, flags);
            match written {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) if dsync => self.refuse_dsync(),
                Err(Errno::INVAL) if direct => self.refuse_direct(),
                Err(error) => return Err(failed("write to", &file.path(), error)),
                Ok(()) if dsync => return Ok(()),
                Ok(()) if sync => return self.sync_one(file, &open),
                Ok(()) => {
                    open.written();
                    return Ok(());
                }
            }
        }
    }

    fn refuse_direct(&self) {
        if self.direct.swap(false, Ordering::Relaxed) {
            info!(
                "the filesystem does not take direct I/O: everything goes through the page cache"
            );
        }
    }

    fn refuse_dsync(&self) {
        if self.dsync.swap(false, Ordering::Relaxed) {
            info!("the filesystem does not take synchronous writes: each is followed by a sync");
        }
    }

    fn allocate(&self, file: FileId, len: u64) -> Result<(), DiskError> {
        let result = self.write_zeros(file, len);
        if result.is_err() {
            // Half an extent is of no use, and holds space that may be wanted.
            let _ = self.delete(&[file]);
        }
        result
    }

    fn write_zeros(&self, file: FileId, len: u64) -> Result<(), DiskError> {
        let fail = |error| failed("allocate", &file.path(), error);
        let fd = self.create_file(file, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC)?;
        self.descriptors.forget(file);
        match rustix::fs::fallocate(&fd, FallocateFlags::empty(), 0, len) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(error) => return Err(fail(error)),
        }
        // Not every file's length is a multiple of a block: only then would direct I/O be refused here.
        let direct = self.direct.load(Ordering::Relaxed) && len.is_multiple_of(BLOCK_BYTES as u64);
        let direct = direct
            .then(|| self.open_fd(file, OFlags::RDWR | OFlags::DIRECT).ok())
            .flatten();
        let zeros = Aligned::zeroed(ZERO_PIECE_BYTES);
        let mut at = 0;
        while at < len {
            let piece = zeros.first((len - at).min(ZERO_PIECE_BYTES as u64) as usize);
            let write = |fd| write_all(fd, &mut [IoSlice::new(piece)], at, ReadWriteFlags::empty());
            let written = match &direct {
                Some(direct) => write(direct).or_else(|_| write(&fd)),
                None => write(&fd),
            };
            written.map_err(fail)?;
            at += piece.len() as u64;
        }
        rustix::fs::fsync(&fd).map_err(fail)?;
        self.sync_directories(&[file])
    }

    fn sync(&self, files: &[FileId]) -> Result<(), DiskError> {
        // The writer of the WAL syncs its few extents itself, and does not wait for the rest of the filesystem.
        let wal_only = files.iter().all(|file| matches!(file, FileId::Wal(_)));
        let many = files.len() >= SYNC_ALL_MIN_FILES || self.descriptors.unsynced().pending();
        if many && !wal_only && self.syncfs_reports {
            return self.sync_filesystem();
        }
        for file in files {
            let direct = matches!(file, FileId::Wal(_)) && self.direct.load(Ordering::Relaxed);
            let path = if direct { Path::Direct } else { Path::Cached };
            match self.open_file(*file, path, Missing::Refuse) {
                Ok(open) => self.sync_one(*file, &open)?,
                // It was deleted since it was written.
                Err(DiskError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync_one(&self, file: FileId, open: &OpenFile) -> Result<(), DiskError> {
        open.clean();
        rustix::fs::fdatasync(&open.fd).map_err(|error| failed("sync", &file.path(), error))
    }

    fn sync_filesystem(&self) -> Result<(), DiskError> {
        let unsynced = self.descriptors.unsynced();
        let closed = unsynced.closed();
        self.descriptors.clean_all();
        rustix::fs::syncfs(&self.root)
            .map_err(|error| failed("sync the filesystem of", "the data directory", error))?;
        unsynced.cover(closed);
        Ok(())
    }

    fn sync_directories(&self, files: &[FileId]) -> Result<(), DiskError> {
        self.sync_above();
        let paths: Vec<String> = files.iter().map(FileId::path).collect();
        let directories: BTreeSet<&str> = paths.iter().flat_map(|path| parents(path)).collect();
        if directories.len() >= SYNC_ALL_MIN_FILES && self.syncfs_reports {
            return self.sync_filesystem();
        }
        for path in directories {
            let fail = |error| failed("sync the directory", path, error);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match rustix::fs::openat(&self.root, path, flags, Mode::empty()) {
                Ok(directory) => rustix::fs::fsync(directory).map_err(fail)?,
                // It was deleted with what was in it, and one of those above knows that.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(fail(error)),
            }
        }
        Ok(())
    }

    /// Makes the data directory's own entry durable, once. A directory above that this user may not read is not ours to sync.
    fn sync_above(&self) {
        let mut above = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        for path in std::mem::take(&mut *above) {
            if let Err(error) =
                std::fs::File::open(&path).and_then(|directory| directory.sync_all())
            {
                warn!(path = %path.display(), %error, "cannot sync a directory above the data directory");
            }
        }
    }

    fn rename(&self, from: FileId, to: FileId) -> Result<(), DiskError> {
        let (old, new) = (from.path(), to.path());
        let result = rustix::fs::renameat(&self.root, &old, &self.root, &new);
        self.descriptors.forget(from);
        // What was written over is gone, synced or not.
        self.descriptors
            .forget(to)
            .iter()
            .for_each(|open| open.clean());
        result.map_err(|error| failed("rename", &old, error))
    }

    fn truncate(&self, file: FileId, len: u64) -> Result<(), DiskError> {
        let open = self.open_file(file, Path::Cached, Missing::Refuse)?;
        let result = rustix::io::retry_on_intr(|| rustix::fs::ftruncate(&open.fd, len));
        open.written();
        result.map_err(|error| failed("truncate", &file.path(), error))
    }

    fn delete(&self, files: &[FileId]) -> Result<(), DiskError> {
        let mut first_error = Ok(());
        let mut directories = BTreeSet::new();
        for file in files {
            let path = file.path();
            let result = rustix::fs::unlinkat(&self.root, &path, AtFlags::empty());
            self.descriptors
                .forget(*file)
                .iter()
                .for_each(|open| open.clean());
            if let Err(error) = result
                && error != Errno::NOENT
            {
                first_error = first_error.and(Err(failed("delete", &path, error)));
            }
            if let FileId::Segment(segment) | FileId::Index(segment) = file {
                directories.insert(segment.partition);
            }
        }
        if directories.is_empty() {
            return first_error;
        }
        // Both fail while something is left in the directory, which is how it should be.
        let _alone = self
            .directories
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for PartitionId { topic, partition } in directories {
            let _ = self.remove_directory(&format!("topics/{topic}/{partition}"))
                && self.remove_directory(&format!("topics/{topic}"));
        }
        first_error
    }

    fn remove_directory(&self, path: &str) -> bool {
        match rustix::fs::unlinkat(&self.root, path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => true,
            Err(Errno::NOTEMPTY | Errno::EXIST) => false,
            Err(error) => {
                warn!(path, %error, "cannot remove an empty directory");
                false
            }
        }
    }

    fn open_file(
        &self,
        file: FileId,
        path: Path,
        missing: Missing,
    ) -> Result<Arc<OpenFile>, DiskError> {
        let flags = match path {
            Path::Cached if self.lock.is_none() => OFlags::RDONLY,
            Path::Cached => OFlags::RDWR,
            Path::Direct => OFlags::RDWR | OFlags::DIRECT,
        };
        let opened = self.descriptors.get(file, path, || match missing {
            Missing::Create => self.create_file(file, flags | OFlags::CREATE),
            Missing::Refuse => self
                .open_fd(file, flags)
                .map_err(|error| failed("open", &file.path(), error)),
        });
        match opened {
            Err(DiskError::Failed(_)) if path == Path::Direct => {
                // A filesystem without direct I/O refuses it here; anything else fails again without it.
                let open = self.open_file(file, Path::Cached, missing)?;
                self.refuse_direct();
                Ok(open)
            }
            opened => opened,
        }
    }

    fn open_fd(&self, file: FileId, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(
            &self.root,
            file.path(),
            flags | OFlags::CLOEXEC,
            open::FILE_MODE,
        )
    }

    /// Opens a file and makes the directories that lead to it, which nobody prunes meanwhile.
    fn create_file(&self, file: FileId, flags: OFlags) -> Result<OwnedFd, DiskError> {
        let path = file.path();
        let fail = |error| failed("create", &path, error);
        match self.open_fd(file, flags) {
            Err(Errno::NOENT) => {}
            opened => return opened.map_err(fail),
        }
        let _shared = self
            .directories
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for directory in parents(&path).rev().filter(|directory| *directory != ".") {
            match rustix::fs::mkdirat(&self.root, directory, open::DIRECTORY_MODE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(fail(error)),
            }
        }
        self.open_fd(file, flags).map_err(fail)
    }
}

impl Disk for DataDirectory {
    fn perform(&mut self, op: DiskOp) -> DiskResult {
        DataDirectory::perform(self, op)
    }

    fn size(&mut self, file: FileId) -> Result<u64, DiskError> {
        self.size_of(file)
    }

    fn wal_extents(&mut self) -> Result<Vec<u32>, DiskError> {
        self.list_wal_extents()
    }

    fn topics(&mut self) -> Result<Vec<TopicId>, DiskError> {
        self.list_topics()
    }

    fn partitions(&mut self, topic: TopicId) -> Result<Vec<PartitionId>, DiskError> {
        self.list_partitions(topic)
    }

    fn partition_files(&mut self, partition: PartitionId) -> Result<Vec<(FileId, u64)>, DiskError> {
        self.list_partition_files(partition)
    }
}

/// The directories that lead to a path, the nearest first, down to the root, which is `.`.
fn parents(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    let levels: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
    let below = levels.into_iter().map(|at| &path[..at]);
    std::iter::once(".").chain(below).rev()
}

fn write_all(
    fd: &OwnedFd,
    mut slices: &mut [IoSlice<'_>],
    mut at: u64,
    flags: ReadWriteFlags,
) -> Result<(), Errno> {
    // A write of nothing writes nothing, which else tells of an error.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let pieces = &slices[..slices.len().min(PIECES_MAX)];
        let written = rustix::io::retry_on_intr(|| {
            if flags.is_empty() {
                rustix::io::pwritev(fd, pieces, at)
            } else {
                rustix::io::pwritev2(fd, pieces, at, flags)
            }
        })?;
        if written == 0 {
            return Err(Errno::IO);
        }
        at += written as u64;
        IoSlice::advance_slices(&mut slices, written);
    }
    Ok(())
}

fn failed(doing: &str, path: &str, error: Errno) -> DiskError {
    match error {
        Errno::NOSPC | Errno::DQUOT => DiskError::NoSpace,
        Errno::NOENT => DiskError::NotFound,
        _ => DiskError::Failed(format!("{doing} {path}: {}", std::io::Error::from(error))),
    }
}

/// The running kernel's major and minor version; zeros if it does not say so in the usual way.
fn kernel_version() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
