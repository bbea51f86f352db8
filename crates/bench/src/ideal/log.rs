//! Where the ideal broker puts records.

use std::fs::File;
use std::io::{self, IoSlice, Seek, Write};
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::ReadWriteFlags;

/// What direct writes are aligned to, in bytes.
const BLOCK_BYTES: usize = 4096;
/// What is written in one call at most, in bytes.
const GROUP_BYTES: usize = 4 << 20;
/// The file of synced writes, which is written round and round, in bytes.
const SYNCED_FILE_BYTES: u64 = 64 << 20;
/// Pieces in one call.
const PIECES_MAX: usize = 64;

/// Appends through the page cache, and never syncs.
pub struct CachedLog {
    file: File,
    pending: Vec<Bytes>,
}

impl CachedLog {
    /// An empty one.
    pub fn create(path: &Path) -> io::Result<CachedLog> {
        let file = File::create(path)?;
        let pending = Vec::new();
        Ok(CachedLog { file, pending })
    }

    /// To be written by the next commit.
    pub fn append(&mut self, records: Bytes) {
        self.pending.push(records);
    }

    /// Writes what was appended.
    pub fn commit(&mut self) -> io::Result<()> {
        for pieces in self.pending.chunks(PIECES_MAX) {
            let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let mut rest = &mut slices[..];
            while !rest.is_empty() {
                let written = self.file.write_vectored(rest)?;
                IoSlice::advance_slices(&mut rest, written);
            }
        }
        self.pending.clear();
        Ok(())
    }

    /// Gives the space back.
    pub fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()
    }
}

/// Overwrites blocks that were written before, around the page cache, and syncs with each write.
pub struct SyncedLog {
    file: File,
    memory: Vec<u8>,
    /// Where the aligned part of the memory begins.
    begin: usize,
    pending_bytes: usize,
    at: u64,
}

impl SyncedLog {
    /// One whose blocks are written.
    pub fn create(path: &Path) -> io::Result<SyncedLog> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
        let memory = vec![0; GROUP_BYTES + BLOCK_BYTES];
        let begin = memory.as_ptr().align_offset(BLOCK_BYTES);
        let mut log = SyncedLog {
            file,
            memory,
            begin,
            pending_bytes: 0,
            at: 0,
        };
        for _ in 0..SYNCED_FILE_BYTES / GROUP_BYTES as u64 {
            log.pending_bytes = GROUP_BYTES;
            log.commit()?;
        }
        Ok(log)
    }

    /// To be written by the next commit, or before if it is much.
    pub fn append(&mut self, mut records: &[u8]) -> io::Result<()> {
        while !records.is_empty() {
            if self.pending_bytes == GROUP_BYTES {
                self.commit()?;
            }
            let n = records.len().min(GROUP_BYTES - self.pending_bytes);
            let at = self.begin + self.pending_bytes;
            self.memory[at..at + n].copy_from_slice(&records[..n]);
            self.pending_bytes += n;
            records = &records[n..];
        }
        Ok(())
    }

    /// Writes and syncs what was appended.
    pub fn commit(&mut self) -> io::Result<()> {
        if self.pending_bytes == 0 {
            return Ok(());
        }
        let len = self.pending_bytes.next_multiple_of(BLOCK_BYTES);
        if self.at + len as u64 > SYNCED_FILE_BYTES {
            self.at = 0;
        }
        let group = IoSlice::new(&self.memory[self.begin..self.begin + len]);
        let written = rustix::io::pwritev2(&self.file, &[group], self.at, ReadWriteFlags::DSYNC)?;
        if written < len {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.at += len as u64;
        self.pending_bytes = 0;
        Ok(())
    }
}
