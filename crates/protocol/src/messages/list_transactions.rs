//! ListTransactions (key 66): KIP-994, KIP-1152.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Lists the transactions that a broker coordinates.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "0+")]
pub struct ListTransactionsRequest {
    /// Only transactions in these states; empty for all.
    pub state_filters: Vec<Str>,
    /// Only transactions of these producers; empty for all.
    pub producer_id_filters: Vec<i64>,
    /// Only transactions open for more than this many milliseconds; negative for all.
    #[field(versions = "1+", default = -1)]
    pub duration_filter: i64,
    /// Only transactional ids that match this regular expression; null or empty for all (KIP-1152).
    #[field(versions = "2+", default = null)]
    pub transactional_id_pattern: Option<Str>,
}

/// Answers [`ListTransactionsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "0+")]
pub struct ListTransactionsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The states asked for that do not exist.
    pub unknown_state_filters: Vec<Str>,
    /// The transactions.
    pub transaction_states: Vec<TransactionState>,
}

/// An element of [`ListTransactionsResponse::transaction_states`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TransactionState {
    /// The producer's transactional id.
    pub transactional_id: Str,
    /// The producer's id; −1 for none.
    pub producer_id: i64,
    /// The transaction's state.
    pub transaction_state: Str,
}
