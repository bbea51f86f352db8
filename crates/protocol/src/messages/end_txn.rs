//! EndTxn (key 26): KIP-890.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Commits or aborts a transaction.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "3+")]
pub struct EndTxnRequest {
    /// The producer's transactional id.
    pub transactional_id: Str,
    /// The producer's id; −1 for none.
    pub producer_id: i64,
    /// The producer's epoch; −1 for none.
    pub producer_epoch: i16,
    /// Whether the transaction is to be committed; else it is aborted.
    pub committed: bool,
}

/// Answers [`EndTxnRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "3+")]
pub struct EndTxnResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The id to go on with (KIP-890); −1 for the same.
    #[field(versions = "5+", default = -1, ignorable)]
    pub producer_id: i64,
    /// The epoch to go on with (KIP-890); −1 for the same.
    #[field(versions = "5+", default = -1, ignorable)]
    pub producer_epoch: i16,
}
