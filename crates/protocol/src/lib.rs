//! The Kafka messages, each declared once, and their codec: bytes ↔ typed requests and responses, for every stable
//! version of Kafka 4.3.
//!
//! Each message is a plain struct with `#[derive(Message)]` in [`messages`]; its declaration reads like Kafka's schema.
//! [`ApiKey`] is the table of the APIs. A broker reads and answers like this, and a client does the reverse with
//! [`encode_request`] and [`decode_response`]:
//!
//! ```
//! use wiber_protocol::messages::{MetadataRequest, MetadataResponse};
//! use wiber_protocol::{ApiKey, RequestFrame, encode_request, encode_response};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let received = encode_request(&MetadataRequest::default(), 12, 7, Some("me".into()))?.to_bytes().slice(4..);
//! // `received` is a frame as it came, without the four bytes of its size.
//! let request = RequestFrame::parse(received)?;
//! assert_eq!(request.key, ApiKey::Metadata);
//! if !request.key.versions().contains(request.version) {
//!     return Ok(()); // Close the connection; ApiVersions is answered with a body of version 0 instead.
//! }
//! let body: MetadataRequest = request.decode()?;
//! assert_eq!(body.topics, Some(vec![]));
//! let response = MetadataResponse { controller_id: 1, ..Default::default() };
//! let frame = encode_response(&response, request.version, request.correlation_id)?;
//! let mut sent = Vec::new();
//! for chunk in frame.chunks() {
//!     sent.push(chunk); // The size, the header and the body, records uncopied: gather the chunks in a `writev`.
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Invariants:
//! - What is decoded is untrusted: no length is believed, no byte is read past the end, and memory is bounded by the
//!   size of the frame (see [`reader`]).
//! - Record bytes are never copied: [`Records`] in a response leave as the chunks that they came as, and what is decoded
//!   is a slice of its frame. So are strings ([`Str`]) and byte strings.
//! - `Default` gives the schema's defaults. A field that has a value and does not exist in a version is an error when
//!   that version is written, or is dropped if it is marked ignorable, as in Kafka.
//! - A tagged field that holds its default is left out: librdkafka up to 2.1.1 mistakes the length of those that it
//!   must skip.

extern crate self as wiber_protocol;

pub mod api;
pub mod error_code;
pub mod frame;
pub mod header;
pub mod internal;
#[cfg(any(test, feature = "introspect"))]
pub mod introspect;
pub mod message;
pub mod messages;
pub mod reader;
pub mod records;
pub mod str;
pub mod wire;
pub mod writer;

pub use api::ApiKey;
pub use error_code::ErrorCode;
pub use frame::{
    RequestFrame, decode_response, encode_request, encode_response, peek_correlation_id,
};
pub use header::{RequestHeader, ResponseHeader};
pub use message::{Message, Request, Response, Versions};
pub use reader::{DecodeError, DecodeErrorKind, Reader};
pub use records::Records;
pub use str::Str;
pub use wire::{Nullable, Uuid, Wire};
pub use writer::{EncodeError, EncodeErrorKind, Frame, SIZE_PREFIX_BYTES, Writer};
