//! A shard's share of a disk: the logs of its partitions, their tails in memory, and their way into segments.
//!
//! Appends go to the tail and, as frames, to the WAL; when the WAL says that they are durable the visible end moves. Tails
//! are written to segments in long runs: when one partition has enough for a run, or when all together hold too much, or for a
//! checkpoint. Written batches stay in memory for readers until the budget asks for their room.
//!
//! Invariants:
//! - A frame is handed to the WAL in the step in which its batch got its offset, in that order.
//! - A checkpoint's section is sent after all that it lists was synced, contents first, then directories.
//! - A segment's files are deleted only after the frame that moved the log start beyond it is durable, or a checkpoint is that lists
//!   the compacted one in its place, so that recovery never looks for them.
//! - Nothing is done per partition per step: work follows what was appended, written or asked for.

mod checkpoint;
mod clean;
mod read;
mod section;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use wiber_model::{Batch, LeaderEpoch, Monotonic, Now, Offset, PartitionId, TimestampMs};

use crate::clean::CleanJob;
use crate::frame::{EpochStart, Frame};
use crate::io::{DiskError, DiskOp, DiskResult, FileId, OpToken, SegmentId};
use crate::log::{AppendError, Appended, LogConfig, PartitionLog, Tail};

use checkpoint::CheckpointRun;
use clean::Cleaner;
use read::{IndexCache, PendingRead};

pub use clean::{CleanEnd, CleanerOptions};
pub use read::{Read, ReadError, ReadId, ReadOutput, Want};
pub use section::ShardSection;

/// A partition with this much to write gets a run of its own, in bytes.
const RUN_TARGET_BYTES: usize = 1024 * 1024;
/// Once there is too much unwritten, this part of the budget is freed at once: many short runs then cost one waking of those
/// who write them.
const RELIEF_PARTS: usize = 16;
/// How long a write that failed for want of space waits before it is tried again.
const FULL_RETRY_MS: i64 = 500;

/// The sizes that a store works by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Unwritten bytes beyond which tails are written out although none has a long run.
    pub dirty_bytes_max: usize,
    /// How far unwritten bytes may go beyond that before the store is behind, and producers should be slowed down.
    pub behind_bytes: usize,
    /// Bytes of tails, written and unwritten, that are kept in memory.
    pub tail_bytes_max: usize,
    /// Bytes of segment indexes that are kept in memory.
    pub index_cache_bytes_max: usize,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            dirty_bytes_max: 16 * 1024 * 1024,
            behind_bytes: 8 * 1024 * 1024,
            tail_bytes_max: 24 * 1024 * 1024,
            index_cache_bytes_max: 4 * 1024 * 1024,
        }
    }
}

/// What a store wants done.
#[derive(Debug)]
pub enum StoreEffect {
    /// Performs a disk operation.
    Disk {
        /// Its name.
        token: OpToken,
        /// What to do.
        op: DiskOp,
    },
    /// Hands frames to the WAL.
    Append {
        /// The frames, in order.
        frames: Vec<Frame>,
        /// Whether they may be answered when written (S6).
        relaxed: bool,
    },
    /// Tells the WAL that the cut for this checkpoint is here.
    Cut {
        /// The checkpoint.
        checkpoint: u64,
    },
    /// Gives the WAL this shard's part of a checkpoint.
    Section {
        /// The checkpoint.
        checkpoint: u64,
        /// A [`ShardSection`], encoded.
        bytes: Bytes,
    },
    /// Tells the WAL that this shard cannot give its part of a checkpoint: the disk is full.
    SectionFailed {
        /// The checkpoint.
        checkpoint: u64,
    },
    /// Asks the WAL for a checkpoint, and to try again to get space.
    RequestCheckpoint,
    /// Has a worker do a step of a compaction; [`Store::cleaned`] takes what it comes to.
    Clean {
        /// Whose log.
        partition: PartitionId,
        /// The step.
        job: Box<CleanJob>,
    },
    /// A compaction ended.
    CleanEnded {
        /// Whose log.
        partition: PartitionId,
        /// How.
        end: CleanEnd,
    },
    /// The visible end of a partition moved.
    Advanced(PartitionId),
    /// A read ended.
    Read {
        /// Which one.
        id: ReadId,
        /// How.
        result: Result<ReadOutput, ReadError>,
    },
    /// Asks for a [`Store::tick`] then.
    WakeAt(Monotonic),
    /// A sync failed: nothing may be trusted any more (D8).
    Fatal(String),
}

