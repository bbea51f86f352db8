//! Brings a data directory back: checkpoint, then WAL, then the files cut back to what these two say.
//!
//! Invariants:
//! - Metadata comes first, and says which partitions exist: frames of others are of deleted topics and are skipped.
//! - A frame is replayed for a log iff its LSN is above the cut of the section that holds the log. Replaying twice gives the same.
//! - Only partitions with replayed frames are looked at on disk, so that the cost follows the WAL and not the data.
//! - Where the WAL is damaged no log takes more: a lost batch's offset must not be given again (D8).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use wiber_model::{Lsn, PartitionId, TimestampMs};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::frame::{Frame, FrameKind, Participant};
use crate::identity::Identity;
use crate::io::{Disk, DiskError, DiskOp, FileId};
use crate::log::{LogConfig, PartitionLog, Segment, StateError};
use crate::store::ShardSection;
use crate::wal::{self, Damage, Wal, WalError, WalOptions};

/// A data directory, alive again.
#[derive(Debug)]
pub struct Recovered<M> {
    /// The WAL.
    pub wal: Wal,
    /// What the caller made of the metadata.
    pub metadata: M,
    /// The log of each partition that the metadata know.
    pub logs: Vec<PartitionLog>,
    /// Files that are listed no more, to go with the next checkpoint.
    pub doomed: Vec<FileId>,
    /// What there was to do.
    pub report: Report,
}

/// What a recovery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Frames in the WAL above the checkpoint.
    pub frames: usize,
    /// Bytes of record batches that were replayed.
    pub replayed_bytes: u64,
    /// Partitions with frames in the WAL.
    pub partitions: usize,
    /// Ranges of the WAL that cannot be read although they were durable.
    pub damage: Vec<Damage>,
}

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The checkpoint is damaged or unknown.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The WAL cannot be read.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// A shard's section makes no sense.
    #[error("checkpoint: {0}")]
    State(#[from] StateError),
    /// The metadata make no sense.
    #[error("metadata: {0}")]
    Metadata(String),
    /// The disk failed.
    #[error("{action}: {error}")]
    Disk {
        /// What was attempted.
        action: String,
        /// How it failed.
        error: DiskError,
    },
}

/// The metadata's bytes, for the caller to fold: the controller's section of the checkpoint, and its frames behind it.
#[derive(Debug)]
pub struct MetadataBytes {
    /// The section, if there is a checkpoint.
    pub section: Option<Bytes>,
    /// The frames above the section's cut, in order.
    pub frames: Vec<Bytes>,
}

/// Recovers the directory. `fold` makes the metadata and says which partitions exist, and with which configuration.
///
/// # Errors
/// As [`RecoveryError`] says.
pub fn recover<M>(
    disk: &mut dyn Disk,
    identity: &Identity,
    options: WalOptions,
    participants: &[Participant],
    now: TimestampMs,
    fold: impl FnOnce(MetadataBytes) -> Result<(M, BTreeMap<PartitionId, Arc<LogConfig>>), String>,
) -> Result<Recovered<M>, RecoveryError> {
    let checkpoint = Checkpoint::read(disk)?;
    let opened = wal::open(disk, identity, checkpoint.as_ref(), options, participants)?;
    let (metadata, configs) = fold(metadata_bytes(checkpoint.as_ref(), &opened.frames))
        .map_err(RecoveryError::Metadata)?;
    let mut report = Report {
        frames: opened.frames.len(),
        damage: opened.damage,
        ..Report::default()
    };
    let mut rebuild = Rebuild::new(checkpoint.as_ref(), configs)?;
    for (lsn, frame) in opened.frames {
        rebuild.replay(lsn, frame, now, &mut report);
    }
    report.partitions = rebuild.touched.len();
    delete(disk, std::mem::take(&mut rebuild.doomed))?;
    rebuild.cut_files_back(disk)?;
    delete_unknown_topics(disk, &rebuild.logs)?;
    Ok(Recovered {
        wal: opened.wal,
        metadata,
        doomed: std::mem::take(&mut rebuild.doomed),
        logs: rebuild.finish(&report.damage),
        report,
    })
}

