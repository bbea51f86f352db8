//! BrokerRegistration (key 62): KIP-858, KIP-966.

use wiber_protocol_derive::Message;

use crate::str::Str;
use crate::wire::Uuid;

/// Registers a broker with the controller.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-4", flexible = "0+")]
pub struct BrokerRegistrationRequest {
    /// The broker's node id.
    pub broker_id: i32,
    /// The cluster's id.
    pub cluster_id: Str,
    /// Identifies this run of the process.
    pub incarnation_id: Uuid,
    /// Where the node can be reached.
    pub listeners: Vec<Listener>,
    /// The features that the node knows. Up to version 3, those whose lowest version is 0 are left out (KIP-584).
    pub features: Vec<Feature>,
    /// The rack, if it has one.
    pub rack: Option<Str>,
    /// Whether the broker is moving away from ZooKeeper.
    #[field(versions = "1+")]
    pub is_migrating_zk_broker: bool,
    /// The ids of the log directories that work.
    #[field(versions = "2+", ignorable)]
    pub log_dirs: Vec<Uuid>,
    /// The broker's epoch before it was shut down cleanly; −1 if it was not.
    #[field(versions = "3+", default = -1, ignorable)]
    pub previous_broker_epoch: i64,
}

/// An element of [`BrokerRegistrationRequest::listeners`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Listener {
    /// The listener's name.
    pub name: Str,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
    /// The security protocol: 0 plaintext, 1 TLS, 2 SASL over plaintext, 3 SASL over TLS.
    pub security_protocol: i16,
}

/// An element of [`BrokerRegistrationRequest::features`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Feature {
    /// The feature.
    pub name: Str,
    /// The lowest version.
    pub min_supported_version: i16,
    /// The highest version.
    pub max_supported_version: i16,
}

/// Answers [`BrokerRegistrationRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-4", flexible = "0+")]
pub struct BrokerRegistrationResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The broker's epoch; −1 for none.
    #[field(default = -1)]
    pub broker_epoch: i64,
}
