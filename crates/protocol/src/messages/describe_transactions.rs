//! DescribeTransactions (key 65).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes transactions by transactional id.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeTransactionsRequest {
    /// The transactional ids to describe.
    pub transactional_ids: Vec<Str>,
}

/// Answers [`DescribeTransactionsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeTransactionsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The transactions.
    pub transaction_states: Vec<TransactionState>,
}

/// An element of [`DescribeTransactionsResponse::transaction_states`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TransactionState {
    /// The error, or 0.
    pub error_code: i16,
    /// The producer's transactional id.
    pub transactional_id: Str,
    /// The transaction's state.
    pub transaction_state: Str,
    /// How long a transaction may stay open, in milliseconds.
    pub transaction_timeout_ms: i32,
    /// When the transaction began, in milliseconds since 1970; −1 if none is open.
    pub transaction_start_time_ms: i64,
    /// The producer's id; −1 for none.
    pub producer_id: i64,
    /// The producer's epoch; −1 for none.
    pub producer_epoch: i16,
    /// The partitions of the transaction; those still without a marker, if it is about to end.
    pub topics: Vec<TopicData>,
}

/// An element of [`TransactionState::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicData {
    /// The topic's name.
    pub topic: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}