fn metadata_bytes(checkpoint: Option<&Checkpoint>, frames: &[(Lsn, Frame)]) -> MetadataBytes {
    let section = checkpoint.and_then(|c| {
        c.sections
            .iter()
            .find(|s| s.participant == Participant::CONTROLLER)
    });
    let cut = section.map_or(Lsn::ZERO, |section| section.cut);
    let metadata = |(lsn, frame): &(Lsn, Frame)| match frame {
        Frame::Metadata(bytes) if *lsn > cut => Some(bytes.clone()),
        _ => None,
    };
    MetadataBytes {
        section: section.map(|section| section.bytes.clone()),
        frames: frames.iter().filter_map(metadata).collect(),
    }
}

/// The logs in the making.
struct Rebuild {
    logs: BTreeMap<PartitionId, (PartitionLog, Lsn)>,
    touched: BTreeSet<PartitionId>,
    doomed: Vec<FileId>,
}

impl Rebuild {
    /// The logs as of the checkpoint.
    fn new(
        checkpoint: Option<&Checkpoint>,
        configs: BTreeMap<PartitionId, Arc<LogConfig>>,
    ) -> Result<Rebuild, RecoveryError> {
        let mut logs: BTreeMap<PartitionId, (PartitionLog, Lsn)> = BTreeMap::new();
        let mut doomed = Vec::new();
        for section in checkpoint
            .iter()
            .flat_map(|checkpoint| &checkpoint.sections)
        {
            if section.participant == Participant::CONTROLLER {
                continue;
            }
            let decoded = ShardSection::decode(section.bytes.clone())?;
            doomed.extend(decoded.doomed);
            for state in decoded.logs {
                if let Some(config) = configs.get(&state.id) {
                    let id = state.id;
                    let log = PartitionLog::restore(state, Arc::clone(config));
                    logs.insert(id, (log, section.cut));
                }
            }
        }
        // A log start that moved after the cut dooms files that the logs, as of the cut, still have.
        let listed: BTreeSet<FileId> = logs.values().flat_map(|(log, _)| files_of(log)).collect();
        doomed.retain(|file| !listed.contains(file));
        for (id, config) in configs {
            logs.entry(id)
                .or_insert_with(|| (PartitionLog::new(id, config), Lsn::ZERO));
        }
        Ok(Rebuild {
            logs,
            touched: BTreeSet::new(),
            doomed,
        })
    }

    fn replay(&mut self, lsn: Lsn, frame: Frame, now: TimestampMs, report: &mut Report) {
        match frame {
            Frame::Batch { partition, batch } => {
                if let Some(log) = self.log_for(partition, lsn) {
                    report.replayed_bytes += batch.size_bytes() as u64;
                    // A gap marks the log as damaged, which is all that can be done about it here.
                    let _ = log.replay(batch, now);
                }
            }
            Frame::Epochs(starts) => {
                for start in starts {
                    if let Some(log) = self.log_for(start.partition, lsn) {
                        log.begin_epoch(start.epoch, start.start);
                    }
                }
            }
            Frame::LogStart { partition, start } => {
                if let Some(log) = self.log_for(partition, lsn) {
                    if start > log.end() {
                        log.mark_damaged(format!(
                            "the log ends at {} and starts at {start}",
                            log.end()
                        ));
                    } else {
                        log.move_start(start);
                    }
                }
            }
            Frame::Metadata(_) | Frame::Truncate { .. } => {}
        }
    }

    fn log_for(&mut self, partition: PartitionId, lsn: Lsn) -> Option<&mut PartitionLog> {
        let (log, cut) = self.logs.get_mut(&partition)?;
        if lsn <= *cut {
            return None;
        }
        self.touched.insert(partition);
        Some(log)
    }

