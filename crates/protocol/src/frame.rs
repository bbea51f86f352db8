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

    /// Reads the body as a request of this API. Bytes that follow it are ignored, as Kafka ignores them: librdkafka 2.12 leaves
    /// some behind a Metadata request for all topics.
    pub fn decode<R: Request>(&self) -> Result<R, DecodeError> {
        debug_assert_eq!(self.key, R::KEY, "the body is another API's");
        let (request, _rest) = R::decode_prefix(self.body.clone(), self.version)?;
        Ok(request)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{
        ApiVersionsRequest, ApiVersionsResponse, HeartbeatRequest, HeartbeatResponse,
    };

    /// The frame without its size, which must be right.
    fn received(frame: &Frame) -> Bytes {
        let bytes = frame.to_bytes();
        let (size, rest) = bytes.split_at(4);
        assert_eq!(size, (rest.len() as u32).to_be_bytes());
        bytes.slice(4..)
    }

    #[test]
    fn requests_and_responses_pass_with_their_headers() {
        let request = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: 3,
            ..Default::default()
        };
        let response = HeartbeatResponse {
            error_code: 27,
            ..Default::default()
        };
        for version in ApiKey::Heartbeat.versions().iter() {
            let frame = encode_request(&request, version, 42, Some("me".into())).expect("valid");
            let parsed = RequestFrame::parse(received(&frame)).expect("valid");
            assert_eq!(
                (parsed.key, parsed.version, parsed.correlation_id),
                (ApiKey::Heartbeat, version, 42)
            );
            assert_eq!(parsed.client_id, Some("me".into()));
            assert_eq!(parsed.decode(), Ok(request.clone()));

            let frame = received(&encode_response(&response, version, 42).expect("valid"));
            assert_eq!(peek_correlation_id(&frame), Some(42));
            assert_eq!(decode_response(frame, version), Ok((42, response.clone())));
        }
    }

    #[test]
    fn bytes_of_a_request_are_kafkas() {
        let request = ApiVersionsRequest {
            client_software_name: "kcat".into(),
            client_software_version: "1".into(),
        };
        let frame = encode_request(&request, 3, 1, Some("rd".into())).expect("valid");
        // Size; key 18, version 3, correlation id 1, a client id with a classic length, no tags; the body, no tags.
        assert_eq!(
            frame.to_bytes(),
            b"\0\0\0\x15\0\x12\0\x03\0\0\0\x01\0\x02rd\0\x05kcat\x021\0"[..]
        );
    }

    #[test]
    fn an_api_versions_request_that_is_too_new_can_be_answered() {
        let frame =
            Bytes::from_static(b"\0\x12\x01\0\0\0\0\x07\xff\xff\0whatever the future holds");
        let request = RequestFrame::parse(frame).expect("the header can be read");
        assert_eq!(
            (request.key, request.version, request.correlation_id),
            (ApiKey::ApiVersions, 256, 7)
        );
        assert_eq!(request.client_id, None);
        assert!(!request.key.versions().contains(request.version));
        let response = ApiVersionsResponse {
            error_code: 35,
            ..Default::default()
        };
        let answer = encode_response(&response, 0, request.correlation_id).expect("valid");
        assert_eq!(answer.to_bytes(), b"\0\0\0\x0a\0\0\0\x07\0\x23\0\0\0\0"[..]);
    }

    #[test]
    fn api_versions_responses_have_the_oldest_header() {
        for version in ApiKey::ApiVersions.versions().iter() {
            assert_eq!(ApiKey::ApiVersions.response_header_version(version), 0);
        }
        assert_eq!(ApiKey::ApiVersions.request_header_version(2), 1);
        assert_eq!(ApiKey::ApiVersions.request_header_version(3), 2);
        assert_eq!(ApiKey::Fetch.response_header_version(11), 0);
        assert_eq!(ApiKey::Fetch.response_header_version(12), 1);
    }

    #[test]
    fn frames_that_are_no_requests_are_refused() {
        let kind = |bytes: &'static [u8]| {
            RequestFrame::parse(Bytes::from_static(bytes))
                .expect_err("no request")
                .kind
        };
        assert_eq!(kind(b""), DecodeErrorKind::OutOfBytes);
        assert_eq!(kind(b"\0\x12\0"), DecodeErrorKind::OutOfBytes);
        assert_eq!(
            kind(b"\0\x12\0\x03\0\0\0\x01\0\x09rd\0"),
            DecodeErrorKind::OutOfBytes
        );
        assert_eq!(
            kind(b"\x7f\xff\0\0\0\0\0\x01\xff\xff"),
            DecodeErrorKind::UnknownApiKey(0x7fff)
        );
        // ControlledShutdown, which Kafka 4 no longer has.
        assert_eq!(
            kind(b"\0\x07\0\x03\0\0\0\x01\xff\xff"),
            DecodeErrorKind::UnknownApiKey(7)
        );
    }
}
