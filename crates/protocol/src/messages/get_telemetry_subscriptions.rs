//! GetTelemetrySubscriptions (key 71).

use wiber_protocol_derive::Message;

use crate::str::Str;
use crate::wire::Uuid;

/// Tells a client which metrics to send (KIP-714).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct GetTelemetrySubscriptionsRequest {
    /// The client's own id; zero to be given one.
    pub client_instance_id: Uuid,
}

/// Answers [`GetTelemetrySubscriptionsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct GetTelemetrySubscriptionsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The id given to the client; zero if it has one.
    pub client_instance_id: Uuid,
    /// Identifies what is subscribed to.
    pub subscription_id: i32,
    /// The compressions that the broker accepts, the best first.
    pub accepted_compression_types: Vec<i8>,
    /// How often to push, in milliseconds.
    pub push_interval_ms: i32,
    /// The most to push at once, in bytes.
    pub telemetry_max_bytes: i32,
    /// Whether counters are sent as differences; else as sums.
    pub delta_temporality: bool,
    /// Prefixes of the metrics to send: none if there are none, all if one is empty.
    pub requested_metrics: Vec<Str>,
}
