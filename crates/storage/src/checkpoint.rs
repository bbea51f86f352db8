//! `checkpoint`: the state of every participant as of its cut, and where in the write-ahead log to go on from.
//!
//! Invariant: a checkpoint that was read is exactly one that was written; a damaged one is an error and never "none".

use bytes::{Buf, BufMut, Bytes, BytesMut};
use wiber_model::Lsn;
use wiber_model::batch::crc32c;

use crate::frame::Participant;
use crate::identity::DirectoryId;
use crate::log::StateForm;
use crate::{Disk, DiskError, DiskOp, FileId};

/// The version of the file that this binary writes. It reads the ones before, too.
pub const CHECKPOINT_VERSION: u16 = 2;

/// The largest checkpoint file that is read, in bytes.
pub const CHECKPOINT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

const MAGIC: [u8; 4] = *b"WbrC";
const HEADER_BYTES: usize = 72;
const SECTION_HEADER_BYTES: usize = 24;
const CRC_BYTES: usize = 4;

/// A place in the write-ahead log: where the next group is, and what it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The extent.
    pub extent: u32,
    /// Byte position in it.
    pub at: u64,
    /// The number of the group that is there, or will be.
    pub number: u64,
    /// The LSN of its first frame.
    pub lsn: Lsn,
    /// The checksum of the group before it.
    pub previous: u32,
    /// The opening that wrote the group before it.
    pub opening: u64,
}

/// What one participant gave to a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Whose.
    pub participant: Participant,
    /// The last LSN that the section covers: of this participant's frames, those above it are to be replayed.
    pub cut: Lsn,
    /// The participant's state, opaque here.
    pub bytes: Bytes,
}

/// A checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The form of the logs in it, which its version says.
    pub form: StateForm,
    /// The directory that it belongs to.
    pub directory: DirectoryId,
    /// Counts the checkpoints of a directory, from 1.
    pub id: u64,
    /// Where recovery begins to read the write-ahead log.
    pub position: Position,
    /// The participants' sections.
    pub sections: Vec<Section>,
}

/// Why a checkpoint cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It has a format that this binary does not read.
    #[error(
        "checkpoint: it has format {0}, and this binary reads formats up to {CHECKPOINT_VERSION}; start it with the release \
         that wrote it"
    )]
    Version(u16),
    /// The file is damaged.
    #[error("checkpoint is damaged: {0}")]
    Corrupt(&'static str),
    /// The disk says no.
    #[error("checkpoint: {0}")]
    Disk(DiskError),
}

impl Checkpoint {
    /// The smallest cut: frames at or below it are in every section.
    #[must_use]
    pub fn smallest_cut(&self) -> Lsn {
        self.sections
            .iter()
            .map(|section| section.cut)
            .min()
            .unwrap_or(Lsn::ZERO)
    }

    /// The file, in pieces; the sections' bytes are not copied.
    #[must_use]
    pub fn encode(&self) -> Vec<Bytes> {
        let mut header = BytesMut::with_capacity(HEADER_BYTES + CRC_BYTES);
        header.put_slice(&MAGIC);
        header.put_u16_le(match self.form {
            StateForm::V1 => 1,
            StateForm::V2 => CHECKPOINT_VERSION,
        });
        header.put_u16_le(self.sections.len() as u16);
        header.put_slice(&self.directory.0);
        header.put_u64_le(self.id);
        header.put_u64_le(self.position.number);
        header.put_u64_le(self.position.lsn.0);
        header.put_u64_le(self.position.opening);
        header.put_u64_le(self.position.at);
        header.put_u32_le(self.position.extent);
        header.put_u32_le(self.position.previous);
        // Without their checksums: behind its own checksum no bytes change a checksum any more.
        let mut headers = header.to_vec();
        header.put_u32_le(crc32c(&header));
        let mut pieces = vec![header.freeze()];
        for section in &self.sections {
            let header = section.header();
            headers.extend_from_slice(&header[..SECTION_HEADER_BYTES]);
            pieces.push(header);
            pieces.push(section.bytes.clone());
        }
        pieces.push(Bytes::copy_from_slice(&crc32c(&headers).to_le_bytes()));
        pieces
    }

    /// Reads a whole file; the sections are slices of it.
    ///
    /// # Errors
    /// If it is of another version or damaged.
    pub fn decode(mut file: Bytes) -> Result<Checkpoint, CheckpointError> {
        let mut header = take_checked(&mut file, HEADER_BYTES)?;
        let mut headers = header[..HEADER_BYTES].to_vec();
        if header[..MAGIC.len()] != MAGIC {
            return Err(CheckpointError::Corrupt("it does not begin as one"));
        }
        header.advance(MAGIC.len());
        let version = header.get_u16_le();
        let form = match version {
            1 => StateForm::V1,
            CHECKPOINT_VERSION => StateForm::V2,
            _ => return Err(CheckpointError::Version(version)),
        };
        let section_count = header.get_u16_le();
        let mut directory = [0; 16];
        header.copy_to_slice(&mut directory);
        let id = header.get_u64_le();
        let position = Position {
            number: header.get_u64_le(),
            lsn: Lsn(header.get_u64_le()),
            opening: header.get_u64_le(),
            at: header.get_u64_le(),
            extent: header.get_u32_le(),
            previous: header.get_u32_le(),
        };
        let mut sections = Vec::new();
        for _ in 0..section_count {
            sections.push(Section::take(&mut file, &mut headers)?);
        }
        let footer = take(&mut file, CRC_BYTES)?;
        if footer[..] != crc32c(&headers).to_le_bytes() || !file.is_empty() {
            return Err(CheckpointError::Corrupt("it does not end as it should"));
        }
        Ok(Checkpoint {
            form,
            directory: DirectoryId(directory),
            id,
            position,
            sections,
        })
    }

