//! BrokerHeartbeat (key 63).

use wiber_protocol_derive::Message;

use crate::wire::Uuid;

/// Tells the controller that a broker is alive, and how far it has read the metadata.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "0+")]
pub struct BrokerHeartbeatRequest {
    /// The broker's node id.
    pub broker_id: i32,
    /// The broker's epoch; −1 for none.
    #[field(default = -1)]
    pub broker_epoch: i64,
    /// How far the broker has read the metadata log.
    pub current_metadata_offset: i64,
    /// Whether the broker wants to be fenced.
    pub want_fence: bool,
    /// Whether the broker wants to shut down.
    pub want_shut_down: bool,
    /// The ids of the log directories that failed.
    #[field(versions = "1+", tag = 0)]
    pub offline_log_dirs: Vec<Uuid>,
    /// The ids of the log directories that take no new replicas; null while the broker starts.
    #[field(versions = "2+", tag = 1, default = null)]
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
}

/// Answers [`BrokerHeartbeatRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "0+")]
pub struct BrokerHeartbeatResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// Whether the broker has nearly reached the end of the metadata log.
    pub is_caught_up: bool,
    /// Whether the broker is fenced.
    #[field(default = true)]
    pub is_fenced: bool,
    /// Whether the broker may shut down now.
    pub should_shut_down: bool,
}
