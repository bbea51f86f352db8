//! Open descriptors by file: as many as the limit allows, the least recently used closed first.
//!
//! A descriptor that is closed before its file was synced takes the memory of a failed write-back with it. [`Unsynced`] counts
//! these, so that the next sync covers the whole filesystem, whose own memory of failures the directory's descriptor keeps.
//!
//! Invariant: a descriptor of a file that was deleted or renamed is not handed out again.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wiber_storage::{DiskError, FileId};

/// How a descriptor goes to the file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Path {
    /// Through the page cache.
    Cached,
    /// Around it.
    Direct,
}

/// Counts descriptors that were closed with unsynced writes behind them.
#[derive(Default)]
pub(super) struct Unsynced {
    closed: AtomicU64,
    covered: AtomicU64,
}

impl Unsynced {
    /// Whether some were closed that no sync of the filesystem has covered.
    pub(super) fn pending(&self) -> bool {
        self.closed() > self.covered.load(Ordering::SeqCst)
    }

    /// How many were closed so far.
    pub(super) fn closed(&self) -> u64 {
        self.closed.load(Ordering::SeqCst)
    }

    /// A sync of the filesystem that began when `closed` were closed has succeeded.
    pub(super) fn cover(&self, closed: u64) {
        self.covered.fetch_max(closed, Ordering::SeqCst);
    }
}

/// An open file.
pub(super) struct OpenFile {
    pub(super) fd: OwnedFd,
    /// Whether it was written to since its last sync began.
    dirty: AtomicBool,
    unsynced: Arc<Unsynced>,
}

impl OpenFile {
    /// Notes a write; to be called after it, whether it succeeded or not.
    pub(super) fn written(&self) {
        self.dirty.store(true, Ordering::SeqCst);
    }

    /// Notes that a sync begins, or that the contents do not matter any more.
    pub(super) fn clean(&self) {
        self.dirty.store(false, Ordering::SeqCst);
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if self.dirty.load(Ordering::SeqCst) {
            self.unsynced.closed.fetch_add(1, Ordering::SeqCst);
        }
    }
}

type Key = (FileId, Path);

struct Entry {
    file: Arc<OpenFile>,
    used: u64,
}

#[derive(Default)]
struct State {
    open: HashMap<Key, Entry>,
    /// The keys by their last use. Extents of the WAL are left out and so never closed: they are few, and the writer must not
    /// wait for an open.
    order: BTreeMap<u64, Key>,
    uses: u64,
    /// Counts the calls of `forget`.
    forgotten: u64,
}

/// See the module.
pub(super) struct Descriptors {
    limit: usize,
    unsynced: Arc<Unsynced>,
    state: Mutex<State>,
}

impl Descriptors {
    pub(super) fn new(limit: usize) -> Descriptors {
        Descriptors {
            limit: limit.max(1),
            unsynced: Arc::default(),
            state: Mutex::default(),
        }
    }

    pub(super) fn unsynced(&self) -> &Unsynced {
        &self.unsynced
    }

    /// The descriptor of a file; `open` opens it if there is none.
    pub(super) fn get(
        &self,
        file: FileId,
        path: Path,
        open: impl FnOnce() -> Result<OwnedFd, DiskError>,
    ) -> Result<Arc<OpenFile>, DiskError> {
        let key = (file, path);
        let forgotten = {
            let mut state = self.lock();
            if let Some(file) = state.touch(&key) {
                return Ok(file);
            }
            state.forgotten
        };
        let file = Arc::new(OpenFile {
            fd: open()?,
            dirty: AtomicBool::new(false),
            unsynced: self.unsynced.clone(),
        });
        // Closed only after the lock is released: closing may take its time.
        let mut evicted = Vec::new();
        let mut state = self.lock();
        if let Some(other) = state.touch(&key) {
            return Ok(other);
        }
        // While it was being opened a file may have gone: if it was this one, its descriptor must not stay.
        if state.forgotten == forgotten {
            state.insert(key, file.clone());
            while state.order.len() > self.limit {
                evicted.extend(state.evict());
            }
        }
        drop(state);
        Ok(file)
    }

    /// Closes the descriptors of a file; to be called after it was deleted or renamed, or when another took its name.
    pub(super) fn forget(&self, file: FileId) -> Vec<Arc<OpenFile>> {
        let mut state = self.lock();
        state.forgotten += 1;
        [Path::Cached, Path::Direct]
            .into_iter()
            .filter_map(|path| state.remove(&(file, path)))
            .collect()
    }

    /// Notes that a sync of everything begins.
    pub(super) fn clean_all(&self) {
        for entry in self.lock().open.values() {
            entry.file.clean();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn touch(&mut self, key: &Key) -> Option<Arc<OpenFile>> {
        let entry = self.open.get_mut(key)?;
        if self.order.remove(&entry.used).is_some() {
            self.uses += 1;
            entry.used = self.uses;
            self.order.insert(self.uses, *key);
        }
        Some(entry.file.clone())
    }

    fn insert(&mut self, key: Key, file: Arc<OpenFile>) {
        self.uses += 1;
        let used = self.uses;
        if !matches!(key.0, FileId::Wal(_)) {
            self.order.insert(used, key);
        }
        self.open.insert(key, Entry { file, used });
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<OpenFile>> {
        let entry = self.open.remove(key)?;
        self.order.remove(&entry.used);
        Some(entry.file)
    }

    fn evict(&mut self) -> Option<Arc<OpenFile>> {
        let (_, key) = self.order.pop_first()?;
        self.open.remove(&key).map(|entry| entry.file)
    }
}
