//! PushTelemetry (key 72).

use bytes::Bytes;
use wiber_protocol_derive::Message;

use crate::wire::Uuid;

/// Sends a client's metrics (KIP-714).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct PushTelemetryRequest {
    /// The client's own id.
    pub client_instance_id: Uuid,
    /// Identifies what is subscribed to.
    pub subscription_id: i32,
    /// Whether it is the client's last push.
    pub terminating: bool,
    /// How the metrics are compressed.
    pub compression_type: i8,
    /// The metrics, as OpenTelemetry's `MetricsData` in protobuf.
    pub metrics: Bytes,
}

/// Answers [`PushTelemetryRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct PushTelemetryResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
}
