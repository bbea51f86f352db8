//! Brings a data directory back: checkpoint, then WAL, then the files cut back to what these two say.
//!
//! Invariants:
//! - Metadata comes first, and says which partitions exist: frames of others are of deleted topics and are skipped.
//! - A frame is replayed for a log iff its LSN is above the cut of the section that holds the log. Replaying twice gives the same.
//! - Only partitions with replayed frames are looked at on disk, so that the cost follows the WAL and not the data.
//! - A batch that is lost leaves a hole in its log, whose offsets are not given again (D8). Where nobody knows whether a log went
//!   on, it takes no more.
//! - Metadata that are lost end the start: without them deleted topics would come back, and live ones be deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use wiber_model::{Lsn, PartitionId, TimestampMs};

use crate::checkpoint::{Checkpoint, CheckpointError, Section};
use crate::frame::{Frame, FrameKind, Participant};
use crate::identity::Identity;
use crate::io::{Disk, DiskError, DiskOp, FileId, SegmentId};
use crate::log::{LogConfig, PartitionLog, StateError};
use crate::store::ShardSection;
use crate::wal::{self, Damage, Opened, Wal, WalError, WalOptions};

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
    /// Files of segments that are shorter than they should be, or missing.
    pub short: Vec<String>,
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
    /// Metadata that were durable cannot be read.
    #[error(
        "{file} is damaged at byte {position}, where metadata stood (LSN {lsn}): without them it is unknown which topics there are; \
         put the whole data directory back from a copy"
    )]
    MetadataLost {
        /// The path of the extent, within the data directory.
        file: String,
        /// The byte position of the damage.
        position: u64,
        /// Where the metadata stood in the log.
        lsn: Lsn,
    },
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
    let bytes = MetadataBytes::of(checkpoint.as_ref(), &opened)?;
    let (metadata, configs) = fold(bytes).map_err(RecoveryError::Metadata)?;
    let mut report = Report {
        frames: opened.frames.len(),
        damage: opened.damage,
        ..Report::default()
    };
    let mut rebuild = Rebuild::new(checkpoint.as_ref(), configs)?;
    let damage = report.damage.clone();
    let mut damage = damage.iter().peekable();
    for (lsn, frame) in opened.frames {
        while let Some(damage) = damage.next_if(|damage| damage.first < lsn) {
            rebuild.lose(damage);
        }
        rebuild.replay(lsn, frame, now, &mut report);
    }
    damage.for_each(|damage| rebuild.lose(damage));
    report.partitions = rebuild.touched.len();
    delete(disk, std::mem::take(&mut rebuild.doomed))?;
    rebuild.cut_files_back(disk, &mut report)?;
    delete_unknown_topics(disk, &rebuild.logs)?;
    Ok(Recovered {
        wal: opened.wal,
        metadata,
        doomed: std::mem::take(&mut rebuild.doomed),
        logs: rebuild.finish(),
        report,
    })
}

impl MetadataBytes {
    fn of(
        checkpoint: Option<&Checkpoint>,
        opened: &Opened,
    ) -> Result<MetadataBytes, RecoveryError> {
        let section = checkpoint.and_then(|c| {
            c.sections
                .iter()
                .find(|s| s.participant == Participant::CONTROLLER)
        });
        let cut = section.map_or(Lsn::ZERO, |section| section.cut);
        if let Some((damage, lsn)) = lost_metadata(opened, cut) {
            return Err(RecoveryError::MetadataLost {
                file: FileId::Wal(damage.extent).path(),
                position: damage.at,
                lsn,
            });
        }
        let metadata = |(lsn, frame): &(Lsn, Frame)| match frame {
            Frame::Metadata(bytes) if *lsn > cut => Some(bytes.clone()),
            _ => None,
        };
        Ok(MetadataBytes {
            section: section.map(|section| section.bytes.clone()),
            frames: opened.frames.iter().filter_map(metadata).collect(),
        })
    }
}

/// Where metadata above the controller's cut are lost. Groups tell which frame was the last with metadata; an earlier one that is lost
/// leaves a gap, which whoever folds the rest notices.
fn lost_metadata(opened: &Opened, cut: Lsn) -> Option<(Damage, Lsn)> {
    opened.damage.iter().find_map(|damage| {
        let lost = damage.first..Lsn(damage.first.0 + damage.frames);
        let lsn = match damage.header.map(|header| header.kind) {
            Some(FrameKind::Metadata) => Some(damage.first),
            Some(_) => None,
            None => opened
                .metadata
                .iter()
                .find(|lsn| lost.contains(lsn))
                .copied(),
        };
        lsn.filter(|lsn| *lsn > cut)
            .map(|lsn| (damage.clone(), lsn))
    })
}

/// A log in the making.
struct Rebuilt {
    log: PartitionLog,
    /// The cut of the section that holds it.
    cut: Lsn,
    /// The last frame that tells where the log ended when it was written.
    told: Lsn,
}

/// The logs in the making.
struct Rebuild {
    logs: BTreeMap<PartitionId, Rebuilt>,
    touched: BTreeSet<PartitionId>,
    doomed: Vec<FileId>,
    /// The last frame that is lost and may have been of any log.
    unknown: Lsn,
}

