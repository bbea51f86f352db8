//! WriteTxnMarkers (key 27): KIP-1228.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Writes the end of transactions into their partitions; from the transaction coordinator.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "1+")]
pub struct WriteTxnMarkersRequest {
    /// The markers.
    pub markers: Vec<WritableTxnMarker>,
}

/// An element of [`WriteTxnMarkersRequest::markers`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct WritableTxnMarker {
    /// The producer's id.
    pub producer_id: i64,
    /// The producer's epoch; −1 for none.
    pub producer_epoch: i16,
    /// Whether the transaction was committed; else it was aborted.
    pub transaction_result: bool,
    /// The topics.
    pub topics: Vec<WritableTxnMarkerTopic>,
    /// The transaction coordinator's epoch; −1 if it is unknown.
    pub coordinator_epoch: i32,
    /// The transaction protocol: 0 or 1 for the old one, 2 for that of KIP-890.
    #[field(versions = "2+", ignorable)]
    pub transaction_version: i8,
}

/// An element of [`WritableTxnMarker::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct WritableTxnMarkerTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// Answers [`WriteTxnMarkersRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "1+")]
pub struct WriteTxnMarkersResponse {
    /// The markers.
    pub markers: Vec<WritableTxnMarkerResult>,
}

/// An element of [`WriteTxnMarkersResponse::markers`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct WritableTxnMarkerResult {
    /// The producer's id; −1 for none.
    pub producer_id: i64,
    /// The topics.
    pub topics: Vec<WritableTxnMarkerTopicResult>,
}

/// An element of [`WritableTxnMarkerResult::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct WritableTxnMarkerTopicResult {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<WritableTxnMarkerPartitionResult>,
}

/// An element of [`WritableTxnMarkerTopicResult::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct WritableTxnMarkerPartitionResult {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
}
