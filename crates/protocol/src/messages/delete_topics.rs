//! DeleteTopics (key 20): KIP-599.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Deletes topics, with their records.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsRequest {
    /// The topics to delete.
    #[field(versions = "6+")]
    pub topics: Vec<DeleteTopicState>,
    /// The names of the topics to delete.
    #[field(versions = "1-5", ignorable)]
    pub topic_names: Vec<Str>,
    /// How long the broker may take, in milliseconds.
    pub timeout_ms: i32,
}

/// An element of [`DeleteTopicsRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeleteTopicState {
    /// The name; null if the id says which topic.
    #[field(default = null)]
    pub name: Option<Str>,
    /// The topic's id.
    pub topic_id: TopicId,
}

/// Answers [`DeleteTopicsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The outcome for each topic.
    pub responses: Vec<DeletableTopicResult>,
}

/// An element of [`DeleteTopicsResponse::responses`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeletableTopicResult {
    /// The name; null if the client gave an id and may not know the name.
    #[field(nullable = "6+")]
    pub name: Option<Str>,
    /// The topic's id.
    #[field(versions = "6+", ignorable)]
    pub topic_id: TopicId,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(versions = "5+", default = null, ignorable)]
    pub error_message: Option<Str>,
}
