//! The write-ahead log of a disk, as a machine: group commit, extents, checkpoints.
//!
//! Participants append frames; each gets the next LSN, in the order of arrival. One group of frames is being written at a
//! time, and what comes in meanwhile is the next one. The log lives in extents, files that were written before and are
//! recycled, so that a write overwrites blocks and no file grows. A checkpoint gathers every participant's state as of its
//! cut; once it is durable, the extents before it are free.
//!
//! Invariants:
//! - The durable LSN never passes a frame that is not on stable storage, and never one that comes after such a frame.
//! - The first group of an opening is synced before the second is issued, and so is every link and mark. Hence what an
//!   earlier opening left behind the log's end is known by its lower opening number, and a link or mark that cannot be
//!   read is damage, not the log's end.
//! - An extent is freed only once a checkpoint that begins after it is durable.

mod checkpointing;
mod event;
mod extents;
mod group;
mod open;
mod options;
mod scan;

use std::collections::{BTreeSet, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};
use wiber_model::Lsn;
use wiber_model::mutant::{self, Mutant};

use crate::checkpoint::{Checkpoint, Position, Section};
use crate::frame::{Frame, Origin, Participant};
use crate::identity::DirectoryId;
use crate::io::BLOCK_BYTES;
use crate::log::StateForm;
use crate::{DiskError, DiskOp, DiskResult, FileId, OpToken};

use checkpointing::{Checkpointing, Phase};
use extents::Extents;
use group::{Buffers, blocks};

pub use event::{WalEffect, WalEvent};
pub use group::{GROUP_HEADER_BYTES, GroupHeader, WAL_VERSION};
pub use open::{OpenReport, Opened, open};
pub use options::{
    CHECKPOINT_WAL_BYTES, EXTENT_BYTES, GROUP_BYTES_MAX, INITIAL_EXTENT_BYTES, RESERVE_BYTES,
    WAL_BYTES_MAX, WalOptions,
};
pub use scan::{Damage, Group, Scan, WalError};

/// After a checkpoint that failed, the next one that nobody asked for waits for this part of
/// [`WalOptions::checkpoint_bytes`].
const CHECKPOINT_RETRY_PARTS: u64 = 8;

/// Frames of one participant, counted since the log was opened.
#[derive(Debug)]
struct Progress {
    participant: Participant,
    appended: u64,
    issued: u64,
    written: u64,
    durable: u64,
}

#[derive(Debug)]
struct Queued {
    /// Index of the participant.
    from: usize,
    relaxed: bool,
    /// Encoded length.
    bytes: usize,
    frame: Frame,
}

