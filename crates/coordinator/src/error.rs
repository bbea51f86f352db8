//! Why a coordinator refuses. The broker has Kafka's code for each; the variants are named after them.

/// Why a request about a group is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "each says in its message what it is, and is named after Kafka's code"
)]
pub enum GroupError {
    #[error("the group id is empty or not valid")]
    InvalidGroupId,
    #[error("{0}")]
    InvalidRequest(String),
    #[error("the group has no member with this id")]
    UnknownMemberId,
    #[error("the generation is not the group's")]
    IllegalGeneration,
    #[error("the group rebalances")]
    RebalanceInProgress,
    #[error("the member's protocols do not fit those of the group")]
    InconsistentGroupProtocol,
    #[error(
        "the session timeout is out of the bounds that group.min.session.timeout.ms and group.max.session.timeout.ms set"
    )]
    InvalidSessionTimeout,
    #[error("the member must join again with the id that it was given")]
    MemberIdRequired,
    #[error("another member has joined with this group.instance.id")]
    FencedInstanceId,
    #[error("{0}")]
    GroupMaxSizeReached(String),
    #[error("{0}")]
    CoordinatorNotAvailable(String),
    #[error("the group has members")]
    NonEmptyGroup,
    #[error("{0}")]
    GroupIdNotFound(String),
    #[error("the group is subscribed to the topic")]
    GroupSubscribedToTopic,
    #[error("the topic or partition does not exist")]
    UnknownTopicOrPartition,
    #[error("the topic id does not exist")]
    UnknownTopicId,
    #[error("what is to be stored is larger than a record may be")]
    RecordTooLarge,
    #[error("the metadata of the commit are larger than offset.metadata.max.bytes")]
    OffsetMetadataTooLarge,
    #[error("{0}")]
    FencedMemberEpoch(String),
    #[error("{0}")]
    StaleMemberEpoch(String),
    #[error("{0}")]
    UnreleasedInstanceId(String),
    #[error("{0}")]
    UnsupportedAssignor(String),
    #[error("{0}")]
    InvalidRegularExpression(String),
    #[error("{0}")]
    UnsupportedVersion(String),
}