impl Rebuild {
    /// The logs as of the checkpoint.
    fn new(
        checkpoint: Option<&Checkpoint>,
        configs: BTreeMap<PartitionId, Arc<LogConfig>>,
    ) -> Result<Rebuild, RecoveryError> {
        let mut logs: BTreeMap<PartitionId, Rebuilt> = BTreeMap::new();
        let mut doomed = Vec::new();
        let sections = checkpoint.iter().flat_map(|checkpoint| {
            let of_shards = |s: &&Section| s.participant != Participant::CONTROLLER;
            let sections = checkpoint.sections.iter().filter(of_shards);
            sections.map(|section| (checkpoint.form, section))
        });
        for (form, section) in sections {
            let decoded = ShardSection::decode(section.bytes.clone(), form)?;
            doomed.extend(decoded.doomed);
            for state in decoded.logs {
                if let Some(config) = configs.get(&state.id) {
                    let id = state.id;
                    let mut log = PartitionLog::restore(state, Arc::clone(config));
                    // Those were dropped after the section was made, if they could not be before: their files may be gone.
                    let dropped = log.drop_segments_below_start();
                    doomed.extend(dropped.into_iter().flat_map(files));
                    logs.insert(id, Rebuilt::new(log, section.cut));
                }
            }
        }
        // A log start that moved after the cut dooms files that the logs, as of the cut, still have.
        let listed: BTreeSet<FileId> = logs
            .values()
            .flat_map(|rebuilt| rebuilt.log.segments())
            .flat_map(|segment| files(segment.id))
            .collect();
        doomed.retain(|file| !listed.contains(file));
        for (id, config) in configs {
            logs.entry(id)
                .or_insert_with(|| Rebuilt::new(PartitionLog::new(id, config), Lsn::ZERO));
        }
        Ok(Rebuild {
            logs,
            touched: BTreeSet::new(),
            doomed,
            unknown: Lsn::ZERO,
        })
    }

    fn replay(&mut self, lsn: Lsn, frame: Frame, now: TimestampMs, report: &mut Report) {
        match frame {
            Frame::Batch { partition, batch } => {
                if let Some(log) = self.log_for(partition, lsn, Tells::End) {
                    report.replayed_bytes += batch.size_bytes() as u64;
                    log.replay(batch, now);
                }
            }
            Frame::Epochs(starts) => {
                for start in starts {
                    if let Some(log) = self.log_for(start.partition, lsn, Tells::End) {
                        log.lose_up_to(start.start);
                        log.begin_epoch(start.epoch, start.start);
                    }
                }
            }
            Frame::LogStart { partition, start } => {
                if let Some(log) = self.log_for(partition, lsn, Tells::Start) {
                    log.lose_up_to(start);
                    log.move_start(start);
                }
            }
            Frame::Metadata(_) => {}
        }
    }

    /// Frames are lost.
    fn lose(&mut self, damage: &Damage) {
        match &damage.header {
            Some(header) if header.kind == FrameKind::Batch => {
                let next = header.offset.plus(i64::from(header.last_offset_delta) + 1);
                if let Some(log) = self.log_for(header.partition, damage.first, Tells::End) {
                    log.lose_up_to(next);
                }
            }
            // Of an epoch that is forgotten its batches tell; one without any is not missed. A log start moves again.
            Some(_) => {}
            None if damage.frames == 0 => {}
            None => self.unknown = Lsn(damage.first.0 + damage.frames - 1),
        }
    }

    /// The log that a frame is for, if it does not hold it already.
    fn log_for(
        &mut self,
        partition: PartitionId,
        lsn: Lsn,
        tells: Tells,
    ) -> Option<&mut PartitionLog> {
        let rebuilt = self.logs.get_mut(&partition)?;
        if lsn <= rebuilt.cut {
            return None;
        }
        if tells == Tells::End {
            rebuilt.told = lsn;
        }
        self.touched.insert(partition);
        Some(&mut rebuilt.log)
    }

    /// Makes the files of the touched partitions what the checkpoint says that they are.
    fn cut_files_back(
        &mut self,
        disk: &mut dyn Disk,
        report: &mut Report,
    ) -> Result<(), RecoveryError> {
        for partition in &self.touched {
            let Some(Rebuilt { log, .. }) = self.logs.get_mut(partition) else {
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
                expected.insert(FileId::Index(segment.id), log.index_file_bytes(segment));
            }
            let last = log.segments().last().map(|segment| segment.id);
            for (file, bytes) in &expected {
                let have = present.get(file).copied().unwrap_or(0);
                if have < *bytes {
                    let path = file.path();
                    let short = format!("{path} has {have} bytes and should have {bytes}");
                    // Reads find out where bytes are missing. Only what is written to must be whole.
                    if last.is_some_and(|last| files(last).contains(file)) {
                        log.mark_damaged(short.clone());
                    }
                    report.short.push(short);
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

    fn finish(self) -> Vec<PartitionLog> {
        let mut logs = Vec::with_capacity(self.logs.len());
        for Rebuilt { mut log, cut, told } in self.logs.into_values() {
            if self.unknown > cut.max(told) {
                log.mark_damaged(format!(
                    "the write-ahead log cannot be read at LSN {}, and may have held batches behind the end of this log; `wiber log \
                     verify` tells more",
                    self.unknown
                ));
            }
            log.advance(log.end());
            logs.push(log);
        }
        logs
    }
}

impl Rebuilt {
    fn new(log: PartitionLog, cut: Lsn) -> Rebuilt {
        Rebuilt {
            log,
            cut,
            told: Lsn::ZERO,
        }
    }
}

/// What a frame tells of the log that it is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// Where it ended.
    End,
    /// Where it starts.
    Start,
}

/// The files of a segment.
fn files(segment: SegmentId) -> [FileId; 2] {
    [FileId::Segment(segment), FileId::Index(segment)]
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
    logs: &BTreeMap<PartitionId, Rebuilt>,
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
