//! Maps the domain's errors to Kafka's codes: the only place that does.

use std::fmt::Display;

use wiber_controller::CommandError;
use wiber_coordinator::GroupError;
use wiber_protocol::{ErrorCode, Str};
use wiber_storage::log::AppendError;
use wiber_storage::store::ReadError;
use wiber_storage::validate::Refusal;

/// A message has no more bytes than this.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Of an append that the log refused.
pub(crate) fn of_append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::OldProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::Damaged(_) | AppendError::NoSpace(_) => ErrorCode::KafkaStorageError,
        AppendError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
    }
}

/// Of a read that gave nothing.
pub(crate) fn of_read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt { .. } => ErrorCode::CorruptMessage,
        ReadError::Lost { .. } | ReadError::Disk { .. } => ErrorCode::KafkaStorageError,
    }
}

/// Of a batch that did not pass: the code, the whole in words, and what is wrong with which record (KIP-467).
pub(crate) fn of_refusal(refusal: &Refusal) -> (ErrorCode, String, Vec<(i32, String)>) {
    let code = match refusal {
        Refusal::Corrupt(_) => ErrorCode::CorruptMessage,
        Refusal::Invalid(_) | Refusal::InvalidRecords(_) => ErrorCode::InvalidRecord,
        Refusal::InvalidTimestamps(_) => ErrorCode::InvalidTimestamp,
        Refusal::TooLarge(_) => ErrorCode::MessageTooLarge,
        Refusal::BeyondSegment { .. } => ErrorCode::RecordListTooLarge,
        Refusal::Compression(_) => ErrorCode::UnsupportedCompressionType,
    };
    let records = refusal
        .record_errors()
        .iter()
        .map(|error| (error.index, error.problem.to_string()))
        .collect();
    (code, refusal.to_string(), records)
}

/// Of a command that the controller did not carry out.
pub(crate) fn of_command(error: &CommandError) -> ErrorCode {
    match error {
        CommandError::TopicExists(_) => ErrorCode::TopicAlreadyExists,
        CommandError::InvalidName(_) | CommandError::Collision { .. } => {
            ErrorCode::InvalidTopicException
        }
        CommandError::InvalidPartitions(_) | CommandError::NoIncrease { .. } => {
            ErrorCode::InvalidPartitions
        }
        CommandError::UnknownTopicName => ErrorCode::UnknownTopicOrPartition,
        CommandError::InvalidConfig(_) => ErrorCode::InvalidConfig,
        CommandError::InvalidReplicationFactor(_) => ErrorCode::InvalidReplicationFactor,
        CommandError::InvalidAssignment(_) => ErrorCode::InvalidReplicaAssignment,
        CommandError::UnknownTopic(_) => ErrorCode::UnknownTopicId,
        CommandError::Limit(_) => ErrorCode::PolicyViolation,
        CommandError::NoProducerIds => ErrorCode::UnknownServerError,
        CommandError::NotController => ErrorCode::NotController,
        CommandError::Busy => ErrorCode::RequestTimedOut,
    }
}

/// Of a request that a coordinator refused. The error's variants are named after Kafka's codes.
pub(crate) fn of_group(error: &GroupError) -> ErrorCode {
    match error {
        GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupError::InvalidRequest(_) => ErrorCode::InvalidRequest,
        GroupError::UnknownMemberId => ErrorCode::UnknownMemberId,
        GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::InconsistentGroupProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupError::MemberIdRequired => ErrorCode::MemberIdRequired,
        GroupError::FencedInstanceId => ErrorCode::FencedInstanceId,
        GroupError::GroupMaxSizeReached(_) => ErrorCode::GroupMaxSizeReached,
        GroupError::CoordinatorNotAvailable(_) => ErrorCode::CoordinatorNotAvailable,
        GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupError::GroupIdNotFound(_) => ErrorCode::GroupIdNotFound,
        GroupError::GroupSubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        GroupError::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        GroupError::UnknownTopicId => ErrorCode::UnknownTopicId,
        GroupError::RecordTooLarge => ErrorCode::UnknownServerError,
        GroupError::OffsetMetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
        GroupError::FencedMemberEpoch(_) => ErrorCode::FencedMemberEpoch,
        GroupError::StaleMemberEpoch(_) => ErrorCode::StaleMemberEpoch,
        GroupError::UnreleasedInstanceId(_) => ErrorCode::UnreleasedInstanceId,
        GroupError::UnsupportedAssignor(_) => ErrorCode::UnsupportedAssignor,
        GroupError::InvalidRegularExpression(_) => ErrorCode::InvalidRegularExpression,
        GroupError::UnsupportedVersion(_) => ErrorCode::UnsupportedVersion,
    }
}

/// What is wrong, in words that a client is sent: cut, as they may repeat what the client sent, and a string of the protocol holds only so much.
pub(crate) fn message(problem: impl Display) -> Str {
    let mut message = problem.to_string();
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    message.into()
}
