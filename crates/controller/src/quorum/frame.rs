//! What the quorum puts into the write-ahead log: a version, a kind and a body. `docs/format.md` lists the bodies.

use bytes::{BufMut, Bytes, BytesMut};

use super::log::{HardState, LogEntry};
use crate::codec::{DecodeError, Reader, put_list};

/// The version of all frames.
const VERSION: u8 = 1;

const VOTERS: u8 = 1;
const HARD_STATE: u8 = 2;
const ENTRY: u8 = 3;

/// Bytes of an entry's frame before the entry's data.
pub(crate) const ENTRY_HEADER_BYTES: usize = 18;

/// One of the quorum's frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum QuorumFrame {
    /// The nodes that vote, by the engine's ids. The first frame of a log.
    Voters(Vec<u64>),
    /// The hard state from here on.
    HardState(HardState),
    /// An entry. It replaces one at its index, and all behind that.
    Entry(LogEntry),
}

/// Why bytes are not one of the quorum's frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// Another release wrote it.
    #[error(
        "a frame of the metadata quorum has kind {kind} in version {version}, which this release does not know: start the release that wrote it, or a newer one"
    )]
    Unknown {
        /// The kind.
        kind: u8,
        /// The version.
        version: u8,
    },
    /// It is damaged.
    #[error("a frame of the metadata quorum cannot be read: {0}")]
    Damaged(#[from] DecodeError),
}

impl QuorumFrame {
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            QuorumFrame::Voters(voters) => {
                out.put_slice(&[VERSION, VOTERS]);
                put_list(&mut out, voters.iter(), |out, id| out.put_u64_le(*id));
            }
            QuorumFrame::HardState(state) => {
                out.put_slice(&[VERSION, HARD_STATE]);
                out.put_u64_le(state.term);
                out.put_u64_le(state.vote);
                out.put_u64_le(state.commit);
            }
            QuorumFrame::Entry(entry) => {
                out.reserve(ENTRY_HEADER_BYTES + entry.data.len());
                out.put_slice(&[VERSION, ENTRY]);
                out.put_u64_le(entry.index);
                out.put_u64_le(entry.term);
                out.put_slice(&entry.data);
            }
        }
        out.freeze()
    }

    pub fn decode(bytes: Bytes) -> Result<QuorumFrame, FrameError> {
        let mut reader = Reader::new(bytes);
        let (version, kind) = (reader.u8()?, reader.u8()?);
        let frame = match (kind, version) {
            (VOTERS, VERSION) => QuorumFrame::Voters(reader.list(8, Reader::u64)?),
            (HARD_STATE, VERSION) => QuorumFrame::HardState(HardState {
                term: reader.u64()?,
                vote: reader.u64()?,
                commit: reader.u64()?,
            }),
            (ENTRY, VERSION) => QuorumFrame::Entry(LogEntry {
                index: reader.u64()?,
                term: reader.u64()?,
                data: reader.rest(),
            }),
            _ => return Err(FrameError::Unknown { kind, version }),
        };
        reader.end()?;
        Ok(frame)
    }
}
