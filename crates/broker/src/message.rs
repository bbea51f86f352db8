//! What the machines of a broker say to each other.

use std::sync::Arc;

use bytes::Bytes;
use wiber_controller::{
    Command, CommandError, CommandResult, MetadataLogState, MetadataOffset, MetadataRecord,
};
use wiber_coordinator::{Request as GroupRequest, Response as GroupResponse};
use wiber_model::{
    Batch, LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, TimestampMs,
};
use wiber_protocol::ErrorCode;
use wiber_storage::frame::Frame;

/// A request that a shard is working on; unique within the shard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// From one machine to another. Messages between two machines arrive in the order in which they were sent.
#[derive(Debug)]
pub enum Message {
    /// To the disk: frames for the WAL.
    Append {
        /// In order.
        frames: Vec<Frame>,
        /// Whether they may be answered when written (S6).
        relaxed: bool,
    },
    /// To the disk: the sender's cut for this checkpoint is here.
    Cut {
        /// The checkpoint.
        checkpoint: u64,
    },
    /// To the disk: the sender's part of a checkpoint.
    Section {
        /// The checkpoint.
        checkpoint: u64,
        /// The bytes, which are the sender's business.
        bytes: Bytes,
    },
    /// To the disk: the sender cannot give its part, as the disk is full.
    SectionFailed {
        /// The checkpoint.
        checkpoint: u64,
    },
    /// To the disk: a checkpoint is wanted, to get at space.
    RequestCheckpoint,
    /// To the disk, from the controller: make all durable and take a last checkpoint.
    Close,
    /// From the disk: so many of the receiver's frames are durable.
    Durable {
        /// Counted since the broker was opened.
        frames: u64,
    },
    /// From the disk: so many of the receiver's frames are written.
    Written {
        /// Counted since the broker was opened.
        frames: u64,
    },
    /// From the disk: a checkpoint begins.
    BeginCheckpoint {
        /// The checkpoint.
        checkpoint: u64,
    },
    /// From the disk: the checkpoint is durable.
    Checkpointed {
        /// The checkpoint.
        checkpoint: u64,
    },
    /// From the disk: the checkpoint could not be written.
    CheckpointFailed {
        /// The checkpoint.
        checkpoint: u64,
    },
    /// From the disk: whether the WAL has room for more.
    Space {
        /// Whether it has.
        accepting: bool,
    },
    /// From the disk, to the controller: all is durable.
    Closed {
        /// Whether a checkpoint covers everything, so that the next start has nothing to recover.
        checkpointed: bool,
    },
    /// To the controller: change the metadata.
    Command {
        /// The shard's request.
        request: RequestId,
        /// The change.
        command: Command,
    },
    /// From the controller: what became of a command. Its records have reached every shard.
    CommandDone {
        /// The shard's request.
        request: RequestId,
        /// The outcome.
        result: Result<CommandResult, CommandError>,
    },
    /// To the controller: where does the metadata log stand?
    DescribeQuorum {
        /// The shard's request.
        request: RequestId,
    },
    /// From the controller: where it stands.
    Quorum {
        /// The shard's request.
        request: RequestId,
        /// The answer.
        state: MetadataLogState,
    },
    /// From the controller to every shard: committed metadata.
    Metadata {
        /// The offset of the entry that holds them.
        offset: MetadataOffset,
        /// In order.
        records: Arc<[MetadataRecord]>,
    },
    /// From the controller to every shard, once: the broker is registered, and every shard has its new leader epochs on disk.
    Serve,
    /// From the controller to every shard, once: the broker stops. No request begins any more.
    Quiesce,
    /// To the controller, once, after [`Message::Quiesce`]: nothing that was begun will append any more, and all that the shard
    /// appended is durable.
    Quiet,
    /// To the controller: the shard has applied the metadata up to here, and the epochs that began are durable.
    MetadataApplied {
        /// The offset.
        offset: MetadataOffset,
    },
    /// From a shard to the one that owns some partitions (which may be itself).
    Ask {
        /// The asking shard's request.
        request: RequestId,
        /// The question.
        ask: Ask,
    },
    /// The answer to an [`Message::Ask`].
    Answer {
        /// The asking shard's request.
        request: RequestId,
        /// The answer.
        answer: Answer,
    },
}

