//! Looks through a data directory and changes nothing: what is in it, and whether it is what was written.
//!
//! It may be done while a broker runs: what a checkpoint makes obsolete meanwhile (recycled extents, deleted files) is no
//! damage, and is looked at again. A checkpoint lists the logs as of its cut: files of a topic that the WAL deletes, or below
//! a log start that it moves, may be gone, and whoever recovers the directory does not miss them.

use std::collections::BTreeMap;

use wiber_controller::{ClusterImage, Recovered};
use wiber_model::{Batch, BatchError, Lsn, Offset, PartitionId};
use wiber_storage::checkpoint::CheckpointError;
use wiber_storage::frame::FrameKind;
use wiber_storage::log::{Gap, INDEX_ENTRY_BYTES, IndexEntry, Item, LogState, Segment};
use wiber_storage::store::ShardSection;
use wiber_storage::wal::{Damage, GroupHeader, Scan};
use wiber_storage::{
    Checkpoint, Disk, DiskError, DiskOp, FileId, Identity, IdentityError, Participant, WalError,
};

pub use wiber_storage::Frame;

/// Segments are read in pieces of this many bytes, or of a batch that is larger.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// How often a directory is looked at that changes while it is.
const TRIES: usize = 5;

/// How far to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// Checkpoint, WAL, and what the segments should be.
    Outline,
    /// The same, with each batch of each segment.
    Batches,
}

/// Something that is in a data directory.
#[derive(Debug)]
pub enum Found<'a> {
    /// Whose directory it is.
    Identity(&'a Identity),
    /// The newest checkpoint.
    Checkpoint(&'a Checkpoint),
    /// A group of the WAL.
    Group {
        /// Its extent.
        extent: u32,
        /// Its byte position there.
        at: u64,
        /// Its header, if that is whole.
        header: Option<&'a GroupHeader>,
    },
    /// A frame of the group before.
    Frame {
        /// Its LSN.
        lsn: Lsn,
        /// Who appended it.
        participant: Participant,
        /// Itself.
        frame: &'a Frame,
    },
    /// A log, as the checkpoint has it.
    Log {
        /// Its topic's name; none if the topic was deleted since.
        topic: Option<&'a str>,
        /// The state.
        state: &'a LogState,
    },
    /// A segment of the log before.
    Segment(&'a Segment),
    /// A batch of the segment before.
    Batch {
        /// Its byte position.
        position: u64,
        /// Itself.
        batch: &'a Batch,
    },
    /// Batches were removed from the segment before, by compaction.
    Gap {
        /// The byte position of their mark.
        position: u64,
        /// Their offsets.
        gap: Gap,
    },
    /// Something is wrong.
    Problem(&'a Problem),
}

/// Something that is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The file, as a path within the data directory.
    pub file: String,
    /// The byte position.
    pub position: u64,
    /// What is wrong, and what it means.
    pub what: String,
}

/// What an inspection came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Groups of the WAL behind the checkpoint.
    pub groups: u64,
    /// Frames in them.
    pub frames: u64,
    /// Logs in the checkpoint.
    pub logs: u64,
    /// Segments in it.
    pub segments: u64,
    /// Bytes of segments that were read.
    pub bytes_read: u64,
    /// Batches that were read.
    pub batches: u64,
    /// All that is wrong.
    pub problems: Vec<Problem>,
}

/// Why a directory cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It is no data directory.
    #[error(
        "there is no wiber.format here: this is no data directory of Wiber; name one with --data-dir"
    )]
    NoDirectory,
    /// Its identity cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its checkpoint is of another format.
    #[error(transparent)]
    Checkpoint(CheckpointError),
    /// Its WAL cannot be read.
    #[error(transparent)]
    Wal(#[from] WalError),
}

