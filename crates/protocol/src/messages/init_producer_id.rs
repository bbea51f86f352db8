//! InitProducerId (key 22): KIP-890, KIP-939.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Gives a producer its id and epoch.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "2+")]
pub struct InitProducerIdRequest {
    /// The transactional id; null if the producer is only idempotent.
    pub transactional_id: Option<Str>,
    /// How long a transaction may stay open, in milliseconds.
    pub transaction_timeout_ms: i32,
    /// The id that the producer has, so as to raise its epoch; −1 for a new one (KIP-360).
    #[field(versions = "3+", default = -1)]
    pub producer_id: i64,
    /// The epoch that the producer has; −1 for none (KIP-360).
    #[field(versions = "3+", default = -1)]
    pub producer_epoch: i16,
}

/// Answers [`InitProducerIdRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "2+")]
pub struct InitProducerIdResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The producer's id; −1 for none.
    #[field(default = -1)]
    pub producer_id: i64,
    /// The producer's epoch; −1 for none.
    pub producer_epoch: i16,
}
