//! The controller: commands in, records committed by the quorum, answers out.
//!
//! Invariants:
//! - `ahead` is the image with every proposal folded in; a command is checked against it, so that two under way cannot collide.
//! - A command is answered after the entry that holds its records was published.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use wiber_model::{BrokerId, Rng};

use crate::command::{Command, CommandError, CommandResult, carry_out};
use crate::image::ClusterImage;
use crate::quorum::{FrameError, LogEntry, Quorum, QuorumFrame, QuorumLog, Vote};
use crate::record::{MetadataOffset, MetadataRecord, RecordError};

/// The version of a checkpoint's section.
const SECTION_VERSION: u16 = 1;

/// What happens to the controller.
#[derive(Debug)]
pub enum ControllerEvent {
    /// A change is asked for.
    Command {
        /// Comes back with the answer.
        id: u64,
        /// The change.
        command: Command,
    },
    /// So many of the controller's frames, counted from the start, are durable.
    Durable {
        /// How many.
        frames: u64,
    },
}

/// What the controller wants.
#[derive(Debug)]
pub enum ControllerEffect {
    /// Frames for the WAL.
    Append(Vec<Bytes>),
    /// Records are committed.
    Publish {
        /// The offset of their entry.
        offset: MetadataOffset,
        /// In order.
        records: Arc<[MetadataRecord]>,
    },
    /// Answers a command, after its records were published.
    Reply {
        /// As the command had it.
        id: u64,
        /// The answer.
        result: Result<CommandResult, CommandError>,
    },
    /// The metadata cannot be trusted.
    Fatal(String),
}

/// Why metadata cannot be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoveredError {
    /// The checkpoint's section is of another format.
    #[error("the checkpoint's metadata have format {0}, which this release does not read")]
    Version(u16),
    /// The checkpoint's section ends in the middle.
    #[error("the checkpoint's metadata are cut short")]
    Short,
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A frame cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Entries are missing.
    #[error(
        "entries of the metadata log are missing before entry {0}: the write-ahead log and the checkpoint do not belong together, or one of them was lost"
    )]
    Gap(u64),
}

impl From<bytes::TryGetError> for RecoveredError {
    fn from(_: bytes::TryGetError) -> RecoveredError {
        RecoveredError::Short
    }
}

/// The metadata as a disk had them.
#[derive(Debug)]
pub struct Recovered {
    image: ClusterImage,
    log: QuorumLog,
}

impl Recovered {
    /// Folds a checkpoint's section and the frames behind it.
    ///
    /// # Errors
    /// As [`RecoveredError`] says.
    pub fn new(section: Option<Bytes>, frames: Vec<Bytes>) -> Result<Recovered, RecoveredError> {
        let (mut image, mut log) = match section {
            Some(section) => decode_section(section)?,
            None => (ClusterImage::default(), QuorumLog::default()),
        };
        for frame in frames {
            let frame = QuorumFrame::decode(frame)?;
            let index = match &frame {
                QuorumFrame::Entry(entry) => entry.index,
                QuorumFrame::Vote(_) => 0,
            };
            // The engine's log starts behind entry 1.
            if log.snapshot_index == 0 {
                log.snapshot_index = 1;
                log.snapshot_term = 1;
            }
            if !log.replay(frame) {
                return Err(RecoveredError::Gap(index));
            }
        }
        let committed = log.vote.commit;
        for entry in log.entries.iter().filter(|entry| entry.index <= committed) {
            apply(&mut image, entry)?;
        }
        Ok(Recovered { image, log })
    }

    /// The image as of the last entry that is known to be committed.
    #[must_use]
    pub fn image(&self) -> &ClusterImage {
        &self.image
    }
}

/// The controller of a quorum of one.
#[derive(Debug)]
pub struct Controller {
    quorum: Quorum,
    image: ClusterImage,
    ahead: ClusterImage,
    rng: Rng,
    replies: VecDeque<(u64, u64, CommandResult)>,
}

impl Controller {
    /// The controller of `node` over recovered metadata.
    ///
    /// # Errors
    /// In words, if the quorum's log makes no sense.
    pub fn new(node: BrokerId, rng: Rng, recovered: Recovered) -> Result<Controller, String> {
        let Recovered { image, log } = recovered;
        let quorum = Quorum::new(node, &log, image.offset().0)?;
        let mut ahead = image.clone();
        // What is durable and not known to be committed will be: this is a quorum of one.
        for entry in log
            .entries
            .iter()
            .filter(|entry| entry.index > image.offset().0)
        {
            apply(&mut ahead, entry).map_err(|error| error.to_string())?;
        }
        Ok(Controller {
            quorum,
            image,
            ahead,
            rng,
            replies: VecDeque::new(),
        })
    }

    /// What is committed.
    #[must_use]
    pub fn image(&self) -> &ClusterImage {
        &self.image
    }

    /// Takes one event.
    pub fn step(&mut self, event: ControllerEvent, fx: &mut Vec<ControllerEffect>) {
        match event {
            ControllerEvent::Command { id, command } => self.command(id, command, fx),
            ControllerEvent::Durable { frames } => self.quorum.durable(frames),
        }
        self.settle(fx);
    }