/// Looks through a directory, and tells `tell` what it finds, in order.
///
/// # Errors
/// If it is none, or of another format. Damage is no error: it is in the summary.
pub fn inspect(
    disk: &mut dyn Disk,
    depth: Depth,
    tell: &mut dyn FnMut(Found<'_>),
) -> Result<Summary, InspectError> {
    let identity = Identity::read(disk)?.ok_or(InspectError::NoDirectory)?;
    tell(Found::Identity(&identity));
    let mut inspection = Inspection {
        disk,
        identity: &identity,
        depth,
        tell,
        summary: Summary::default(),
        missing: Vec::new(),
    };
    let (checkpoint, groups, damage) = inspection.checkpoint_and_wal()?;
    let since = Since::of(checkpoint.as_ref(), &groups);
    inspection.groups(groups, damage);
    if let Err(error) = &since.image {
        inspection.problem(FileId::Checkpoint, 0, format!("metadata: {error}"));
    }
    if let Some(checkpoint) = &checkpoint {
        inspection.logs(checkpoint, &since);
        inspection.tell_missing(checkpoint);
    }
    Ok(inspection.summary)
}

struct Inspection<'a> {
    disk: &'a mut dyn Disk,
    identity: &'a Identity,
    depth: Depth,
    tell: &'a mut dyn FnMut(Found<'_>),
    summary: Summary,
    /// Segments of which a file is missing, each with the log's start and what is wrong. A broker that runs may have deleted them, so they
    /// are told last.
    missing: Vec<(Segment, Offset, Wrong)>,
}

/// What is wrong with a file, and at which byte.
type Wrong = (FileId, u64, String);

/// What the WAL says of the logs that the checkpoint lists.
struct Since {
    /// The metadata, or why they cannot be read.
    image: Result<ClusterImage, String>,
    /// Where logs start whose start was moved.
    starts: BTreeMap<PartitionId, Offset>,
}

impl Since {
    fn of(checkpoint: Option<&Checkpoint>, groups: &[Group]) -> Since {
        let section = checkpoint.and_then(|c| {
            c.sections
                .iter()
                .find(|s| s.participant == Participant::CONTROLLER)
        });
        let cut = section.map_or(Lsn::ZERO, |section| section.cut);
        let (mut metadata, mut starts) = (Vec::new(), BTreeMap::new());
        for (lsn, _, frame) in groups.iter().flat_map(|(.., frames)| frames) {
            match frame {
                Frame::Metadata(bytes) if *lsn > cut => metadata.push(bytes.clone()),
                Frame::LogStart { partition, start } => {
                    let latest = starts.entry(*partition).or_insert(*start);
                    *latest = (*latest).max(*start);
                }
                _ => {}
            }
        }
        let recovered = Recovered::new(section.map(|section| section.bytes.clone()), metadata);
        Since {
            image: recovered
                .map(|recovered| recovered.image().clone())
                .map_err(|error| error.to_string()),
            starts,
        }
    }

    fn topic(&self, id: PartitionId) -> Option<&str> {
        let topic = self.image.as_ref().ok()?.topic_by_id(id.topic)?;
        Some(topic.name.as_str())
    }

    /// Whether the topic was deleted.
    fn deletes(&self, id: PartitionId) -> bool {
        self.image.is_ok() && self.topic(id).is_none()
    }

    /// Whether nobody misses a segment of a log that started at `start`.
    fn drops(&self, segment: &Segment, start: Offset) -> bool {
        let id = segment.id.partition;
        let start = self
            .starts
            .get(&id)
            .map_or(start, |since| start.max(*since));
        segment.next_offset <= start || self.deletes(id)
    }
}

/// A group as it is kept until the WAL was read through.
type Group = (
    u32,
    u64,
    Option<GroupHeader>,
    Vec<(Lsn, Participant, Frame)>,
);

type CheckpointAndWal = (Option<Checkpoint>, Vec<Group>, Vec<Damage>);