/// When something appended counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ticket {
    /// When this many frames of the shard are durable.
    Durable(u64),
    /// When this many frames of the shard are written.
    Written(u64),
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// Whether it was there before.
    pub duplicate: bool,
    /// When it may be answered. A duplicate waits for all that was appended, and so for its original (S7).
    pub ticket: Ticket,
}

/// An append on its way to the disk.
#[derive(Debug)]
struct Pending {
    frame: u64,
    partition: PartitionId,
    end: Offset,
}

/// The operations of a run under way.
#[derive(Debug)]
struct RunOps {
    left: usize,
    failed: Option<DiskError>,
    files: Vec<FileId>,
}

/// What a disk operation was for.
#[derive(Debug)]
enum Purpose {
    Run(PartitionId),
    Read(PendingRead),
    CheckpointSync(u64),
    CheckpointDirectories(u64),
    Delete(Vec<FileId>),
    Clean(PartitionId),
}

/// A shard's logs.
#[derive(Debug)]
pub struct Store {
    options: StoreOptions,
    logs: BTreeMap<PartitionId, PartitionLog>,
    frames: u64,
    durable: u64,
    written: u64,
    strict: VecDeque<Pending>,
    relaxed: VecDeque<Pending>,
    /// Partitions with unwritten batches, the longest waiting first.
    dirty: VecDeque<PartitionId>,
    queued: BTreeSet<PartitionId>,
    runs: BTreeMap<PartitionId, RunOps>,
    dirty_bytes: usize,
    writing_bytes: usize,
    tail_bytes: usize,
    evictable: VecDeque<(PartitionId, Offset)>,
    unsynced: BTreeSet<FileId>,
    unlinked: BTreeSet<FileId>,
    /// Files to delete once so many frames are durable.
    doomed: VecDeque<(u64, FileId)>,
    /// Files that are being deleted, or could not be.
    deleting: BTreeSet<FileId>,
    checkpoint: Option<CheckpointRun>,
    cleaner: Cleaner,
    ops: BTreeMap<OpToken, Purpose>,
    next_token: u64,
    next_read: u64,
    indexes: IndexCache,
    full: bool,
    wal_accepts: bool,
}

impl Store {
    /// A store over logs that recovery brought back.
    #[must_use]
    pub fn new(options: StoreOptions, logs: Vec<PartitionLog>, doomed: Vec<FileId>) -> Store {
        let indexes = IndexCache::new(options.index_cache_bytes_max);
        let mut store = Store {
            options,
            logs: BTreeMap::new(),
            frames: 0,
            durable: 0,
            written: 0,
            strict: VecDeque::new(),
            relaxed: VecDeque::new(),
            dirty: VecDeque::new(),
            queued: BTreeSet::new(),
            runs: BTreeMap::new(),
            dirty_bytes: 0,
            writing_bytes: 0,
            tail_bytes: 0,
            evictable: VecDeque::new(),
            unsynced: BTreeSet::new(),
            unlinked: BTreeSet::new(),
            doomed: doomed.into_iter().map(|file| (0, file)).collect(),
            deleting: BTreeSet::new(),
            checkpoint: None,
            cleaner: Cleaner::new(CleanerOptions::default()),
            ops: BTreeMap::new(),
            next_token: 0,
            next_read: 0,
            indexes,
            full: false,
            wal_accepts: true,
        };
        for log in logs {
            store.dirty_bytes += log.tail().dirty_bytes();
            store.tail_bytes += log.tail().bytes();
            if log.tail().dirty_bytes() > 0 {
                store.queue(log.id());
            }
            if log.config().compact {
                store.cleaner.note(log.id(), Monotonic::default());
            }
            store.logs.insert(log.id(), log);
        }
        store
    }

    /// A partition's log.
    #[must_use]
    pub fn log(&self, partition: PartitionId) -> Option<&PartitionLog> {
        self.logs.get(&partition)
    }

    /// All logs.
    pub fn logs(&self) -> impl Iterator<Item = &PartitionLog> {
        self.logs.values()
    }

