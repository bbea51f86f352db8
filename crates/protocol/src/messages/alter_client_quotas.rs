//! AlterClientQuotas (key 49).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Changes quotas.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "1+")]
pub struct AlterClientQuotasRequest {
    /// The entities, with their quotas.
    pub entries: Vec<RequestEntryData>,
    /// Whether only to check that the request is valid, and change nothing.
    pub validate_only: bool,
}

/// An element of [`AlterClientQuotasRequest::entries`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestEntryData {
    /// The parts that make up the entity.
    pub entity: Vec<RequestEntityData>,
    /// What to change.
    pub ops: Vec<OpData>,
}

/// An element of [`RequestEntryData::entity`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestEntityData {
    /// The entity's type: `user`, `client-id` or `ip`.
    pub entity_type: Str,
    /// The part's name; null for the default.
    pub entity_name: Option<Str>,
}

/// An element of [`RequestEntryData::ops`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OpData {
    /// The quota's name.
    pub key: Str,
    /// The limit; ignored if it is to be removed.
    pub value: f64,
    /// Whether to remove the quota; else it is set.
    pub remove: bool,
}

/// Answers [`AlterClientQuotasRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "1+")]
pub struct AlterClientQuotasResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The entities, with their quotas.
    pub entries: Vec<ResponseEntryData>,
}

/// An element of [`AlterClientQuotasResponse::entries`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponseEntryData {
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// The parts that make up the entity.
    pub entity: Vec<ResponseEntityData>,
}

/// An element of [`ResponseEntryData::entity`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponseEntityData {
    /// The entity's type: `user`, `client-id` or `ip`.
    pub entity_type: Str,
    /// The part's name; null for the default.
    pub entity_name: Option<Str>,
}