impl Inspection<'_> {
    fn problem(&mut self, file: FileId, position: u64, what: String) {
        let problem = Problem {
            file: file.path(),
            position,
            what,
        };
        (self.tell)(Found::Problem(&problem));
        self.summary.problems.push(problem);
    }

    /// The newest checkpoint and the WAL behind it, which belong together.
    fn checkpoint_and_wal(&mut self) -> Result<CheckpointAndWal, InspectError> {
        for tries in 1.. {
            let checkpoint = match Checkpoint::read(self.disk) {
                Ok(checkpoint) => checkpoint,
                Err(error @ CheckpointError::Version(_)) => {
                    return Err(InspectError::Checkpoint(error));
                }
                Err(error) => {
                    let what = format!(
                        "{error}; a broker does not start with it, and nothing else can be told from here"
                    );
                    self.problem(FileId::Checkpoint, 0, what);
                    return Ok((None, Vec::new(), Vec::new()));
                }
            };
            let (groups, damage) = read_wal(self.disk, self.identity, checkpoint.as_ref())?;
            // Extents that a newer checkpoint frees are written over while they are read.
            if damage.is_empty() || tries == TRIES || !self.moved_on(checkpoint.as_ref()) {
                if let Some(checkpoint) = &checkpoint {
                    (self.tell)(Found::Checkpoint(checkpoint));
                }
                return Ok((checkpoint, groups, damage));
            }
        }
        unreachable!("the last try returns")
    }

    /// Tells of the groups.
    fn groups(&mut self, groups: Vec<Group>, damage: Vec<Damage>) {
        for (extent, at, header, frames) in groups {
            self.summary.groups += 1;
            self.summary.frames += frames.len() as u64;
            (self.tell)(Found::Group {
                extent,
                at,
                header: header.as_ref(),
            });
            for (lsn, participant, frame) in frames {
                (self.tell)(Found::Frame {
                    lsn,
                    participant,
                    frame: &frame,
                });
            }
        }
        for damage in damage {
            let what = format!(
                "{} frames from LSN {} on cannot be read although they were durable: {}",
                damage.frames,
                damage.first,
                lost(&damage)
            );
            self.problem(FileId::Wal(damage.extent), damage.at, what);
        }
    }

    /// Whether a newer checkpoint has taken the place of this one.
    fn moved_on(&mut self, checkpoint: Option<&Checkpoint>) -> bool {
        let id = |checkpoint: Option<&Checkpoint>| checkpoint.map_or(0, |checkpoint| checkpoint.id);
        Checkpoint::read(self.disk).is_ok_and(|now| id(now.as_ref()) != id(checkpoint))
    }

    fn logs(&mut self, checkpoint: &Checkpoint, since: &Since) {
        for section in &checkpoint.sections {
            if section.participant == Participant::CONTROLLER {
                continue;
            }
            match ShardSection::decode(section.bytes.clone(), checkpoint.form) {
                Ok(decoded) => {
                    for state in decoded.logs {
                        self.log(checkpoint, &state, since);
                    }
                }
                Err(error) => self.problem(
                    FileId::Checkpoint,
                    0,
                    format!("{}: {error}", section.participant),
                ),
            }
        }
    }

    fn log(&mut self, checkpoint: &Checkpoint, state: &LogState, since: &Since) {
        self.summary.logs += 1;
        let topic = since.topic(state.id);
        (self.tell)(Found::Log { topic, state });
        if !since.deletes(state.id) {
            let name = partition_name(topic, state.id);
            for (from, to) in state.holes.entries() {
                let what =
                    format!("{name}: the records from offset {from} to before {to} are lost");
                self.problem(FileId::Checkpoint, 0, what);
            }
            if let Some(damage) = &state.damage {
                let what = format!("{name} takes no more: {damage}");
                self.problem(FileId::Checkpoint, 0, what);
            }
        }
        for segment in &state.segments {
            self.summary.segments += 1;
            (self.tell)(Found::Segment(segment));
            if since.drops(segment, state.start) {
                continue;
            }
            let result = match self.depth {
                Depth::Outline => self.check_size(state, segment),
                Depth::Batches => self
                    .check_batches(segment)
                    .and_then(|starts| self.check_index(state, segment, &starts)),
            };
            let Err(wrong) = result else { continue };
            if matches!(self.disk.size(wrong.0), Err(DiskError::NotFound)) {
                self.missing.push((*segment, state.start, wrong));
            } else if !self.moved_on(Some(checkpoint)) {
                self.problem(wrong.0, wrong.1, wrong.2);
            }
        }
    }

    /// Tells of the files that are missing and that no broker has deleted while the others were looked at.
    fn tell_missing(&mut self, checkpoint: &Checkpoint) {
        let missing = std::mem::take(&mut self.missing);
        if missing.is_empty() {
            return;
        }
        let groups = read_wal(self.disk, self.identity, Some(checkpoint));
        let since = groups.map(|(groups, _)| Since::of(Some(checkpoint), &groups));
        // The extents that were just read may be another checkpoint's.
        if self.moved_on(Some(checkpoint)) {
            return;
        }
        for (segment, start, (file, position, what)) in missing {
            if !since
                .as_ref()
                .is_ok_and(|since| since.drops(&segment, start))
            {
                self.problem(file, position, what);
            }
        }
    }

    fn check_size(&mut self, state: &LogState, segment: &Segment) -> Result<(), Wrong> {
        for (file, bytes) in [
            (FileId::Segment(segment.id), segment.bytes),
            (FileId::Index(segment.id), state.index_file_bytes(segment)),
        ] {
            let have = if bytes == 0 {
                Ok(0)
            } else {
                self.disk.size(file)
            };
            match have {
                Ok(have) if have >= bytes => {}
                Ok(have) => {
                    return Err((
                        file,
                        have,
                        format!("it has {have} bytes and should have {bytes}"),
                    ));
                }
                Err(error) => return Err((file, 0, read_error(&error))),
            }
        }
        Ok(())
    }

    /// Reads every batch. Returns where each starts.
    fn check_batches(&mut self, segment: &Segment) -> Result<BTreeMap<u64, Offset>, Wrong> {
        let file = FileId::Segment(segment.id);
        let mut starts = BTreeMap::new();
        let mut position = 0;
        let mut next = segment.id.base;
        let mut len = PIECE_BYTES;
        while position < segment.bytes {
            let wanted = (len as u64).min(segment.bytes - position) as usize;
            let read = DiskOp::Read {
                file,
                at: position,
                len: wanted,
            };
            let mut piece = self
                .disk
                .perform(read)
                .map_err(|error| (file, position, read_error(&error)))?;
            let nothing_more = piece.len() < wanted || position + wanted as u64 == segment.bytes;
            let begin = position;
            loop {
                let item = match Item::split_from(&mut piece) {
                    Ok(item) => item,
                    Err(BatchError::Truncated { needed, .. }) => {
                        len = PIECE_BYTES.max(needed);
                        break;
                    }
                    Err(error) => return Err((file, position, error.to_string())),
                };
                if let Item::Batch(batch) = &item {
                    batch
                        .check_crc()
                        .map_err(|error| (file, position, error.to_string()))?;
                }
                if item.base_offset() != next {
                    let offset = item.base_offset();
                    let what = format!("offset {offset} is where offset {next} should be");
                    return Err((file, position, what));
                }
                next = item.next_offset();
                let at = position;
                position += item.size_bytes() as u64;
                self.summary.bytes_read += item.size_bytes() as u64;
                match item {
                    Item::Batch(batch) => {
                        starts.insert(at, batch.base_offset());
                        self.summary.batches += 1;
                        (self.tell)(Found::Batch {
                            position: at,
                            batch: &batch,
                        });
                    }
                    Item::Gap(gap) => (self.tell)(Found::Gap { position: at, gap }),
                }
            }
            if position == begin && nothing_more {
                let what = format!(
                    "the segment ends in the middle of a batch, and should have {} bytes",
                    segment.bytes
                );
                return Err((file, position, what));
            }
        }
        if next != segment.next_offset {
            let what = format!(
                "the last offset is before {next}, and should be before {}",
                segment.next_offset
            );
            return Err((file, position, what));
        }
        Ok(starts)
    }

    /// Checks the entries of a segment's index, in its file and, of the last segment, in the checkpoint.
    fn check_index(
        &mut self,
        state: &LogState,
        segment: &Segment,
        starts: &BTreeMap<u64, Offset>,
    ) -> Result<(), Wrong> {
        let leads = |entry: &IndexEntry| {
            let offset = segment.id.base.plus(i64::from(entry.relative_offset));
            if starts.get(&u64::from(entry.position)) == Some(&offset) {
                return Ok(());
            }
            Err(format!(
                "an index entry says that offset {offset} of {} starts at byte {}, and it does not",
                FileId::Segment(segment.id).path(),
                entry.position
            ))
        };
        if state
            .segments
            .last()
            .is_some_and(|last| last.id == segment.id)
        {
            let wrong = |what| (FileId::Checkpoint, 0, what);
            state.index_tail.iter().try_for_each(leads).map_err(wrong)?;
        }
        let file_bytes = state.index_file_bytes(segment);
        if file_bytes == 0 {
            return Ok(());
        }
        let file = FileId::Index(segment.id);
        let read = DiskOp::Read {
            file,
            at: 0,
            len: file_bytes as usize,
        };
        let bytes = self
            .disk
            .perform(read)
            .map_err(|error| (file, 0, read_error(&error)))?;
        if (bytes.len() as u64) < file_bytes {
            let what = format!("it has {} bytes and should have {file_bytes}", bytes.len());
            return Err((file, bytes.len() as u64, what));
        }
        let (entries, _) = bytes.as_chunks();
        for (i, entry) in entries.iter().enumerate() {
            let at = (i * INDEX_ENTRY_BYTES) as u64;
            let Some(entry) = IndexEntry::get(entry) else {
                return Err((file, at, format!("entry {i} does not have its checksum")));
            };
            leads(&entry).map_err(|what| (file, at, what))?;
        }
        Ok(())
    }
}

