//! A shard's part in a checkpoint: cut, write out, sync, report.
//!
//! Invariants:
//! - The section holds each log as of the cut; what was appended after it is in none of its fields.
//! - A file is known as unsynced until a sync of it that the present checkpoint began has ended.

use std::collections::BTreeSet;

use bytes::Bytes;
use wiber_model::PartitionId;
use wiber_model::mutant::{self, Mutant};

use super::{Purpose, ShardSection, Store, StoreEffect};
use crate::io::{DiskOp, DiskResult, FileId, SegmentId};
use crate::log::PartitionLog;

/// A checkpoint under way.
#[derive(Debug)]
pub(super) struct CheckpointRun {
    id: u64,
    /// Logs whose tails are not written up to the cut yet.
    pub(super) waiting: BTreeSet<PartitionId>,
    logs: Vec<Bytes>,
    /// Files whose contents, and then files whose directory entries, are being synced.
    syncing: BTreeSet<FileId>,
    linking: BTreeSet<FileId>,
    /// Segments that compaction replaced, and that this checkpoint is the first not to list.
    replaced: Vec<SegmentId>,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Writing,
    Syncing,
    Reported,
}

impl Store {
    /// The WAL begins a checkpoint: the cut is here and now.
    pub fn begin_checkpoint(&mut self, id: u64, fx: &mut Vec<StoreEffect>) {
        self.abandon_checkpoint();
        fx.push(StoreEffect::Cut { checkpoint: id });
        let mut logs = Vec::with_capacity(self.logs.len());
        let mut waiting = BTreeSet::new();
        let mut replaced = Vec::new();
        for (partition, log) in &mut self.logs {
            if let Some(encoded) = log.encoded() {
                logs.push(encoded.clone());
                replaced.extend(self.cleaner.captured(*partition));
            } else {
                log.take_cut();
                waiting.insert(*partition);
            }
        }
        let partitions: Vec<_> = waiting.iter().copied().collect();
        self.checkpoint = Some(CheckpointRun {
            id,
            waiting,
            logs,
            syncing: BTreeSet::new(),
            linking: BTreeSet::new(),
            replaced,
            stage: Stage::Writing,
        });
        for partition in partitions {
            if !self.capture(partition) {
                self.start_run(partition, fx);
            }
        }
        self.progress_checkpoint(fx);
    }

    /// The checkpoint is durable: what only the one before listed goes.
    pub fn checkpointed(&mut self, id: u64, fx: &mut Vec<StoreEffect>) {
        let Some(checkpoint) = self.checkpoint.take_if(|c| c.id == id) else {
            return;
        };
        self.logs.values_mut().for_each(PartitionLog::checkpointed);
        for segment in checkpoint.replaced {
            self.doom(segment, 0);
        }
        self.delete_doomed(fx);
        self.checkpoint_lets_clean();
    }

    /// The checkpoint could not be written; another will follow.
    pub fn abandon_checkpoint(&mut self) {
        let Some(checkpoint) = self.checkpoint.take() else {
            return;
        };
        // Syncs under way say nothing to the next checkpoint.
        self.unsynced.extend(checkpoint.syncing);
        self.unlinked.extend(checkpoint.linking);
        let (here, gone) = checkpoint
            .replaced
            .into_iter()
            .partition(|segment: &SegmentId| self.logs.contains_key(&segment.partition));
        self.cleaner.not_captured(here);
        let gone: Vec<_> = gone;
        for segment in gone {
            self.doom(segment, 0);
        }
        for partition in checkpoint.waiting {
            if let Some(log) = self.logs.get_mut(&partition) {
                log.drop_cut();
            }
            self.drop_segments(partition);
        }
    }

    /// The disk is full: a checkpoint that waits for tails to be written would wait for space that only goes on without it.
    pub(super) fn give_up_checkpoint(&mut self, fx: &mut Vec<StoreEffect>) {
        if let Some(checkpoint) = &self.checkpoint
            && checkpoint.stage == Stage::Writing
        {
            let checkpoint = checkpoint.id;
            self.abandon_checkpoint();
            fx.push(StoreEffect::SectionFailed { checkpoint });
        }
    }

