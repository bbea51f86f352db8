//! Opening a data directory: it is made if need be, and locked for the life of the process.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use wiber_storage::FileId;

/// The name of the file whose lock is held while a broker runs. It is empty: the system knows who holds its lock, and a
/// start that is refused leaves the directory as it was.
const LOCK_FILE: &str = "wiber.lock";
/// What a file system has in its root.
const LOST_AND_FOUND: &str = "lost+found";
/// So many strange files are named.
const NAMED_MAX: usize = 3;
/// Where the system says who holds which lock (proc_locks(5)).
const LOCKS: &str = "/proc/locks";
/// What others may do with a data directory's files is up to the group.
pub(super) const FILE_MODE: Mode = Mode::from_raw_mode(0o640);
pub(super) const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o750);

/// Why a data directory cannot be used.
#[derive(Debug)]
pub enum DirectoryError {
    /// Another process holds its lock.
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, if the system names it.
        pid: Option<u32>,
    },
    /// It is not empty, and not Wiber's.
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What is in it, in order.
        holds: Vec<String>,
    },
    /// The system refuses something.
    Refused {
        /// The directory or a file in it.
        path: PathBuf,
        /// What was tried, as a verb.
        doing: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DirectoryError::InUse { path, pid } => {
                write!(f, "the data directory {} is in use by ", path.display())?;
                match pid {
                    Some(pid) => write!(f, "process {pid}")?,
                    None => f.write_str("another process")?,
                }
                f.write_str("; stop that broker, or name another directory with --data-dir")
            }
            DirectoryError::Foreign { path, holds } => {
                let (named, more) = holds.split_at(holds.len().min(NAMED_MAX));
                write!(
                    f,
                    "the directory {} has no wiber.format and holds {}",
                    path.display(),
                    named.join(", ")
                )?;
                if !more.is_empty() {
                    write!(f, " and {} more", more.len())?;
                }
                f.write_str(": it is none of Wiber's; name an empty or a new one with --data-dir")
            }
            DirectoryError::Refused { path, doing, error } => {
                write!(f, "cannot {doing} {}: {error}", path.display())?;
                f.write_str(match error.kind() {
                    ErrorKind::PermissionDenied => {
                        "; give this user write access to it, or name another directory with --data-dir"
                    }
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                        "; free some space, or name another directory with --data-dir"
                    }
                    _ => "; name another directory with --data-dir",
                })
            }
        }
    }
}

impl std::error::Error for DirectoryError {}

fn refused(path: &Path, doing: &'static str) -> impl FnOnce(Errno) -> DirectoryError {
    move |error| DirectoryError::Refused {
        path: path.to_owned(),
        doing,
        error: error.into(),
    }
}

/// Makes the directory and those above it if they are missing. Returns the directories above that got, or may have got from
/// a process that died, an entry that a power loss would take.
pub(super) fn create(path: &Path) -> Result<Vec<PathBuf>, DirectoryError> {
    let fail = |error| DirectoryError::Refused {
        path: path.to_owned(),
        doing: "create the data directory",
        error,
    };
    let absolute = std::path::absolute(path).map_err(fail)?;
    let missing = absolute
        .ancestors()
        .take_while(|level| level.symlink_metadata().is_err())
        .count();
    if missing > 0 {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE.as_raw_mode())
            .create(&absolute)
            .map_err(fail)?;
    }
    let above = absolute.ancestors().skip(1).take(missing.max(1));
    Ok(above.map(Path::to_owned).collect())
}

/// Refuses a directory with something in it that was not put there by Wiber. One that is missing, or that cannot be read, is left to
/// whoever opens it.
pub(super) fn refuse_foreign(path: &Path) -> Result<(), DirectoryError> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return Ok(());
    };
    let names =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    let names: BTreeSet<String> = names.collect();
    if names.contains(&FileId::Identity.path()) {
        return Ok(());
    }
    // A start that ended before its identity was there leaves these.
    let ours = [LOCK_FILE.to_owned(), FileId::IdentityDraft.path()];
    let is_foreign = |name: &String| name != LOST_AND_FOUND && !ours.contains(name);
    let holds: Vec<String> = names.into_iter().filter(is_foreign).collect();
    if holds.is_empty() {
        return Ok(());
    }
    Err(DirectoryError::Foreign {
        path: path.to_owned(),
        holds,
    })
}

/// Opens the directory itself.
pub(super) fn open_root(path: &Path) -> Result<OwnedFd, DirectoryError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(refused(path, "open the data directory"))
}

/// Takes the lock, for as long as the descriptor lives.
pub(super) fn lock(root: &OwnedFd, path: &Path) -> Result<OwnedFd, DirectoryError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let lock_path = path.join(LOCK_FILE);
    let fd = rustix::fs::openat(root, LOCK_FILE, flags, FILE_MODE)
        .map_err(refused(&lock_path, "write to"))?;
    match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(fd),
        Err(Errno::WOULDBLOCK) => Err(DirectoryError::InUse {
            path: path.to_owned(),
            pid: holder(&fd),
        }),
        Err(error) => Err(refused(&lock_path, "lock")(error)),
    }
}

/// The process that holds the lock of a file.
fn holder(fd: &OwnedFd) -> Option<u32> {
    let stat = rustix::fs::fstat(fd).ok()?;
    let (major, minor) = (
        rustix::fs::major(stat.st_dev),
        rustix::fs::minor(stat.st_dev),
    );
    let file = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    let locks = std::fs::read_to_string(LOCKS).ok()?;
    // A line: `4: FLOCK  ADVISORY  WRITE 1234 fe:00:56789 0 EOF`.
    let pid = locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, "WRITE", pid, of, ..] if of == file => Some(pid),
            _ => None,
        }
    });
    // In another namespace the process has no number that says anything here.
    pid?.parse().ok().filter(|pid| *pid > 0)
}
