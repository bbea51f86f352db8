//! DeleteShareGroupOffsets (key 92).

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Deletes share groups' offsets.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct DeleteShareGroupOffsetsRequest {
    /// The group's id.
    pub group_id: Str,
    /// The topics.
    pub topics: Vec<DeleteShareGroupOffsetsRequestTopic>,
}

/// An element of [`DeleteShareGroupOffsetsRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeleteShareGroupOffsetsRequestTopic {
    /// The topic's name.
    pub topic_name: Str,
}

/// Answers [`DeleteShareGroupOffsetsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct DeleteShareGroupOffsetsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
    /// The outcome for each topic.
    pub responses: Vec<DeleteShareGroupOffsetsResponseTopic>,
}

/// An element of [`DeleteShareGroupOffsetsResponse::responses`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeleteShareGroupOffsetsResponseTopic {
    /// The topic's name.
    pub topic_name: Str,
    /// The topic's id.
    pub topic_id: TopicId,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
}