/// The operation on the log that is in flight.
#[derive(Debug)]
enum Writing {
    Group {
        token: OpToken,
        extent: u32,
        data: Bytes,
        sync: bool,
        /// Somebody waits until it is durable.
        strict: bool,
    },
    Sync {
        token: OpToken,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Settling {
    No,
    /// Until all that was appended is durable.
    Draining,
    /// Until this checkpoint ended.
    Checkpointing(u64),
}

/// Where an opened log stands.
#[derive(Debug)]
struct Start {
    directory: DirectoryId,
    opening: u64,
    tail: Position,
    metadata: Lsn,
    extents: Extents,
    /// The highest durable LSN that a group on disk tells, or the checkpoint.
    marked: Lsn,
    /// Bytes of the groups since the checkpoint.
    log_bytes: u64,
    checkpoint_id: u64,
    checkpoint_number: u64,
}

/// The write-ahead log of a disk. [`open`] makes it.
#[derive(Debug)]
pub struct Wal {
    options: WalOptions,
    directory: DirectoryId,
    opening: u64,
    /// Sorted.
    participants: Vec<Progress>,

    queue: VecDeque<Queued>,
    queued_bytes: u64,
    /// Where the next group goes.
    tail: Position,
    /// The last frame with metadata that was issued, as far as is known.
    metadata: Lsn,
    extents: Extents,
    buffers: Buffers,
    writing: Option<Writing>,
    /// The last LSN that a finished write holds.
    written: Lsn,
    durable: Lsn,
    /// The durable LSN that the last group on disk tells, or the last checkpoint.
    marked: Lsn,
    /// Extents with groups that no sync covers yet.
    unsynced: BTreeSet<u32>,
    /// Somebody waits for what is unsynced.
    sync_due: bool,
    mark_due: bool,
    /// A group of this opening is durable.
    opened: bool,
    /// The next frame fits nowhere.
    blocked: bool,
    accepting: bool,
    quiet: bool,

    checkpoint: Option<Checkpointing>,
    checkpoint_requested: bool,
    last_checkpoint_id: u64,
    /// The number of the group that the last checkpoint begins at.
    checkpoint_number: u64,
    /// Bytes of all groups issued, and how many of them the last checkpoint made needless.
    log_bytes: u64,
    covered_bytes: u64,
    checkpoint_retry_bytes: u64,

    settling: Settling,
    deleting: BTreeSet<OpToken>,
    next_token: u64,
    failed: bool,
}

impl Wal {
    fn new(start: Start, options: WalOptions, participants: &[Participant]) -> Wal {
        options.validate();
        let mut participants: Vec<Progress> = participants
            .iter()
            .map(|&participant| Progress {
                participant,
                appended: 0,
                issued: 0,
                written: 0,
                durable: 0,
            })
            .collect();
        participants.sort_by_key(|progress| progress.participant);
        let recovered = Lsn(start.tail.lsn.0 - 1);
        Wal {
            options,
            directory: start.directory,
            opening: start.opening,
            participants,
            queue: VecDeque::new(),
            queued_bytes: 0,
            tail: start.tail,
            metadata: start.metadata,
            extents: start.extents,
            buffers: Buffers::default(),
            writing: None,
            written: recovered,
            durable: recovered,
            marked: start.marked,
            unsynced: BTreeSet::new(),
            sync_due: false,
            mark_due: false,
            opened: false,
            blocked: false,
            accepting: true,
            quiet: false,
            checkpoint: None,
            checkpoint_requested: false,
            last_checkpoint_id: start.checkpoint_id,
            checkpoint_number: start.checkpoint_number,
            log_bytes: start.log_bytes,
            covered_bytes: 0,
            checkpoint_retry_bytes: 0,
            settling: Settling::No,
            deleting: BTreeSet::new(),
            next_token: 0,
            failed: false,
        }
    }

    /// The last LSN given out.
    #[must_use]
    pub fn assigned(&self) -> Lsn {
        Lsn(self.tail.lsn.0 - 1 + self.queue.len() as u64)
    }

    /// The LSN up to which all is durable.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Takes one event and appends what it wants done to `effects`.
    ///
    /// # Panics
    /// If a participant breaks the order of a checkpoint, is not one of this log's, or appends too large a frame.
    pub fn step(&mut self, event: WalEvent, effects: &mut Vec<WalEffect>) {
        if self.failed {
            return;
        }
        let taken = self.take(event, effects);
        match taken {
            Ok(()) => self.advance(effects),
            Err(reason) => {
                self.failed = true;
                effects.push(WalEffect::Fatal(reason));
            }
        }
    }

    fn take(&mut self, event: WalEvent, effects: &mut Vec<WalEffect>) -> Result<(), String> {
        match event {
            WalEvent::Append {
                from,
                frames,
                relaxed,
            } => self.append(from, frames, relaxed),
            WalEvent::Cut { from, checkpoint } => {
                let (index, lsn) = (self.index_of(from), self.assigned());
                if let Some(checkpoint) = self.collecting(checkpoint) {
                    checkpoint.cut(index, lsn);
                }
            }
            WalEvent::Section {
                from,
                checkpoint,
                bytes,
            } => {
                let index = self.index_of(from);
                if let Some(checkpoint) = self.collecting(checkpoint) {
                    checkpoint.section(index, bytes);
                }
            }
            WalEvent::SectionFailed { checkpoint, .. } => {
                if self.collecting(checkpoint).is_some() {
                    self.give_checkpoint_up(effects);
                }
            }
            WalEvent::RequestCheckpoint => {
                self.checkpoint_requested = true;
                self.extents.retry();
            }
            WalEvent::Idle => self.idle(),
            WalEvent::SyncAll => {
                if self.settling == Settling::No {
                    self.settling = Settling::Draining;
                }
            }
            WalEvent::OpDone { token, result } => return self.op_done(token, result, effects),
        }
        Ok(())
    }

    /// Does whatever the state now allows.
    fn advance(&mut self, effects: &mut Vec<WalEffect>) {
        self.write_next(effects);
        self.allocate(effects);
        self.tell_space(effects);
        self.settle(effects);
        self.write_checkpoint(effects);
        if self.checkpoint_due() {
            self.begin_checkpoint(effects);
        }
        self.tell_quiet(effects);
    }

    fn append(&mut self, from: Participant, frames: Vec<Frame>, relaxed: bool) {
        let index = self.index_of(from);
        let frame_bytes_max = self.options.frame_bytes_max();
        self.participants[index].appended += frames.len() as u64;
        self.quiet = false;
        self.mark_due = false;
        for frame in frames {
            let bytes = frame.encoded_len();
            assert!(
                bytes <= frame_bytes_max,
                "{from} appended a frame of {bytes} bytes"
            );
            self.queued_bytes += bytes as u64;
            self.queue.push_back(Queued {
                from: index,
                relaxed,
                bytes,
                frame,
            });
        }
        if self.blocked {
            self.extents.retry();
        }
    }

    fn idle(&mut self) {
        if self.quiet {
            self.quiet = false;
            self.sync_due = !self.unsynced.is_empty();
            self.mark_due = self.unsynced.is_empty();
        }
    }

    fn op_done(
        &mut self,
        token: OpToken,
        result: DiskResult,
        effects: &mut Vec<WalEffect>,
    ) -> Result<(), String> {
        if self
            .writing
            .as_ref()
            .is_some_and(|writing| writing.token() == token)
        {
            return self.written(result, effects);
        }
        if self.extents.is_allocation(token) {
            let allocated = self.extents.allocated(result.map(|_| ()), self.log_bytes);
            let left = allocated
                .map_err(|error| format!("write-ahead log: no extent could be made: {error}"))?;
            self.delete(left.into_iter().collect(), effects);
            return Ok(());
        }
        if self.deleting.remove(&token) {
            // An extent that could not be deleted takes space and is in nobody's way: the next opening uses it.
            return Ok(());
        }
        self.checkpoint_op_done(token, result, effects)
    }
}

/// Writing groups.
impl Wal {
    fn write_next(&mut self, effects: &mut Vec<WalEffect>) {
        if self.writing.is_some() {
            return;
        }
        self.blocked = false;
        if self.must_sync() {
            self.sync(effects);
        } else if let Some(first) = self.queue.front() {
            let least = blocks(GROUP_HEADER_BYTES + first.bytes) as u64;
            if self.extents.current().room(self.tail.at) >= least {
                self.write_group(effects);
            } else if let Some(next) = self.extents.advance(least) {
                self.write_empty(Some(next.file), effects);
            } else {
                self.blocked = true;
            }
        } else if self.mark_due {
            self.mark_due = false;
            self.write_mark(effects);
        }
    }

    /// Writes a mark. In a full extent the link to the next one does as well, and without a next one there is none.
    fn write_mark(&mut self, effects: &mut Vec<WalEffect>) {
        let block = BLOCK_BYTES as u64;
        if self.extents.current().room(self.tail.at) >= block {
            self.write_empty(None, effects);
        } else if let Some(next) = self.extents.advance(block) {
            self.write_empty(Some(next.file), effects);
        } else {
            self.quiet = true;
        }
    }

    fn must_sync(&self) -> bool {
        let wanted_by_checkpoint = || {
            let complete = self.checkpoint.as_ref().and_then(Checkpointing::complete);
            complete.is_some_and(|cut| cut > self.durable && cut <= self.written)
        };
        let settling = self.settling == Settling::Draining;
        !self.unsynced.is_empty() && (self.sync_due || settling || wanted_by_checkpoint())
    }

    fn sync(&mut self, effects: &mut Vec<WalEffect>) {
        let files = self
            .unsynced
            .iter()
            .map(|&file| FileId::Wal(file))
            .collect();
        let token = self.emit(DiskOp::Sync { files }, effects);
        self.writing = Some(Writing::Sync { token });
    }

    /// Writes what is queued, as far as it fits.
    fn write_group(&mut self, effects: &mut Vec<WalEffect>) {
        let (count, bytes) = self.next_group();
        let mut buffer = self.buffers.take(blocks(bytes));
        let mut header = self.next_header();
        let mut strict = false;
        buffer.put_bytes(0, GROUP_HEADER_BYTES);
        for (queued, lsn) in self.queue.drain(..count).zip(header.first_lsn.0..) {
            let progress = &mut self.participants[queued.from];
            let origin = Origin {
                participant: progress.participant,
                relaxed: queued.relaxed,
                opening: self.opening,
                lsn: Lsn(lsn),
            };
            queued.frame.encode(origin, &mut buffer);
            if matches!(queued.frame, Frame::Metadata(_)) {
                header.metadata = Lsn(lsn);
            }
            progress.issued += 1;
            self.queued_bytes -= queued.bytes as u64;
            strict |= !queued.relaxed;
        }
        self.metadata = header.metadata;
        header.frame_count = count as u32;
        header.frame_bytes = (buffer.len() - GROUP_HEADER_BYTES) as u32;
        // A write that is durable by itself does not make durable what was written before it.
        let sync = (!self.opened || (strict && self.unsynced.is_empty()))
            && !mutant::active(Mutant::AcknowledgeBeforeSync);
        self.write(header, buffer, sync, strict, effects);
    }

    /// How many queued frames make the next group, and how many bytes it has without padding.
    fn next_group(&self) -> (usize, usize) {
        let room = self.extents.current().room(self.tail.at);
        let limit = room.min(self.options.group_bytes_max as u64) as usize;
        let mut bytes = GROUP_HEADER_BYTES;
        let mut count = 0;
        for queued in &self.queue {
            if count > 0 && bytes + queued.bytes > limit {
                break;
            }
            bytes += queued.bytes;
            count += 1;
        }
        (count, bytes)
    }

    /// Writes a mark, or the link to the extent `next`.
    fn write_empty(&mut self, next: Option<u32>, effects: &mut Vec<WalEffect>) {
        let mut buffer = self.buffers.take(BLOCK_BYTES);
        buffer.put_bytes(0, GROUP_HEADER_BYTES);
        let mut header = self.next_header();
        header.next_extent = next;
        self.write(header, buffer, true, false, effects);
    }

    fn next_header(&self) -> GroupHeader {
        let (opening, durable) = (self.opening, self.durable);
        GroupHeader::at(&self.tail, self.directory, opening, durable, self.metadata)
    }

    fn write(
        &mut self,
        header: GroupHeader,
        mut buffer: BytesMut,
        sync: bool,
        strict: bool,
        effects: &mut Vec<WalEffect>,
    ) {
        let (bytes, crc) = header.encode();
        buffer[..GROUP_HEADER_BYTES].copy_from_slice(&bytes);
        buffer.resize(blocks(buffer.len()), 0);
        let data = buffer.freeze();
        let op = DiskOp::WalWrite {
            file: FileId::Wal(header.extent),
            at: header.at,
            data: data.clone(),
            sync,
        };
        self.tail = header.next_position(crc);
        self.marked = self.marked.max(header.durable);
        self.log_bytes += data.len() as u64;
        let token = self.emit(op, effects);
        self.writing = Some(Writing::Group {
            token,
            extent: header.extent,
            data,
            sync,
            strict,
        });
    }

    fn written(&mut self, result: DiskResult, effects: &mut Vec<WalEffect>) -> Result<(), String> {
        let Some(writing) = self.writing.take() else {
            return Ok(());
        };
        if let Err(error) = result {
            return Err(format!(
                "write-ahead log: {} failed: {error}",
                writing.what()
            ));
        }
        self.written = Lsn(self.tail.lsn.0 - 1);
        match writing {
            Writing::Group {
                extent,
                data,
                sync,
                strict,
                ..
            } => {
                self.buffers.give_back(data);
                if !sync {
                    self.unsynced.insert(extent);
                    self.sync_due |= strict;
                }
                self.opened = true;
            }
            Writing::Sync { .. } => {
                self.unsynced.clear();
                self.sync_due = false;
            }
        }
        if self.unsynced.is_empty() || mutant::active(Mutant::AcknowledgeBeforeSync) {
            self.durable = self.written;
        }
        self.announce(effects);
        Ok(())
    }

    /// Tells the participants how far their frames are.
    fn announce(&mut self, effects: &mut Vec<WalEffect>) {
        let all_durable = self.durable == self.written;
        for progress in &mut self.participants {
            let to = progress.participant;
            let frames = progress.issued;
            if all_durable && progress.durable < frames {
                effects.push(WalEffect::Durable {
                    to,
                    frames,
                    lsn: self.durable,
                });
                progress.durable = frames;
            } else if progress.written < frames {
                effects.push(WalEffect::Written { to, frames });
            }
            progress.written = frames;
        }
    }

    fn tell_quiet(&mut self, effects: &mut Vec<WalEffect>) {
        let at_rest = self.writing.is_none() && self.queue.is_empty();
        let unmarked = self.marked < self.durable || !self.unsynced.is_empty();
        if at_rest && unmarked && !self.quiet && self.settling == Settling::No {
            self.quiet = true;
            effects.push(WalEffect::Quiet);
        }
    }
}

/// Space.
impl Wal {
    fn allocate(&mut self, effects: &mut Vec<WalEffect>) {
        let token = OpToken(self.next_token);
        let allocation = self.extents.allocate(
            self.tail.at,
            self.blocked,
            self.log_bytes,
            &self.options,
            token,
        );
        if let Some(op) = allocation {
            self.emit(op, effects);
        }
    }

    fn delete(&mut self, files: Vec<FileId>, effects: &mut Vec<WalEffect>) {
        if !files.is_empty() {
            let token = self.emit(DiskOp::Delete { files }, effects);
            self.deleting.insert(token);
        }
    }

    fn tell_space(&mut self, effects: &mut Vec<WalEffect>) {
        let free = self.extents.free_bytes(self.tail.at, &self.options);
        let accepting = free >= self.queued_bytes + self.options.reserve_bytes;
        if accepting != self.accepting {
            self.accepting = accepting;
            self.tell_all(effects, |to| WalEffect::Space { to, accepting });
        }
    }
}

/// Checkpoints.
impl Wal {
    fn checkpoint_due(&self) -> bool {
        if self.checkpoint.is_some() {
            return false;
        }
        let long = self.log_bytes - self.covered_bytes >= self.options.checkpoint_bytes;
        let short_of_space = (!self.accepting || self.blocked) && self.extents.live_count() > 1;
        let may_retry = self.log_bytes >= self.checkpoint_retry_bytes;
        self.checkpoint_requested || ((long || short_of_space) && may_retry)
    }

    fn begin_checkpoint(&mut self, effects: &mut Vec<WalEffect>) {
        self.checkpoint_requested = false;
        self.last_checkpoint_id += 1;
        let checkpoint = self.last_checkpoint_id;
        self.checkpoint = Some(Checkpointing::new(
            checkpoint,
            self.tail,
            self.log_bytes,
            self.participants.len(),
        ));
        self.tell_all(effects, |to| WalEffect::BeginCheckpoint { to, checkpoint });
    }

    /// The checkpoint, if it is this one and waits for participants. What is said about another comes too late.
    fn collecting(&mut self, id: u64) -> Option<&mut Checkpointing> {
        self.checkpoint
            .as_mut()
            .filter(|checkpoint| checkpoint.id == id && checkpoint.phase == Phase::Collecting)
    }

    /// Writes the draft once all sections are there and the frames up to the cuts are durable.
    fn write_checkpoint(&mut self, effects: &mut Vec<WalEffect>) {
        let Some(checkpointing) = &self.checkpoint else {
            return;
        };
        let durable = checkpointing
            .complete()
            .is_some_and(|cut| cut <= self.durable);
        if !durable || checkpointing.phase != Phase::Collecting {
            return;
        }
        let sections = self.participants.iter().zip(checkpointing.sections());
        let checkpoint = Checkpoint {
            form: StateForm::V2,
            directory: self.directory,
            id: checkpointing.id,
            position: checkpointing.position,
            sections: sections
                .map(|(progress, (cut, bytes))| Section {
                    participant: progress.participant,
                    cut,
                    bytes,
                })
                .collect(),
        };
        let op = DiskOp::Write {
            file: FileId::CheckpointDraft,
            at: 0,
            data: checkpoint.encode(),
        };
        let token = self.emit(op, effects);
        self.set_phase(Phase::Writing(token));
    }

    fn checkpoint_op_done(
        &mut self,
        token: OpToken,
        result: DiskResult,
        effects: &mut Vec<WalEffect>,
    ) -> Result<(), String> {
        let phase = self.checkpoint.as_ref().map(|checkpoint| checkpoint.phase);
        let phase = phase.filter(|phase| phase.token() == Some(token));
        let phase = phase.unwrap_or_else(|| panic!("an unknown operation was answered: {token:?}"));
        match (phase, result) {
            (Phase::Discarding(_), _) => self.checkpoint = None,
            (Phase::SyncingDirectory(_), Ok(_)) => self.checkpoint_done(effects),
            (_, Ok(_)) => self.next_phase(phase, effects),
            // Until it is renamed the draft is nobody's truth: it is thrown away.
            (
                Phase::Writing(_) | Phase::Syncing(_) | Phase::Renaming(_),
                Err(DiskError::NoSpace),
            ) => {
                self.give_checkpoint_up(effects);
            }
            (_, Err(error)) => return Err(format!("checkpoint: {error}")),
        }
        Ok(())
    }

    fn next_phase(&mut self, phase: Phase, effects: &mut Vec<WalEffect>) {
        let draft = FileId::CheckpointDraft;
        let next = match phase {
            Phase::Writing(_) => {
                Phase::Syncing(self.emit(DiskOp::Sync { files: vec![draft] }, effects))
            }
            Phase::Syncing(_) => {
                let (from, to) = (draft, FileId::Checkpoint);
                Phase::Renaming(self.emit(DiskOp::Rename { from, to }, effects))
            }
            Phase::Renaming(_) => {
                let files = vec![FileId::Checkpoint];
                Phase::SyncingDirectory(self.emit(DiskOp::SyncDirectories { files }, effects))
            }
            Phase::Collecting | Phase::SyncingDirectory(_) | Phase::Discarding(_) => phase,
        };
        self.set_phase(next);
    }

    fn checkpoint_done(&mut self, effects: &mut Vec<WalEffect>) {
        let Some(done) = self.checkpoint.take() else {
            return;
        };
        self.covered_bytes = done.log_bytes;
        self.checkpoint_number = done.position.number;
        self.marked = self.marked.max(Lsn(done.position.lsn.0 - 1));
        let needless = self
            .extents
            .free_before(done.position.extent, &self.options);
        self.delete(needless, effects);
        self.extents.retry();
        let checkpoint = done.id;
        self.tell_all(effects, |to| WalEffect::Checkpointed { to, checkpoint });
        self.checkpoint_settles(checkpoint, true, effects);
    }

    fn give_checkpoint_up(&mut self, effects: &mut Vec<WalEffect>) {
        let Some(given_up) = &self.checkpoint else {
            return;
        };
        let checkpoint = given_up.id;
        self.checkpoint_retry_bytes =
            self.log_bytes + self.options.checkpoint_bytes / CHECKPOINT_RETRY_PARTS;
        let files = vec![FileId::CheckpointDraft];
        let token = self.emit(DiskOp::Delete { files }, effects);
        self.set_phase(Phase::Discarding(token));
        self.extents.retry();
        self.tell_all(effects, |to| WalEffect::CheckpointFailed { to, checkpoint });
        self.checkpoint_settles(checkpoint, false, effects);
    }

    fn set_phase(&mut self, phase: Phase) {
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.phase = phase;
        }
    }
}

/// Shutdown.
impl Wal {
    fn settle(&mut self, effects: &mut Vec<WalEffect>) {
        if self.settling != Settling::Draining {
            return;
        }
        let drained = self.queue.is_empty() && self.writing.is_none() && self.unsynced.is_empty();
        let stuck = self.blocked && self.extents.out_of_space() && !self.extents.is_allocating();
        if drained && self.checkpoint.is_none() {
            if self.checkpoint_number == self.tail.number {
                self.settled(true, effects);
            } else {
                self.begin_checkpoint(effects);
                self.settling = Settling::Checkpointing(self.last_checkpoint_id);
            }
        } else if stuck {
            self.settled(false, effects);
        }
    }

