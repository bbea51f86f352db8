//! `wiber.format`: which format a data directory has, and whose it is.
//!
//! A few lines of text, for people to read and for nobody to edit: the last line is a checksum. For a changed directory id
//! would make the whole log look like another directory's.

use std::fmt;

use bytes::Bytes;
use wiber_model::batch::crc32c;
use wiber_model::{BrokerId, TopicId};

use crate::{Disk, DiskError, DiskOp, FileId};

/// The format of the directory that this binary writes, and the only one that it reads.
pub const FORMAT_VERSION: u16 = 1;

/// The longest cluster id, in bytes.
pub const CLUSTER_ID_BYTES_MAX: usize = 64;

/// The largest identity file that is read, in bytes.
const IDENTITY_BYTES_MAX: usize = 4096;

/// The 128-bit random id of a data directory: one that was emptied and made again has another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DirectoryId(pub [u8; 16]);

/// In Kafka's notation, as that of a topic id.
impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&TopicId(self.0), f)
    }
}

/// What `wiber.format` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster that the directory belongs to: letters, digits, `-` and `_`, at most [`CLUSTER_ID_BYTES_MAX`].
    pub cluster_id: String,
    /// The directory's own id.
    pub directory: DirectoryId,
    /// The node that owns it.
    pub node_id: BrokerId,
}

/// Why a directory's identity cannot be read or written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentityError {
    /// The directory has another format.
    #[error(
        "wiber.format: the directory has format {0}, and this binary reads format {FORMAT_VERSION} only; start it with the \
         release that wrote it, or use another directory"
    )]
    Version(String),
    /// The file is damaged or was edited.
    #[error("wiber.format is damaged or was edited; put the original back")]
    Corrupt,
    /// A cluster id of this form is not taken.
    #[error(
        "a cluster id has 1 to {CLUSTER_ID_BYTES_MAX} letters, digits, '-' and '_', and \"{0}\" has not"
    )]
    ClusterId(String),
    /// The disk says no.
    #[error("wiber.format: {0}")]
    Disk(#[from] DiskError),
}

impl Identity {
    /// Reads the identity; none if the directory has none.
    ///
    /// # Errors
    /// As [`IdentityError`] says.
    pub fn read(disk: &mut dyn Disk) -> Result<Option<Identity>, IdentityError> {
        let bytes = disk.perform(DiskOp::Read {
            file: FileId::Identity,
            at: 0,
            len: IDENTITY_BYTES_MAX,
        });
        match bytes {
            Ok(bytes) => Identity::decode(&bytes).map(Some),
            Err(DiskError::NotFound) => Ok(None),
            Err(error) => Err(IdentityError::Disk(error)),
        }
    }

    /// Writes the identity of a new directory, durably.
    ///
    /// # Errors
    /// If the cluster id is not of the right form, or the disk says no.
    pub fn write(&self, disk: &mut dyn Disk) -> Result<(), IdentityError> {
        if !is_cluster_id(&self.cluster_id) {
            return Err(IdentityError::ClusterId(self.cluster_id.clone()));
        }
        let (draft, file) = (FileId::IdentityDraft, FileId::Identity);
        let data = vec![Bytes::from(self.encode())];
        let ops = [
            // A draft of an earlier try may be longer.
            DiskOp::Delete { files: vec![draft] },
            DiskOp::Write {
                file: draft,
                at: 0,
                data,
            },
            DiskOp::Sync { files: vec![draft] },
            DiskOp::Rename {
                from: draft,
                to: file,
            },
            DiskOp::SyncDirectories { files: vec![file] },
        ];
        for op in ops {
            disk.perform(op)?;
        }
        Ok(())
    }

    /// The text of the file.
    fn encode(&self) -> String {
        let Identity {
            cluster_id,
            directory,
            node_id,
        } = self;
        let text = format!(
            "# The identity of a Wiber data directory. Do not edit.\n\
             format = {FORMAT_VERSION}\n\
             cluster = \"{cluster_id}\"\n\
             directory = \"{directory}\"\n\
             node = {node_id}\n"
        );
        let checksum = crc32c(text.as_bytes());
        format!("{text}checksum = \"{checksum:08x}\"\n")
    }

    fn decode(bytes: &[u8]) -> Result<Identity, IdentityError> {
        let text = std::str::from_utf8(bytes).map_err(|_| IdentityError::Corrupt)?;
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
            lines.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        let format = value("format").ok_or(IdentityError::Corrupt)?;
        if format.parse() != Ok(FORMAT_VERSION) {
            return Err(IdentityError::Version(format.to_owned()));
        }
        let quoted = |key| value(key).and_then(|it| it.strip_prefix('"')?.strip_suffix('"'));
        let identity = || {
            Some(Identity {
                cluster_id: quoted("cluster")?.to_owned(),
                directory: DirectoryId(quoted("directory")?.parse::<TopicId>().ok()?.0),
                node_id: BrokerId(value("node")?.parse().ok()?),
            })
        };
        // The file is what this identity's would be, to the byte; so nothing else in it needs a look.
        identity()
            .filter(|identity| is_cluster_id(&identity.cluster_id) && identity.encode() == text)
            .ok_or(IdentityError::Corrupt)
    }
}

fn is_cluster_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=CLUSTER_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Identity {
        Identity {
            cluster_id: "Zk3f_0aQRz-W2kPq7yX1Ag".to_owned(),
            directory: DirectoryId([0xa7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]),
            node_id: BrokerId(1),
        }
    }

    #[test]
    fn an_identity_reads_back() {
        let text = sample().encode();
        assert_eq!(Identity::decode(text.as_bytes()), Ok(sample()));
        for id in [[0; 16], [0xff; 16]] {
            let identity = Identity {
                directory: DirectoryId(id),
                ..sample()
            };
            assert_eq!(Identity::decode(identity.encode().as_bytes()), Ok(identity));
        }
    }

    #[test]
    fn any_flipped_bit_is_seen() {
        let good = sample().encode().into_bytes();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Identity::decode(&bad).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(Identity::decode(&good[..cut]).is_err());
        }
    }

    #[test]
    fn another_format_is_told_by_name() {
        let text = sample().encode().replace("format = 1", "format = 2");
        let error = Identity::decode(text.as_bytes()).unwrap_err();
        assert_eq!(error, IdentityError::Version("2".to_owned()));
        assert!(error.to_string().contains("format 2"));
        assert!(error.to_string().contains("format 1"));
    }

    #[test]
    fn cluster_ids_are_checked() {
        for id in ["", "a b", "a\"b", &"x".repeat(CLUSTER_ID_BYTES_MAX + 1)] {
            assert!(!is_cluster_id(id), "{id:?}");
        }
        assert!(is_cluster_id("my-cluster_1"));
    }
}