    /// What a checkpoint keeps of the metadata.
    #[must_use]
    pub fn checkpoint_section(&self) -> Bytes {
        let log = self.quorum.log();
        let mut out = BytesMut::new();
        out.put_u16(SECTION_VERSION);
        out.put_u64(log.snapshot_index);
        out.put_u64(log.snapshot_term);
        out.put_u64(log.vote.term);
        out.put_u64(log.vote.vote);
        out.put_u64(log.vote.commit);
        let records = self.image.to_records();
        out.put_u32(records.len() as u32);
        for (offset, record) in records {
            out.put_u64(offset.0);
            record.put(&mut out);
        }
        out.put_u32(log.entries.len() as u32);
        for entry in log.entries {
            out.put_u64(entry.index);
            out.put_u64(entry.term);
            out.put_u32(entry.data.len() as u32);
            out.put_slice(&entry.data);
        }
        out.freeze()
    }

    /// A checkpoint whose section was taken at `offset` is durable: the entries that it stands for can be forgotten.
    pub fn checkpointed(&mut self, offset: MetadataOffset) {
        self.quorum.compact(offset.0);
    }

    /// Checks the image's invariants.
    ///
    /// # Panics
    /// If one does not hold: a bug.
    pub fn validate(&self) {
        self.image.validate();
        self.ahead.validate();
        assert!(self.image.offset() <= self.ahead.offset());
    }

    fn command(&mut self, id: u64, command: Command, fx: &mut Vec<ControllerEffect>) {
        let (records, result) = carry_out(&self.ahead, command, &mut self.rng);
        if records.is_empty() && self.replies.is_empty() {
            fx.push(ControllerEffect::Reply {
                id,
                result: Ok(result),
            });
            return;
        }
        // A command that changes nothing still waits for those before it: it was checked against what they do.
        if records.is_empty() {
            let index = self.ahead.offset().0;
            self.replies.push_back((index, id, result));
            return;
        }
        match self.quorum.propose(&MetadataRecord::encode_all(&records)) {
            Ok(index) => {
                for record in &records {
                    self.ahead.apply(MetadataOffset(index), record);
                }
                self.replies.push_back((index, id, result));
            }
            Err(reason) => fx.push(ControllerEffect::Fatal(format!(
                "the metadata quorum takes no proposal: {reason}"
            ))),
        }
    }

    fn settle(&mut self, fx: &mut Vec<ControllerEffect>) {
        let progress = self.quorum.progress();
        if !progress.frames.is_empty() {
            fx.push(ControllerEffect::Append(progress.frames));
        }
        for entry in progress.committed {
            match apply(&mut self.image, &entry) {
                Ok(records) if records.is_empty() => {}
                Ok(records) => fx.push(ControllerEffect::Publish {
                    offset: MetadataOffset(entry.index),
                    records: records.into(),
                }),
                Err(error) => fx.push(ControllerEffect::Fatal(error.to_string())),
            }
        }
        let committed = self.image.offset().0;
        while let Some((_, id, result)) = self.replies.pop_front_if(|reply| reply.0 <= committed) {
            fx.push(ControllerEffect::Reply {
                id,
                result: Ok(result),
            });
        }
    }
}

fn apply(image: &mut ClusterImage, entry: &LogEntry) -> Result<Vec<MetadataRecord>, RecordError> {
    let offset = MetadataOffset(entry.index);
    let records = MetadataRecord::decode_all(entry.data.clone())?;
    for record in &records {
        image.apply(offset, record);
    }
    image.advance(offset);
    Ok(records)
}

fn decode_section(mut bytes: Bytes) -> Result<(ClusterImage, QuorumLog), RecoveredError> {
    let version = bytes.try_get_u16()?;
    if version != SECTION_VERSION {
        return Err(RecoveredError::Version(version));
    }
    let mut log = QuorumLog {
        snapshot_index: bytes.try_get_u64()?,
        snapshot_term: bytes.try_get_u64()?,
        entries: Vec::new(),
        vote: Vote {
            term: bytes.try_get_u64()?,
            vote: bytes.try_get_u64()?,
            commit: bytes.try_get_u64()?,
        },
    };
    let mut image = ClusterImage::default();
    for _ in 0..bytes.try_get_u32()? {
        let offset = MetadataOffset(bytes.try_get_u64()?);
        let record = MetadataRecord::get(&mut bytes)?;
        image.apply(offset, &record);
    }
    image.advance(MetadataOffset(log.snapshot_index));
    for _ in 0..bytes.try_get_u32()? {
        let (index, term) = (bytes.try_get_u64()?, bytes.try_get_u64()?);
        let len = bytes.try_get_u32()? as usize;
        if len > bytes.len() {
            return Err(RecoveredError::Short);
        }
        let data = bytes.split_to(len);
        log.entries.push(LogEntry { index, term, data });
    }
    Ok((image, log))
}