    fn checkpoint_settles(&mut self, id: u64, done: bool, effects: &mut Vec<WalEffect>) {
        if self.settling == Settling::Checkpointing(id) {
            self.settled(done, effects);
        }
    }

    fn settled(&mut self, checkpointed: bool, effects: &mut Vec<WalEffect>) {
        self.settling = Settling::No;
        effects.push(WalEffect::Settled { checkpointed });
    }
}

/// Small things.
impl Wal {
    fn emit(&mut self, op: DiskOp, effects: &mut Vec<WalEffect>) -> OpToken {
        let token = OpToken(self.next_token);
        self.next_token += 1;
        effects.push(WalEffect::Disk { token, op });
        token
    }

    fn tell_all(&self, effects: &mut Vec<WalEffect>, what: impl Fn(Participant) -> WalEffect) {
        effects.extend(
            self.participants
                .iter()
                .map(|progress| what(progress.participant)),
        );
    }

    fn index_of(&self, participant: Participant) -> usize {
        self.participants
            .binary_search_by_key(&participant, |progress| progress.participant)
            .unwrap_or_else(|_| panic!("{participant} does not take part in this log"))
    }

    /// Asserts the invariants; meant for the end of each step in tests and simulation.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn validate(&self) {
        if self.failed {
            return;
        }
        let issued = Lsn(self.tail.lsn.0 - 1);
        assert!(self.durable <= self.written && self.written <= issued);
        assert!(
            self.marked <= self.durable,
            "no group tells more than is durable"
        );
        if self.writing.is_none() {
            assert_eq!(
                self.written, issued,
                "what is issued and not in flight is written"
            );
        }
        if self.unsynced.is_empty() {
            assert_eq!(
                self.durable, self.written,
                "only what is unsynced is not durable"
            );
        }
        for progress in &self.participants {
            assert!(progress.durable <= progress.written, "{progress:?}");
            assert!(progress.written <= progress.issued, "{progress:?}");
            assert!(progress.issued <= progress.appended, "{progress:?}");
        }
        let behind = self
            .participants
            .iter()
            .map(|progress| progress.appended - progress.issued);
        assert_eq!(
            behind.sum::<u64>(),
            self.queue.len() as u64,
            "what is not issued is queued"
        );
        let queued_bytes: usize = self.queue.iter().map(|queued| queued.bytes).sum();
        assert_eq!(self.queued_bytes, queued_bytes as u64);
        self.extents.validate();
        assert_eq!(self.tail.extent, self.extents.current().file);
        assert!(
            self.tail.at + BLOCK_BYTES as u64 <= self.extents.current().bytes,
            "a link always fits"
        );
        assert_eq!(self.tail.at % BLOCK_BYTES as u64, 0);
        let lives = |file| self.extents.is_live(file);
        assert!(
            self.unsynced.iter().all(|&file| lives(file)),
            "only live extents hold groups"
        );
        if let Some(checkpoint) = &self.checkpoint {
            assert!(
                lives(checkpoint.position.extent),
                "a checkpoint keeps what comes after it"
            );
        }
    }
}

impl Writing {
    fn token(&self) -> OpToken {
        match self {
            Writing::Group { token, .. } | Writing::Sync { token } => *token,
        }
    }

    fn what(&self) -> &'static str {
        match self {
            Writing::Group { .. } => "a write",
            Writing::Sync { .. } => "a sync",
        }
    }
}
