//! ControllerRegistration (key 70).

use wiber_protocol_derive::Message;

use crate::str::Str;
use crate::wire::Uuid;

/// Registers a controller with the leading one.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct ControllerRegistrationRequest {
    /// The controller's node id.
    pub controller_id: i32,
    /// Identifies this run of the process.
    pub incarnation_id: Uuid,
    /// Whether a controller is ready to take over from ZooKeeper.
    pub zk_migration_ready: bool,
    /// Where the node can be reached.
    pub listeners: Vec<Listener>,
    /// The features that the node knows.
    pub features: Vec<Feature>,
}

/// An element of [`ControllerRegistrationRequest::listeners`].
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

/// An element of [`ControllerRegistrationRequest::features`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Feature {
    /// The feature.
    pub name: Str,
    /// The lowest version.
    pub min_supported_version: i16,
    /// The highest version.
    pub max_supported_version: i16,
}

/// Answers [`ControllerRegistrationRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct ControllerRegistrationResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
}