    /// The partitions from `from` on, in order.
    pub fn partitions_from(&self, from: Bound<PartitionId>) -> impl Iterator<Item = PartitionId> {
        self.logs
            .range((from, Bound::Unbounded))
            .map(|(partition, _)| *partition)
    }

    /// Whether an append would be taken, as far as space goes.
    #[must_use]
    pub fn accepts(&self) -> bool {
        !self.full && self.wal_accepts
    }

    /// Whether tails come faster than they can be written out. On a full disk they cannot be at all, and appends are refused
    /// instead.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let most = self.options.dirty_bytes_max + self.options.behind_bytes;
        self.dirty_bytes > most && !self.full
    }

    /// Whether everything up to `ticket` is done.
    #[must_use]
    pub fn is_done(&self, ticket: Ticket) -> bool {
        match ticket {
            Ticket::Durable(frames) => self.durable >= frames,
            Ticket::Written(frames) => self.written >= frames,
        }
    }

    /// The ticket of everything that was appended so far.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        Ticket::Durable(self.frames)
    }

    /// Makes an empty log for a new partition.
    pub fn create(&mut self, partition: PartitionId, config: Arc<LogConfig>) {
        self.logs
            .entry(partition)
            .or_insert_with(|| PartitionLog::new(partition, config));
    }

    /// Gives a partition another configuration.
    pub fn configure(&mut self, partition: PartitionId, config: Arc<LogConfig>) {
        if let Some(log) = self.logs.get_mut(&partition) {
            if config.compact {
                self.cleaner.note(partition, Monotonic::default());
            }
            log.configure(config);
        }
    }

    /// Forgets a partition that was deleted; its files go once a checkpoint no longer lists them.
    pub fn remove(&mut self, partition: PartitionId, fx: &mut Vec<StoreEffect>) {
        let Some(log) = self.logs.remove(&partition) else {
            return;
        };
        self.dirty_bytes -= log.tail().dirty_bytes();
        self.tail_bytes -= log.tail().bytes();
        // That it was deleted is durable: recovery will not know it.
        for segment in log.segments() {
            self.doom(segment.id, 0);
        }
        if let Some(run) = log.run() {
            self.writing_bytes -= run.cost_bytes;
        }
        self.forget_cleaning(partition);
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.waiting.remove(&partition);
        }
        self.progress_checkpoint(fx);
        self.delete_doomed(fx);
    }

    /// Appends a batch that was validated, in leader epoch `epoch`.
    ///
    /// # Errors
    /// If the partition is not here, its log or the disk takes no more, or the producer's sequence does not fit.
    pub fn append(
        &mut self,
        now: Now,
        partition: PartitionId,
        batch: Batch,
        epoch: LeaderEpoch,
        fx: &mut Vec<StoreEffect>,
    ) -> Result<Placement, AppendError> {
        let accepts = self.accepts();
        let frames = self.frames;
        let log = self
            .logs
            .get_mut(&partition)
            .ok_or(AppendError::UnknownPartition)?;
        let (relaxed, compact) = (log.config().relaxed, log.config().compact);
        if !accepts {
            return Err(AppendError::NoSpace("free some, or let retention do so"));
        }
        let ticket = |frames| {
            if relaxed {
                Ticket::Written(frames)
            } else {
                Ticket::Durable(frames)
            }
        };
        let placed = match log.append(batch, epoch, now.wall)? {
            Appended::Placed(placed) => placed,
            Appended::Duplicate(base_offset) => {
                return Ok(Placement {
                    base_offset,
                    duplicate: true,
                    ticket: ticket(frames),
                });
            }
        };
        let end = placed.next_offset();
        let base_offset = placed.base_offset();
        let cost = Tail::cost_bytes(&placed);
        let enough = log.tail().dirty_bytes() >= RUN_TARGET_BYTES;
        self.dirty_bytes += cost;
        self.tail_bytes += cost;
        self.queue(partition);
        if compact {
            self.cleaner.note_append(partition, now.monotonic);
        }
        let frame = self.hand_over(
            Frame::Batch {
                partition,
                batch: placed,
            },
            relaxed,
            fx,
        );
        let pending = Pending {
            frame,
            partition,
            end,
        };
        if relaxed {
            &mut self.relaxed
        } else {
            &mut self.strict
        }
        .push_back(pending);
        if enough {
            self.start_run(partition, fx);
        }
        self.relieve(fx);
        Ok(Placement {
            base_offset,
            duplicate: false,
            ticket: ticket(frame),
        })
    }

    /// Persists that leader epochs begin at their logs' ends (R2). Serve them once the ticket is done. None begins in a damaged log:
    /// nobody knows its end, and nothing is going to be written there.
    pub fn begin_epochs(
        &mut self,
        epochs: &[(PartitionId, LeaderEpoch)],
        fx: &mut Vec<StoreEffect>,
    ) -> Ticket {
        let mut starts = Vec::new();
        for &(partition, epoch) in epochs {
            if let Some(log) = self.logs.get_mut(&partition) {
                let start = log.end();
                if log.damage().is_none() && log.begin_epoch(epoch, start) {
                    starts.push(EpochStart {
                        partition,
                        epoch,
                        start,
                    });
                }
            }
        }
        if !starts.is_empty() {
            self.hand_over(Frame::Epochs(starts), false, fx);
        }
        // What recovery brought back may be more than the budget, and nothing may come after it that starts to write it out.
        self.relieve(fx);
        self.ticket()
    }

    /// Moves a log's start up to `start`, which must not be beyond its visible end. Answer once the ticket is done.
    pub fn move_start(
        &mut self,
        partition: PartitionId,
        start: Offset,
        fx: &mut Vec<StoreEffect>,
    ) -> Ticket {
        if let Some(log) = self.logs.get_mut(&partition)
            && log.move_start(start.min(log.visible_end()))
        {
            let start = log.start();
            self.hand_over(Frame::LogStart { partition, start }, false, fx);
            self.drop_segments(partition);
        }
        self.ticket()
    }

    /// Applies retention to one partition, and forgets its producers that wrote nothing since `oldest_producer`.
    pub fn expire(
        &mut self,
        partition: PartitionId,
        now: TimestampMs,
        oldest_producer: TimestampMs,
        fx: &mut Vec<StoreEffect>,
    ) {
        let Some(log) = self.logs.get_mut(&partition) else {
            return;
        };
        log.expire_producers(oldest_producer);
        if let Some(start) = log.expired_start(now) {
            self.move_start(partition, start, fx);
        }
    }

    /// The WAL says that this many of the shard's frames are durable.
    pub fn durable(&mut self, frames: u64, fx: &mut Vec<StoreEffect>) {
        self.durable = self.durable.max(frames);
        Store::advance(&mut self.logs, &mut self.strict, self.durable, fx);
        // What is durable is written; the WAL says so only once.
        self.written(frames, fx);
        self.delete_doomed(fx);
    }

    /// The WAL says that this many of the shard's frames are written.
    pub fn written(&mut self, frames: u64, fx: &mut Vec<StoreEffect>) {
        self.written = self.written.max(frames);
        Store::advance(&mut self.logs, &mut self.relaxed, self.written, fx);
    }

    fn advance(
        logs: &mut BTreeMap<PartitionId, PartitionLog>,
        pending: &mut VecDeque<Pending>,
        frames: u64,
        fx: &mut Vec<StoreEffect>,
    ) {
        while let Some(append) = pending.pop_front_if(|append| append.frame <= frames) {
            if let Some(log) = logs.get_mut(&append.partition) {
                log.advance(append.end);
                fx.push(StoreEffect::Advanced(append.partition));
            }
        }
    }

    /// The WAL has room again, or has none.
    pub fn set_wal_accepts(&mut self, now: Now, accepts: bool, fx: &mut Vec<StoreEffect>) {
        self.wal_accepts = accepts;
        if !accepts {
            fx.push(StoreEffect::WakeAt(now.monotonic.plus_ms(FULL_RETRY_MS)));
        }
    }

    /// Tries again what failed for want of space.
    pub fn tick(&mut self, now: Now, fx: &mut Vec<StoreEffect>) {
        if self.accepts() {
            return;
        }
        fx.push(StoreEffect::WakeAt(now.monotonic.plus_ms(FULL_RETRY_MS)));
        fx.push(StoreEffect::RequestCheckpoint);
        if self.full {
            while self.runs.is_empty()
                && let Some(partition) = self.dirty.pop_front()
            {
                self.queued.remove(&partition);
                self.start_run(partition, fx);
            }
            // With nothing left to write, nothing needs the space.
            self.full = !self.runs.is_empty();
        }
    }

    /// A disk operation ended.
    pub fn disk_done(
        &mut self,
        now: Now,
        token: OpToken,
        result: DiskResult,
        fx: &mut Vec<StoreEffect>,
    ) {
        match self.ops.remove(&token) {
            None => {}
            Some(Purpose::Run(partition)) => self.run_op_done(now, partition, result, fx),
            Some(Purpose::Read(read)) => self.read_done(read, result, fx),
            Some(Purpose::Clean(partition)) => self.clean_op_done(now, partition, result, fx),
            Some(Purpose::CheckpointSync(id)) => self.checkpoint_synced(id, result, fx),
            Some(Purpose::CheckpointDirectories(id)) => {
                self.checkpoint_directories_synced(id, result, fx);
            }
            Some(Purpose::Delete(files)) if result.is_ok() => {
                for file in files {
                    self.deleting.remove(&file);
                    self.unsynced.remove(&file);
                    self.unlinked.insert(file);
                }
            }
            // What cannot be deleted now is listed in each section, and is deleted on the next start.
            Some(Purpose::Delete(_)) => {}
        }
    }

    /// A name for an operation on the same disk that is not the store's.
    pub fn token(&mut self) -> OpToken {
        let token = OpToken(self.next_token);
        self.next_token += 1;
        token
    }

    /// Checks the invariants of each log and of the sums over them.
    ///
    /// # Panics
    /// If one does not hold: a bug.
    pub fn validate(&self) {
        for log in self.logs.values() {
            log.validate();
        }
        let dirty: usize = self.logs.values().map(|l| l.tail().dirty_bytes()).sum();
        let tails: usize = self.logs.values().map(|l| l.tail().bytes()).sum();
        assert_eq!(self.dirty_bytes, dirty, "unwritten bytes");
        assert_eq!(self.tail_bytes, tails, "bytes in memory");
        assert!(self.durable <= self.frames && self.written <= self.frames);
    }

    fn hand_over(&mut self, frame: Frame, relaxed: bool, fx: &mut Vec<StoreEffect>) -> u64 {
        self.frames += 1;
        match fx.last_mut() {
            Some(StoreEffect::Append { frames, relaxed: r }) if *r == relaxed => frames.push(frame),
            _ => fx.push(StoreEffect::Append {
                frames: vec![frame],
                relaxed,
            }),
        }
        self.frames
    }

    fn operate(&mut self, purpose: Purpose, op: DiskOp, fx: &mut Vec<StoreEffect>) {
        let token = self.token();
        self.ops.insert(token, purpose);
        fx.push(StoreEffect::Disk { token, op });
    }

    fn queue(&mut self, partition: PartitionId) {
        if self.queued.insert(partition) {
            self.dirty.push_back(partition);
        }
    }

    /// Writes tails out, the longest waiting first, until what is neither written nor being written fits the budget.
    fn relieve(&mut self, fx: &mut Vec<StoreEffect>) {
        let budget = self.options.dirty_bytes_max;
        if self.dirty_bytes - self.writing_bytes <= budget {
            return;
        }
        let most = self.dirty.len();
        for _ in 0..most {
            let left = budget - budget / RELIEF_PARTS;
            if self.full || self.dirty_bytes - self.writing_bytes <= left {
                break;
            }
            let Some(partition) = self.dirty.pop_front() else {
                break;
            };
            // Where a run is under way, its end queues the partition again.
            self.queued.remove(&partition);
            self.start_run(partition, fx);
        }
    }

    /// Starts to write a partition's tail, unless that is under way or there is nothing to write.
    fn start_run(&mut self, partition: PartitionId, fx: &mut Vec<StoreEffect>) {
        let Some(log) = self.logs.get_mut(&partition) else {
            return;
        };
        if self.runs.contains_key(&partition) {
            return;
        }
        let Some(run) = log.start_run() else {
            return;
        };
        let ops = run.ops.clone();
        self.writing_bytes += run.cost_bytes;
        let run_ops = RunOps {
            left: ops.len(),
            failed: None,
            files: run.files.clone(),
        };
        self.runs.insert(partition, run_ops);
        for op in ops {
            self.operate(Purpose::Run(partition), op, fx);
        }
    }

    fn run_op_done(
        &mut self,
        now: Now,
        partition: PartitionId,
        result: DiskResult,
        fx: &mut Vec<StoreEffect>,
    ) {
        let Some(run) = self.runs.get_mut(&partition) else {
            return;
        };
        run.left -= 1;
        run.failed = run.failed.take().or(result.err());
        if run.left > 0 {
            return;
        }
        if let Some(run) = self.runs.remove(&partition) {
            self.run_done(now, partition, run, fx);
        }
    }

    fn run_done(
        &mut self,
        now: Now,
        partition: PartitionId,
        ops: RunOps,
        fx: &mut Vec<StoreEffect>,
    ) {
        let Some(log) = self.logs.get_mut(&partition) else {
            // The partition was deleted meanwhile, and the run may have made its files again.
            self.doomed
                .extend(ops.files.into_iter().map(|file| (0, file)));
            self.delete_doomed(fx);
            return;
        };
        let Some(run) = log.run() else {
            return;
        };
        self.writing_bytes -= run.cost_bytes;
        match ops.failed {
            None => {
                self.unsynced.extend(run.files.iter().copied());
                self.unlinked
                    .extend(run.files.iter().filter(|_| run.creates).copied());
                for file in &run.files {
                    if let FileId::Index(segment) = file {
                        self.indexes.forget(*segment);
                    }
                }
                self.dirty_bytes -= log.finish_run();
                self.evictable
                    .push_back((partition, log.tail().clean_end(log.end())));
                self.full = false;
            }
            Some(DiskError::NoSpace) => {
                log.abandon_run();
                self.give_up_checkpoint(fx);
                if !self.full {
                    self.full = true;
                    fx.push(StoreEffect::WakeAt(now.monotonic.plus_ms(FULL_RETRY_MS)));
                }
            }
            Some(error) => {
                fx.push(StoreEffect::Fatal(format!(
                    "cannot write the log of {partition}: {error}"
                )));
                return;
            }
        }
        self.drop_segments(partition);
        self.capture(partition);
        let waits = self
            .checkpoint
            .as_ref()
            .is_some_and(|c| c.waiting.contains(&partition));
        let (dirty, enough) = self.logs.get(&partition).map_or((false, false), |log| {
            let bytes = log.tail().dirty_bytes();
            (bytes > 0, bytes >= RUN_TARGET_BYTES)
        });
        if !self.full && (waits || enough) {
            self.start_run(partition, fx);
        }
        if dirty {
            self.queue(partition);
        }
        self.progress_checkpoint(fx);
        self.relieve(fx);
        self.evict();
    }

    /// Drops written batches from memory, the oldest first, until the rest fits the budget.
    fn evict(&mut self) {
        while self.tail_bytes > self.options.tail_bytes_max {
            let Some((partition, next_offset)) = self.evictable.pop_front() else {
                break;
            };
            if let Some(log) = self.logs.get_mut(&partition) {
                self.tail_bytes -= log.evict(next_offset);
            }
        }
    }

    /// Takes segments below the log start off a log's list; their files go once all frames so far are durable.
    fn drop_segments(&mut self, partition: PartitionId) {
        if let Some(log) = self.logs.get_mut(&partition) {
            for segment in log.drop_segments_below_start() {
                self.doom(segment, self.frames);
            }
        }
    }

    fn doom(&mut self, segment: SegmentId, after_frames: u64) {
        self.indexes.forget(segment);
        for file in [FileId::Segment(segment), FileId::Index(segment)] {
            self.doomed.push_back((after_frames, file));
        }
    }

    /// Deletes what may be deleted by now.
    fn delete_doomed(&mut self, fx: &mut Vec<StoreEffect>) {
        let durable = self.durable;
        let (now, later) = self
            .doomed
            .drain(..)
            .partition(|(frames, _)| *frames <= durable);
        self.doomed = later;
        let now: VecDeque<_> = now;
        if !now.is_empty() {
            let files: Vec<_> = now.into_iter().map(|(_, file)| file).collect();
            self.deleting.extend(&files);
            self.operate(Purpose::Delete(files.clone()), DiskOp::Delete { files }, fx);
        }
    }
}