    /// Takes a log's state into the checkpoint, if that waits for it and its tail is written up to the cut.
    pub(super) fn capture(&mut self, partition: PartitionId) -> bool {
        let Some(checkpoint) = &mut self.checkpoint else {
            return false;
        };
        let Some(log) = self.logs.get_mut(&partition) else {
            return false;
        };
        let Some(mut state) = log.captured() else {
            return false;
        };
        if mutant::active(Mutant::CheckpointStateOfAnotherLsn) {
            state = log.state();
        }
        let encoded = state.encode();
        checkpoint.waiting.remove(&partition);
        checkpoint.logs.push(encoded.clone());
        let replaced = self.cleaner.captured(partition);
        checkpoint.replaced.extend(replaced);
        log.keep_encoded(encoded);
        self.drop_segments(partition);
        true
    }

    /// Goes on with the checkpoint when nothing is left to write for it.
    pub(super) fn progress_checkpoint(&mut self, fx: &mut Vec<StoreEffect>) {
        let Some(checkpoint) = &mut self.checkpoint else {
            return;
        };
        if checkpoint.stage != Stage::Writing || !checkpoint.waiting.is_empty() {
            return;
        }
        checkpoint.stage = Stage::Syncing;
        checkpoint.syncing = std::mem::take(&mut self.unsynced);
        let files: Vec<_> = checkpoint.syncing.iter().copied().collect();
        if files.is_empty() || mutant::active(Mutant::FreeWalBeforeSegmentSync) {
            self.sync_directories(fx);
        } else {
            let purpose = Purpose::CheckpointSync(checkpoint.id);
            self.operate(purpose, DiskOp::Sync { files }, fx);
        }
    }

    pub(super) fn checkpoint_synced(
        &mut self,
        id: u64,
        result: DiskResult,
        fx: &mut Vec<StoreEffect>,
    ) {
        match result {
            Ok(_) if self.is_syncing(id) => self.sync_directories(fx),
            Ok(_) => {}
            Err(error) => fx.push(StoreEffect::Fatal(format!("cannot sync segments: {error}"))),
        }
    }

    /// The contents are synced.
    fn sync_directories(&mut self, fx: &mut Vec<StoreEffect>) {
        let Some(checkpoint) = &mut self.checkpoint else {
            return;
        };
        checkpoint.syncing.clear();
        checkpoint.linking = std::mem::take(&mut self.unlinked);
        let files: Vec<_> = checkpoint.linking.iter().copied().collect();
        if files.is_empty() || mutant::active(Mutant::SkipDirectorySync) {
            self.report(fx);
        } else {
            let purpose = Purpose::CheckpointDirectories(checkpoint.id);
            self.operate(purpose, DiskOp::SyncDirectories { files }, fx);
        }
    }

    pub(super) fn checkpoint_directories_synced(
        &mut self,
        id: u64,
        result: DiskResult,
        fx: &mut Vec<StoreEffect>,
    ) {
        match result {
            Ok(_) if self.is_syncing(id) => self.report(fx),
            Ok(_) => {}
            Err(error) => {
                fx.push(StoreEffect::Fatal(format!(
                    "cannot sync directories of segments: {error}"
                )));
            }
        }
    }

    /// Whether it is this checkpoint that waits for its syncs, and not one that was given up.
    fn is_syncing(&self, id: u64) -> bool {
        let checkpoint = self.checkpoint.as_ref();
        checkpoint.is_some_and(|it| it.id == id && it.stage == Stage::Syncing)
    }

    fn report(&mut self, fx: &mut Vec<StoreEffect>) {
        if let Some(checkpoint) = &mut self.checkpoint
            && checkpoint.stage == Stage::Syncing
        {
            checkpoint.stage = Stage::Reported;
            checkpoint.linking.clear();
            let waiting = self.doomed.iter().map(|(_, file)| *file);
            let of_compaction = self
                .cleaner
                .unlisted()
                .chain(checkpoint.replaced.iter().copied());
            let of_compaction =
                of_compaction.flat_map(|id| [FileId::Segment(id), FileId::Index(id)]);
            let doomed: Vec<_> = waiting
                .chain(self.deleting.iter().copied())
                .chain(of_compaction)
                .collect();
            fx.push(StoreEffect::Section {
                checkpoint: checkpoint.id,
                bytes: ShardSection::encode(&checkpoint.logs, &doomed),
            });
        }
    }
}
