//! `GroupMetadataKey` and `GroupMetadataValue`: a classic group as of its last rebalance.

use bytes::Bytes;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// The number that begins the key.
pub const KEY: i16 = 2;
/// The version in which values are written.
pub const VALUE_VERSION: i16 = 3;

/// The key.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "none")]
pub struct GroupMetadataKey {
    /// The group.
    pub group: Str,
}

/// The value.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-4", flexible = "4+")]
pub struct GroupMetadataValue {
    /// The class of protocols.
    pub protocol_type: Str,
    /// The generation.
    pub generation: i32,
    /// The chosen protocol.
    pub protocol: Option<Str>,
    /// The leader's member id.
    pub leader: Option<Str>,
    /// Since when the group is in its state, in milliseconds since the epoch.
    #[field(versions = "2+", default = -1, ignorable)]
    pub current_state_timestamp: i64,
    /// The members.
    pub members: Vec<MemberMetadata>,
}

/// An element of [`GroupMetadataValue::members`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct MemberMetadata {
    /// The member's id.
    pub member_id: Str,
    /// Its `group.instance.id`.
    #[field(versions = "3+", default = null, ignorable)]
    pub group_instance_id: Option<Str>,
    /// Its client's id.
    pub client_id: Str,
    /// Its client's address.
    pub client_host: Str,
    /// How long it may take to rejoin, in milliseconds.
    #[field(versions = "1+", ignorable)]
    pub rebalance_timeout: i32,
    /// How long it may be silent, in milliseconds.
    pub session_timeout: i32,
    /// Its metadata for the chosen protocol.
    pub subscription: Bytes,
    /// What the leader assigned to it.
    pub assignment: Bytes,
}
