//! What all messages have in common.

use std::fmt;

use bytes::Bytes;

use crate::api::ApiKey;
use crate::reader::{DecodeError, DecodeErrorKind, Reader};
use crate::wire::Wire;
use crate::writer::{EncodeError, EncodeErrorKind, Frame, Writer};

/// A range of versions, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    /// The lowest.
    pub min: i16,
    /// The highest.
    pub max: i16,
}

impl Versions {
    /// Whether `version` is one of these.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Each version, ascending.
    pub fn iter(self) -> impl Iterator<Item = i16> {
        self.min..=self.max
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{}-{}", self.min, self.max)
        }
    }
}

/// A request, a response or a header: what `#[derive(Message)]` makes of a struct with a `#[message(...)]` line.
pub trait Message: Wire + Default + Clone + fmt::Debug + PartialEq {
    /// Kafka's name of the message.
    const NAME: &'static str;
    /// The versions that can be read and written.
    const VERSIONS: Versions;
    /// The first version with compact lengths and tagged fields (KIP-482); `i16::MAX` if there is none.
    const FIRST_FLEXIBLE: i16;

    /// Whether `version` has compact lengths and tagged fields.
    #[must_use]
    fn is_flexible(version: i16) -> bool {
        version >= Self::FIRST_FLEXIBLE
    }

    /// Reads a message that takes all of `bytes`. Strings, byte strings and records are slices of them.
    fn decode(bytes: Bytes, version: i16) -> Result<Self, DecodeError> {
        let mut reader = Self::reader(bytes, version)?;
        let message = Self::read(&mut reader, "");
        reader.finish().map(|()| message)
    }

    /// Reads a message from the start of `bytes`, and returns what follows it.
    fn decode_prefix(bytes: Bytes, version: i16) -> Result<(Self, Bytes), DecodeError> {
        let mut reader = Self::reader(bytes, version)?;
        let message = Self::read(&mut reader, "");
        reader.finish_part().map(|rest| (message, rest))
    }

    /// A reader for `version` of this message.
    fn reader(bytes: Bytes, version: i16) -> Result<Reader, DecodeError> {
        if !Self::VERSIONS.contains(version) {
            return Err(DecodeError {
                message: Self::NAME,
                field: "",
                offset: 0,
                kind: DecodeErrorKind::UnsupportedVersion(version),
            });
        }
        Ok(Reader::new(
            bytes,
            Self::NAME,
            version,
            Self::is_flexible(version),
        ))
    }

    /// Writes the message at the writer's end.
    fn encode_into(&self, version: i16, writer: &mut Writer) {
        writer.begin(Self::NAME, version, Self::is_flexible(version));
        if Self::VERSIONS.contains(version) {
            self.write(writer, "");
        } else {
            writer.fail("", EncodeErrorKind::UnsupportedVersion);
        }
    }

    /// The message alone, without size or header.
    fn encode(&self, version: i16) -> Result<Frame, EncodeError> {
        let mut writer = Writer::default();
        self.encode_into(version, &mut writer);
        writer.finish()
    }
}

/// The request of an API. Its versions are the API's.
pub trait Request: Message {
    /// The API.
    const KEY: ApiKey;
    /// What answers it, in the same version.
    type Response: Response<Request = Self>;
}

/// The response of an API.
pub trait Response: Message {
    /// The API.
    const KEY: ApiKey;
    /// What it answers, in the same version.
    type Request: Request<Response = Self>;
}
