//! The metadata as a disk had them: a checkpoint's section, and the frames behind it.
//!
//! Invariant: in a quorum of one, what is durable is committed. So every entry that came back is folded into the image, those too
//! that the process did not live to publish.

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{DecodeError, Reader, put_list};
use crate::image::{ClusterImage, ImageError, SnapshotError};
use crate::quorum::{
    FrameError, HardState, LogEntry, LogError, LogPosition, QuorumFrame, QuorumLog,
};
use crate::record::{MetadataOffset, MetadataRecord, RecordError};

/// The version of a checkpoint's section.
const SECTION_VERSION: u8 = 1;

/// Recovered metadata.
#[derive(Debug, Default)]
pub struct Recovered {
    pub(crate) image: ClusterImage,
    /// Without entries: all are folded in.
    pub(crate) log: QuorumLog,
}

/// Why metadata cannot be recovered, or not by this node.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecoveredError {
    /// Another release wrote the checkpoint's section.
    #[error(
        "the checkpoint's metadata have version {0}, which this release does not know: start the release that wrote them, or a newer one"
    )]
    SectionVersion(u8),
    /// The checkpoint's section is damaged.
    #[error("the checkpoint's metadata cannot be read: {0}")]
    Section(#[from] DecodeError),
    /// The image in the checkpoint's section is damaged, or another release's.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A frame is damaged, or another release's.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The frames do not follow from each other, or from the section.
    #[error(
        "{0}; the write-ahead log and the checkpoint do not belong together, or a part of them is lost"
    )]
    Log(#[from] LogError),
    /// A record cannot be read.
    #[error("entry {index} of the metadata log: {error}")]
    Record {
        /// The entry.
        index: u64,
        /// What is wrong.
        error: RecordError,
    },
    /// A record does not follow from those before it.
    #[error("entry {index} of the metadata log has a record that does not fit: {error}")]
    Contradiction {
        /// The entry.
        index: u64,
        /// What is wrong.
        error: ImageError,
    },
    /// The metadata are of a quorum that this release cannot take part in.
    #[error("the metadata log has {0} voters, and this release runs a quorum of one")]
    Voters(usize),
    /// The metadata are of another node.
    #[error("the metadata log belongs to node {owner}, not to node {node}")]
    Owner {
        /// Whose it is.
        owner: u64,
        /// Who asks for it.
        node: i32,
    },
    /// A node's id is negative.
    #[error("a node id cannot be negative, and {0} is")]
    NodeId(i32),
}

impl Recovered {
    /// Folds a checkpoint's section and the frames behind it. Without either, the metadata are those of a new cluster.
    ///
    /// # Errors
    /// As [`RecoveredError`] says.
    pub fn new(section: Option<Bytes>, frames: Vec<Bytes>) -> Result<Recovered, RecoveredError> {
        let is_new = section.is_none() && frames.is_empty();
        let mut recovered = match section {
            Some(section) => Recovered::decode_section(section)?,
            None => Recovered::default(),
        };
        for frame in frames {
            recovered.log.replay(QuorumFrame::decode(frame)?)?;
        }
        if !is_new && recovered.log.voters.len() != 1 {
            return Err(RecoveredError::Voters(recovered.log.voters.len()));
        }
        recovered.fold_all()?;
        Ok(recovered)
    }

    /// What is committed.
    #[must_use]
    pub fn image(&self) -> &ClusterImage {
        &self.image
    }

    /// The bytes of a checkpoint's section: the image, and the log behind it.
    pub(crate) fn encode_section(image: &ClusterImage, log: &QuorumLog) -> Bytes {
        assert_eq!(image.offset().0, log.base.index);
        let mut out = BytesMut::new();
        out.put_u8(SECTION_VERSION);
        put_list(&mut out, log.voters.iter(), |out, id| out.put_u64_le(*id));
        out.put_u64_le(log.hard_state.term);
        out.put_u64_le(log.hard_state.vote);
        out.put_u64_le(log.hard_state.commit);
        out.put_u64_le(log.base.term);
        put_sized(&mut out, &image.to_snapshot());
        put_list(&mut out, log.entries(), |out, entry| {
            out.put_u64_le(entry.term);
            put_sized(out, &entry.data);
        });
        out.freeze()
    }

    fn decode_section(bytes: Bytes) -> Result<Recovered, RecoveredError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != SECTION_VERSION {
            return Err(RecoveredError::SectionVersion(version));
        }
        let voters = reader.list(8, Reader::u64)?;
        let hard_state = HardState {
            term: reader.u64()?,
            vote: reader.u64()?,
            commit: reader.u64()?,
        };
        let base_term = reader.u64()?;
        let image = ClusterImage::from_snapshot(reader.sized()?)?;
        let base = LogPosition {
            index: image.offset().0,
            term: base_term,
        };
        // The rest of the hard state comes last: it may commit the entries.
        let mut log = QuorumLog::new(voters, base, hard_state.term);
        let entries = reader.list(12, |reader| Ok((reader.u64()?, reader.sized()?)))?;
        reader.end()?;
        for (term, data) in entries {
            let index = log.last().index + 1;
            log.replay(QuorumFrame::Entry(LogEntry { index, term, data }))?;
        }
        log.replay(QuorumFrame::HardState(hard_state))?;
        Ok(Recovered { image, log })
    }

    fn fold_all(&mut self) -> Result<(), RecoveredError> {
        for entry in self.log.entries() {
            fold(&mut self.image, &entry)?;
        }
        let last = self.log.last().index;
        self.log.hard_state.commit = last;
        self.log.compact(last);
        Ok(())
    }
}

/// Folds an entry into an image. Returns its records.
pub(crate) fn fold(
    image: &mut ClusterImage,
    entry: &LogEntry,
) -> Result<Vec<MetadataRecord>, RecoveredError> {
    let index = entry.index;
    let records = MetadataRecord::decode_all(entry.data.clone())
        .map_err(|error| RecoveredError::Record { index, error })?;
    for record in &records {
        image
            .try_apply(MetadataOffset(index), record)
            .map_err(|error| RecoveredError::Contradiction { index, error })?;
    }
    image.advance(MetadataOffset(index));
    Ok(records)
}

fn put_sized(out: &mut BytesMut, bytes: &Bytes) {
    out.put_u32_le(bytes.len() as u32);
    out.put_slice(bytes);
}
