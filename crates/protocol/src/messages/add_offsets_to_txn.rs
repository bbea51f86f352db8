//! AddOffsetsToTxn (key 25): KIP-890.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Adds a group's offsets to a transaction.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-4", flexible = "3+")]
pub struct AddOffsetsToTxnRequest {
    /// The producer's transactional id.
    pub transactional_id: Str,
    /// The producer's id; −1 for none.
    pub producer_id: i64,
    /// The producer's epoch; −1 for none.
    pub producer_epoch: i16,
    /// The group's id.
    pub group_id: Str,
}

/// Answers [`AddOffsetsToTxnRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-4", flexible = "3+")]
pub struct AddOffsetsToTxnResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
}
