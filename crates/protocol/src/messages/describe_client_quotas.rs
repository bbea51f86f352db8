//! DescribeClientQuotas (key 48).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Lists the quotas that match a filter.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "1+")]
pub struct DescribeClientQuotasRequest {
    /// What an entity must match.
    pub components: Vec<ComponentData>,
    /// Whether an entity may have no other parts than those asked for.
    pub strict: bool,
}

/// An element of [`DescribeClientQuotasRequest::components`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ComponentData {
    /// The entity's type: `user`, `client-id` or `ip`.
    pub entity_type: Str,
    /// 0 for the name given, 1 for the default entity, 2 for any that is named.
    pub match_type: i8,
    /// The name, if one is given.
    pub r#match: Option<Str>,
}

/// Answers [`DescribeClientQuotasRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "1+")]
pub struct DescribeClientQuotasResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// The entities, with their quotas.
    pub entries: Option<Vec<EntryData>>,
}

/// An element of [`DescribeClientQuotasResponse::entries`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct EntryData {
    /// The parts that make up the entity.
    pub entity: Vec<EntityData>,
    /// The entity's quotas.
    pub values: Vec<ValueData>,
}

/// An element of [`EntryData::entity`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct EntityData {
    /// The entity's type: `user`, `client-id` or `ip`.
    pub entity_type: Str,
    /// The part's name; null for the default.
    pub entity_name: Option<Str>,
}

/// An element of [`EntryData::values`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ValueData {
    /// The quota's name.
    pub key: Str,
    /// The limit.
    pub value: f64,
}