    /// Reads the newest checkpoint; none if the directory has none.
    ///
    /// # Errors
    /// As [`CheckpointError`] says.
    pub fn read(disk: &mut dyn Disk) -> Result<Option<Checkpoint>, CheckpointError> {
        let file = FileId::Checkpoint;
        let bytes = match disk.size(file) {
            Ok(bytes) => bytes,
            Err(DiskError::NotFound) => return Ok(None),
            Err(error) => return Err(CheckpointError::Disk(error)),
        };
        if bytes > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointError::Corrupt("it is too large to be one"));
        }
        let len = bytes as usize;
        let read = disk.perform(DiskOp::Read { file, at: 0, len });
        Checkpoint::decode(read.map_err(CheckpointError::Disk)?).map(Some)
    }
}

impl Section {
    fn header(&self) -> Bytes {
        let mut header = BytesMut::with_capacity(SECTION_HEADER_BYTES + CRC_BYTES);
        header.put_u16_le(self.participant.0);
        header.put_u16_le(0);
        header.put_u32_le(crc32c(&self.bytes));
        header.put_u64_le(self.cut.0);
        header.put_u64_le(self.bytes.len() as u64);
        header.put_u32_le(crc32c(&header));
        header.freeze()
    }

    fn take(file: &mut Bytes, headers: &mut Vec<u8>) -> Result<Section, CheckpointError> {
        let mut header = take_checked(file, SECTION_HEADER_BYTES)?;
        headers.extend_from_slice(&header[..SECTION_HEADER_BYTES]);
        let participant = Participant(header.get_u16_le());
        header.advance(2);
        let crc = header.get_u32_le();
        let cut = Lsn(header.get_u64_le());
        let len = usize::try_from(header.get_u64_le())
            .map_err(|_| CheckpointError::Corrupt("a section cannot be that long"))?;
        let bytes = take(file, len)?;
        if crc32c(&bytes) != crc {
            return Err(CheckpointError::Corrupt(
                "a section's checksum does not match",
            ));
        }
        Ok(Section {
            participant,
            cut,
            bytes,
        })
    }
}

fn take(file: &mut Bytes, len: usize) -> Result<Bytes, CheckpointError> {
    if len > file.len() {
        return Err(CheckpointError::Corrupt("it is cut off"));
    }
    Ok(file.split_to(len))
}

/// Takes `len` bytes and the checksum behind them; answers both.
fn take_checked(file: &mut Bytes, len: usize) -> Result<Bytes, CheckpointError> {
    let bytes = take(file, len + CRC_BYTES)?;
    if bytes[len..] != crc32c(&bytes[..len]).to_le_bytes() {
        return Err(CheckpointError::Corrupt(
            "a header's checksum does not match",
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        Checkpoint {
            form: StateForm::V2,
            directory: DirectoryId([3; 16]),
            id: 7,
            position: Position {
                extent: 2,
                at: 4096,
                number: 55,
                lsn: Lsn(1000),
                previous: 0xfeed,
                opening: 4,
            },
            sections: vec![
                Section {
                    participant: Participant(0),
                    cut: Lsn(1005),
                    bytes: Bytes::from_static(b"state of the shard"),
                },
                Section {
                    participant: Participant::CONTROLLER,
                    cut: Lsn(1003),
                    bytes: Bytes::new(),
                },
            ],
        }
    }

    fn file(checkpoint: &Checkpoint) -> Vec<u8> {
        checkpoint.encode().concat()
    }

    #[test]
    fn a_checkpoint_reads_back() {
        let none = Checkpoint {
            sections: Vec::new(),
            ..sample()
        };
        let older = Checkpoint {
            form: StateForm::V1,
            ..sample()
        };
        for checkpoint in [sample(), none, older] {
            let decoded = Checkpoint::decode(file(&checkpoint).into());
            assert_eq!(decoded, Ok(checkpoint));
        }
        assert_eq!(sample().smallest_cut(), Lsn(1003));
    }

    #[test]
    fn every_flipped_bit_every_cut_and_everything_behind_is_seen() {
        let good = file(&sample());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Checkpoint::decode(bad.into()).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(Checkpoint::decode(good[..cut].to_vec().into()).is_err());
        }
        let mut longer = good.clone();
        longer.push(0);
        assert!(Checkpoint::decode(longer.into()).is_err());
    }

    #[test]
    fn sections_of_two_checkpoints_do_not_mix() {
        let mut other = sample();
        other.sections[0].cut = Lsn(2000);
        let (one, two) = (file(&sample()), file(&other));
        let mut mixed = one.clone();
        let section = HEADER_BYTES + CRC_BYTES..HEADER_BYTES + 2 * CRC_BYTES + SECTION_HEADER_BYTES;
        mixed[section.clone()].copy_from_slice(&two[section]);
        assert!(Checkpoint::decode(mixed.into()).is_err());
    }
}
