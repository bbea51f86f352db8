//! AllocateProducerIds (key 67).

use wiber_protocol_derive::Message;

/// Gives a broker a block of producer ids.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct AllocateProducerIdsRequest {
    /// The broker's node id.
    pub broker_id: i32,
    /// The broker's epoch; −1 for none.
    #[field(default = -1)]
    pub broker_epoch: i64,
}

/// Answers [`AllocateProducerIdsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct AllocateProducerIdsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The first id of the block.
    pub producer_id_start: i64,
    /// How many ids the block has.
    pub producer_id_len: i32,
}