fn read_error(error: &DiskError) -> String {
    match error {
        DiskError::NotFound => "the file is missing".to_owned(),
        error => error.to_string(),
    }
}

/// What is lost with frames, as far as can be told.
fn lost(damage: &Damage) -> String {
    match &damage.header {
        Some(header) if header.kind == FrameKind::Batch => {
            let (from, last) = (header.offset, header.last_offset_delta);
            let to = from.plus(i64::from(last) + 1);
            let partition = header.partition;
            format!("the records of {partition} from offset {from} to before {to}")
        }
        Some(header) if header.kind == FrameKind::Metadata => {
            "metadata, without which no broker starts".to_owned()
        }
        Some(header) => format!("a frame of kind {:?}", header.kind),
        None if damage.frames == 0 => "nothing else is lost".to_owned(),
        None => "whose they were is unknown; a log that may have ended with them takes no more"
            .to_owned(),
    }
}

fn read_wal(
    disk: &mut dyn Disk,
    identity: &Identity,
    checkpoint: Option<&Checkpoint>,
) -> Result<(Vec<Group>, Vec<Damage>), WalError> {
    let mut scan = Scan::new(disk, identity, checkpoint)?;
    let (mut groups, mut damage) = (Vec::new(), Vec::new());
    while let Some(group) = scan.next_group()? {
        damage.extend(group.damage);
        let frames = group
            .frames
            .into_iter()
            .map(|(lsn, header, frame)| (lsn, header.participant, frame));
        groups.push((group.extent, group.at, group.header, frames.collect()));
    }
    Ok((groups, damage))
}

/// The name of a partition, for people.
#[must_use]
pub fn partition_name(topic: Option<&str>, id: PartitionId) -> String {
    match topic {
        Some(topic) => format!("{topic}-{}", id.partition),
        None => id.to_string(),
    }
}
