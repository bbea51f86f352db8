//! Whole frames: header and body, in both directions. A frame on a connection is preceded by its size; decoders here
//! take it without the size, encoders write it with the size.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::header::{RequestHeader, ResponseHeader};
use crate::message::{Message, Request, Response};
use crate::reader::{DecodeError, DecodeErrorKind};
use crate::str::Str;
use crate::writer::{EncodeError, Frame, Writer};

/// Room for the header and the first fields, so that a short frame needs one allocation. In bytes.
const INITIAL_CAPACITY_BYTES: usize = 256;

/// A request whose header is read and whose body is not yet.
#[derive(Clone, Debug)]
pub struct RequestFrame {
    /// The API.
    pub key: ApiKey,
    /// The version; it need not be one that [`ApiKey::versions`] has.
    pub version: i16,
    /// The answer repeats it.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<Str>,
    /// The request itself.
    pub body: Bytes,
}

impl RequestFrame {
    /// Reads the header of a frame, given without its size. An unknown API key is an error, as its header cannot be
    /// read: Kafka closes the connection.
    ///
    /// An unsupported version is not. For ApiVersions the caller then answers with a body of version 0 that says
    /// `UNSUPPORTED_VERSION`; for anything else Kafka closes the connection.
    pub fn parse(frame: Bytes) -> Result<RequestFrame, DecodeError> {
        let fail = |kind| DecodeError {
            message: RequestHeader::NAME,
            field: "request_api_key",
            offset: 0,
            kind,
        };
        let &[key_high, key_low, version_high, version_low] = frame
            .first_chunk::<4>()
            .ok_or(fail(DecodeErrorKind::OutOfBytes))?;
        let number = i16::from_be_bytes([key_high, key_low]);
        let version = i16::from_be_bytes([version_high, version_low]);
        let key =
            ApiKey::from_number(number).ok_or(fail(DecodeErrorKind::UnknownApiKey(number)))?;
        let (header, body) =
            RequestHeader::decode_prefix(frame, key.request_header_version(version))?;
        Ok(RequestFrame {
            key,
            version,
            correlation_id: header.correlation_id,
            client_id: header.client_id,
            body,
        })
    }

    /// Reads the body, which is of the API that `key` names.
    pub fn decode<R: Request>(&self) -> Result<R, DecodeError> {
        debug_assert_eq!(self.key, R::KEY, "the body is another API's");
        R::decode(self.body.clone(), self.version)
    }
}

/// A request's frame, size first.
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<Str>,
) -> Result<Frame, EncodeError> {
    let header = RequestHeader {
        request_api_key: R::KEY.number(),
        request_api_version: version,
        correlation_id,
        client_id,
    };
    let mut writer = Writer::with_capacity(INITIAL_CAPACITY_BYTES);
    writer.reserve_size();
    header.encode_into(R::KEY.request_header_version(version), &mut writer);
    request.encode_into(version, &mut writer);
    writer.finish_sized()
}

/// A response's frame, size first.
pub fn encode_response<R: Response>(
    response: &R,
    version: i16,
    correlation_id: i32,
) -> Result<Frame, EncodeError> {
    let mut writer = Writer::with_capacity(INITIAL_CAPACITY_BYTES);
    writer.reserve_size();
    ResponseHeader { correlation_id }
        .encode_into(R::KEY.response_header_version(version), &mut writer);
    response.encode_into(version, &mut writer);
    writer.finish_sized()
}

/// The correlation id of a response's frame, given without its size: a client needs it to know which request, and so
/// which API and version, is answered.
pub fn peek_correlation_id(frame: &Bytes) -> Option<i32> {
    frame
        .first_chunk::<4>()
        .map(|bytes| i32::from_be_bytes(*bytes))
}

/// Reads a response's frame, given without its size: the correlation id and the response.
pub fn decode_response<R: Response>(frame: Bytes, version: i16) -> Result<(i32, R), DecodeError> {
    let (header, body) =
        ResponseHeader::decode_prefix(frame, R::KEY.response_header_version(version))?;
    Ok((header.correlation_id, R::decode(body, version)?))
}