    /// Makes the files of the touched partitions what the checkpoint says that they are.
    fn cut_files_back(&mut self, disk: &mut dyn Disk) -> Result<(), RecoveryError> {
        for partition in &self.touched {
            let Some((log, _)) = self.logs.get_mut(partition) else {
                continue;
            };
            let present =
                disk.partition_files(*partition)
                    .map_err(|error| RecoveryError::Disk {
                        action: format!("list the files of {partition}"),
                        error,
                    })?;
            let present: BTreeMap<_, _> = present.into_iter().collect();
            // These may be gone already; what is left of them is among the unknown files below.
            log.drop_segments_below_start();
            let mut expected = BTreeMap::new();
            for segment in log.segments() {
                expected.insert(FileId::Segment(segment.id), segment.bytes);
                expected.insert(FileId::Index(segment.id), segment.index_bytes);
            }
            for (file, bytes) in &expected {
                let have = present.get(file).copied().unwrap_or(0);
                if have < *bytes {
                    let path = file.path();
                    log.mark_damaged(format!("{path} has {have} bytes and should have {bytes}"));
                } else if have > *bytes {
                    let op = DiskOp::Truncate {
                        file: *file,
                        len: *bytes,
                    };
                    disk.perform(op).map_err(|error| RecoveryError::Disk {
                        action: format!("cut {} back to {bytes} bytes", file.path()),
                        error,
                    })?;
                }
            }
            let unknown = present
                .into_keys()
                .filter(|file| !expected.contains_key(file))
                .collect();
            delete(disk, unknown)?;
        }
        Ok(())
    }

    fn finish(self, damage: &[Damage]) -> Vec<PartitionLog> {
        let mut logs = Vec::with_capacity(self.logs.len());
        for (mut log, cut) in self.logs.into_values() {
            if let Some(damage) = damage
                .iter()
                .find(|damage| may_concern(damage, log.id(), cut))
            {
                log.mark_damaged(format!(
                    "the write-ahead log cannot be read from LSN {} on, and may have held batches of this log; \
                     `wiber log verify` tells more",
                    damage.first
                ));
            }
            log.advance(log.end());
            logs.push(log);
        }
        logs
    }
}

/// The files of a log's segments.
fn files_of(log: &PartitionLog) -> impl Iterator<Item = FileId> {
    let files = |segment: &Segment| [FileId::Segment(segment.id), FileId::Index(segment.id)];
    log.segments().iter().flat_map(files)
}

/// Whether frames that are lost may have been of a log that a checkpoint holds up to `cut`.
fn may_concern(damage: &Damage, log: PartitionId, cut: Lsn) -> bool {
    let behind_cut = damage.first.0 + damage.frames > cut.0 + 1;
    behind_cut
        && match damage.header.map(|header| (header.kind, header.partition)) {
            None => damage.frames > 0,
            // The controller finds out by itself; an epoch that is forgotten is one that nothing was written in, or its batches tell.
            Some((FrameKind::Metadata | FrameKind::Epochs, _)) => false,
            Some((_, partition)) => partition == log,
        }
}

fn delete(disk: &mut dyn Disk, files: Vec<FileId>) -> Result<(), RecoveryError> {
    if files.is_empty() {
        return Ok(());
    }
    disk.perform(DiskOp::Delete { files })
        .map(|_| ())
        .map_err(|error| RecoveryError::Disk {
            action: "delete files that belong to no log".to_owned(),
            error,
        })
}

/// Deletes the directories of topics that the metadata do not know: they were deleted, and a crash came before their files.
fn delete_unknown_topics(
    disk: &mut dyn Disk,
    logs: &BTreeMap<PartitionId, (PartitionLog, Lsn)>,
) -> Result<(), RecoveryError> {
    let listing = |error| RecoveryError::Disk {
        action: "list the topics' directories".to_owned(),
        error,
    };
    let known: BTreeSet<_> = logs.keys().map(|partition| partition.topic).collect();
    for topic in disk.topics().map_err(listing)? {
        if known.contains(&topic) {
            continue;
        }
        for partition in disk.partitions(topic).map_err(listing)? {
            let files = disk.partition_files(partition).map_err(listing)?;
            delete(disk, files.into_iter().map(|(file, _)| file).collect())?;
        }
    }
    Ok(())
}
