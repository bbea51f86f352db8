//! AddPartitionsToTxn (key 24): KIP-890.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Adds partitions to a transaction. Up to version 3 it comes from clients, for one transaction.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "3+")]
pub struct AddPartitionsToTxnRequest {
    /// The transactions.
    #[field(versions = "4+")]
    pub transactions: Vec<AddPartitionsToTxnTransaction>,
    /// The transactional id, from a client.
    #[field(versions = "0-3")]
    pub v3_and_below_transactional_id: Str,
    /// The producer's id, from a client.
    #[field(versions = "0-3")]
    pub v3_and_below_producer_id: i64,
    /// The producer's epoch, from a client.
    #[field(versions = "0-3")]
    pub v3_and_below_producer_epoch: i16,
    /// The topics to add, from a client.
    #[field(versions = "0-3")]
    pub v3_and_below_topics: Vec<AddPartitionsToTxnTopic>,
}

/// An element of [`AddPartitionsToTxnRequest::transactions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AddPartitionsToTxnTransaction {
    /// The producer's transactional id.
    pub transactional_id: Str,
    /// The producer's id; −1 for none.
    pub producer_id: i64,
    /// The producer's epoch; −1 for none.
    pub producer_epoch: i16,
    /// Whether only to check that the partitions are in the transaction already (KIP-890).
    pub verify_only: bool,
    /// The topics.
    pub topics: Vec<AddPartitionsToTxnTopic>,
}

/// An element of [`AddPartitionsToTxnTransaction::topics`] and [`AddPartitionsToTxnRequest::v3_and_below_topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AddPartitionsToTxnTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Answers [`AddPartitionsToTxnRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "3+")]
pub struct AddPartitionsToTxnResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    #[field(versions = "4+", ignorable)]
    pub error_code: i16,
    /// The outcome for each transaction.
    #[field(versions = "4+")]
    pub results_by_transaction: Vec<AddPartitionsToTxnResult>,
    /// The outcome for each topic, for a client.
    #[field(versions = "0-3")]
    pub results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult>,
}

/// An element of [`AddPartitionsToTxnResponse::results_by_transaction`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AddPartitionsToTxnResult {
    /// The producer's transactional id.
    pub transactional_id: Str,
    /// The outcome for each topic.
    pub topic_results: Vec<AddPartitionsToTxnTopicResult>,
}

/// An element of [`AddPartitionsToTxnResult::topic_results`] and
/// [`AddPartitionsToTxnResponse::results_by_topic_v3_and_below`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AddPartitionsToTxnTopicResult {
    /// The topic's name.
    pub name: Str,
    /// The outcome for each partition.
    pub results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
}

/// An element of [`AddPartitionsToTxnTopicResult::results_by_partition`] and
/// [`AddPartitionsToTxnTopicResult::results_by_partition`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AddPartitionsToTxnPartitionResult {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub partition_error_code: i16,
}