/// What one shard wants of the partitions of another. `part` is the asking request's number for a partition.
#[derive(Debug)]
pub enum Ask {
    /// Append batches that were validated.
    Append {
        /// Each with its partition.
        batches: Vec<(usize, PartitionId, Batch)>,
    },
    /// Move the starts of logs up.
    DeleteRecords {
        /// Each with the offset where its log is to begin; the high watermark if there is none.
        parts: Vec<(usize, PartitionId, Option<Offset>)>,
    },
    /// Read batches.
    Fetch {
        /// Where and how much, in the order in which the budget is spent.
        parts: Vec<FetchPart>,
        /// No more bytes than this in all, but for the first batch.
        budget_bytes: usize,
    },
    /// Say when the visible end of one of these partitions goes beyond an offset, once for each.
    Watch {
        /// The partitions and the offsets.
        parts: Vec<(usize, PartitionId, Offset)>,
    },
    /// Forget what the request watches.
    Unwatch {
        /// As in [`Ask::Watch`].
        parts: Vec<(usize, PartitionId, Offset)>,
    },
    /// Look offsets up.
    Offsets {
        /// Each with the epoch that the client believes in, and what it looks for.
        parts: Vec<(usize, PartitionId, LeaderEpoch, OffsetSpec)>,
    },
    /// Say which idempotent producers are remembered.
    Producers {
        /// Each with its place in the asking request: the topic's and the partition's.
        parts: Vec<((usize, usize), PartitionId)>,
    },
    /// Say how large logs are.
    Sizes {
        /// Each with its place in the asking request: the topic's and the partition's.
        parts: Vec<((usize, usize), PartitionId)>,
    },
    /// Ask the coordinator that has its groups in this partition.
    Group {
        /// The asking request's number for this.
        part: usize,
        /// The partition of the offsets topic.
        partition: PartitionId,
        /// What is asked.
        request: Box<GroupRequest>,
    },
    /// Say where leader epochs ended.
    EpochEnds {
        /// Each with the epoch that the client believes in, and the one it asks about.
        parts: Vec<(usize, PartitionId, LeaderEpoch, LeaderEpoch)>,
    },
}

/// A read of one partition.
#[derive(Clone, Copy, Debug)]
pub struct FetchPart {
    /// The asking request's number for it.
    pub part: usize,
    /// The partition.
    pub partition: PartitionId,
    /// The offset to read from.
    pub offset: Offset,
    /// The epoch that the client believes in.
    pub current_epoch: LeaderEpoch,
    /// The epoch of the record before the offset, if the client knows it.
    pub last_fetched_epoch: LeaderEpoch,
    /// No more bytes than this, but for the first batch of the whole fetch (KIP-74).
    pub max_bytes: usize,
}

/// The offsets that a client may ask for by a special timestamp (KIP-734, KIP-405, KIP-1005).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OffsetSpec {
    /// The high watermark (−1).
    Latest,
    /// The log start (−2).
    Earliest,
    /// The record with the largest timestamp (−3).
    MaxTimestamp,
    /// The log start on the broker's own disk (−4).
    EarliestLocal,
    /// The end of what is in a remote tier (−5): there is none.
    LatestTiered,
    /// The start of what is still to go to a remote tier (−6): there is none.
    EarliestPendingUpload,
    /// The first record of this time or later.
    At(TimestampMs),
}

/// The answer to an [`Ask`].
#[derive(Debug)]
pub enum Answer {
    /// Every batch has its fate, and those that were appended are as durable as their topics demand.
    Appended(Vec<(usize, AppendAnswer)>),
    /// Where the logs begin now, which is durable.
    RecordsDeleted(Vec<(usize, DeletionAnswer)>),
    /// Reads of these partitions.
    Fetched(Vec<(usize, FetchAnswer)>),
    /// The visible end of this partition went beyond the offset.
    Moved(usize),
    /// Offsets.
    Offsets(Vec<(usize, OffsetAnswer)>),
    /// Idempotent producers.
    Producers(Vec<((usize, usize), ProducersAnswer)>),
    /// Sizes of logs, in bytes; none of a log that is not there any more.
    Sizes(Vec<((usize, usize), Option<u64>)>),
    /// A coordinator's reply, and the number of what it replies to.
    Group(usize, GroupAnswer),
    /// Ends of epochs.
    EpochEnds(Vec<(usize, EpochEndAnswer)>),
}

/// What a coordinator replies; or why it takes no requests.
pub type GroupAnswer = Result<GroupResponse, ErrorCode>;

/// The idempotent producers of a partition, by their ids.
pub type ProducersAnswer = Result<Vec<RememberedProducer>, ErrorCode>;

/// An idempotent producer, as a partition remembers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RememberedProducer {
    /// Its id.
    pub id: ProducerId,
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// The sequence of its last record; −1 if there is none.
    pub last_sequence: Sequence,
    /// The largest timestamp of its last batch; −1 if there is none.
    pub last_timestamp: TimestampMs,
}

/// Where an epoch ended: the largest known epoch that is not above it, and the offset after its last record.
pub type EpochEndAnswer = Result<(LeaderEpoch, Offset), ErrorCode>;

/// Where a log begins, once records of it were deleted.
pub type DeletionAnswer = Result<Offset, ErrorCode>;

/// What became of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppendAnswer {
    /// The offset of its first record, or why it was not appended.
    pub result: Result<Offset, (ErrorCode, String)>,
    /// The log start.
    pub log_start: Offset,
}

/// A read of one partition.
#[derive(Clone, Debug)]
pub struct FetchAnswer {
    /// Why there is nothing, or [`ErrorCode::None`].
    pub error: ErrorCode,
    /// The high watermark that the read went by.
    pub high_watermark: Offset,
    /// The log start.
    pub log_start: Offset,
    /// Where the client's log and this one part, if they do.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// Whole batches.
    pub records: Vec<Bytes>,
}

/// An offset that was looked up: with its timestamp and the leader epoch of the record.
pub type OffsetAnswer = Result<FoundOffset, ErrorCode>;

/// An offset, as ListOffsets gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundOffset {
    /// The offset; −1 if there is none.
    pub offset: Offset,
    /// The timestamp of its record; −1 where the question was not about timestamps.
    pub timestamp: TimestampMs,
    /// The leader epoch that it belongs to.
    pub epoch: LeaderEpoch,
}
