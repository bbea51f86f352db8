//! What can go wrong between a client and its brokers, worded for whoever reads it.

use std::time::Duration;

use wiber_protocol::{ApiKey, ErrorCode};

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No address that the caller named could be connected to.
    #[error("cannot reach {}", attempts(.0))]
    Unreachable(Vec<(String, String)>),
    /// A broker that others told of cannot be connected to.
    #[error("broker {id} is said to be at {address}, and cannot be reached there: {reason}")]
    BrokerUnreachable {
        /// Its id.
        id: i32,
        /// What it advertises.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The metadata names no broker of this id.
    #[error("broker {0} is not known to the cluster")]
    UnknownBroker(i32),
    /// A connection broke.
    #[error("the connection to {broker} broke: {reason}")]
    Broken {
        /// The address.
        broker: String,
        /// Why.
        reason: String,
    },
    /// A request was not answered in time.
    #[error("{broker} did not answer {api} within {} s", .after.as_secs_f64())]
    TimedOut {
        /// The address.
        broker: String,
        /// What was asked.
        api: ApiKey,
        /// How long was waited.
        after: Duration,
    },
    /// The broker does not have an API in a version that this client speaks.
    #[error("{broker} does not serve {api}")]
    Unsupported {
        /// The address.
        broker: String,
        /// What it lacks.
        api: ApiKey,
    },
    /// What came is no answer.
    #[error("{broker} does not answer as a Kafka broker does: {problem}")]
    Malformed {
        /// The address.
        broker: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A request cannot be written.
    #[error("the request cannot be written: {0}")]
    Unwritable(String),
    /// The broker answered with an error code.
    #[error("{}", refusal(*.code, .message.as_deref()))]
    Refused {
        /// The code.
        code: i16,
        /// What the broker says about it.
        message: Option<String>,
    },
    /// A partition has no leader, or does not exist.
    #[error("partition {0} has no leader now")]
    NoLeader(i32),
    /// The topic does not have this partition.
    #[error("there is no partition {partition}: the topic has {count}, counted from 0")]
    NoPartition {
        /// The one that was asked for.
        partition: i32,
        /// How many there are.
        count: i32,
    },
    /// Time was up before a record's fate was known.
    #[error(
        "not delivered within {} s: {last}{}",
        .after.as_secs_f64(),
        if *.uncertain { " (it may have been stored all the same)" } else { "" }
    )]
    Undelivered {
        /// How long was tried.
        after: Duration,
        /// Whether a broker may have stored it.
        uncertain: bool,
        /// What went wrong last.
        last: Box<ClientError>,
    },
    /// What was to be read next lies beyond the partition's end.
    #[error("partition {partition} has offsets {start} to {end}, and not {offset}")]
    BeyondEnd {
        /// The partition.
        partition: i32,
        /// The offset that was to be read.
        offset: i64,
        /// The first offset that there is.
        start: i64,
        /// The offset that the next record will get.
        end: i64,
    },
    /// A record was refused for good, after an attempt of which nobody knows what became.
    #[error("{0} (it may have been stored all the same)")]
    MaybeStored(Box<ClientError>),
    /// Records cannot be read.
    #[error("partition {partition} at offset {offset} cannot be read: {problem}")]
    Records {
        /// The partition.
        partition: i32,
        /// The first offset of the batch.
        offset: i64,
        /// What is wrong with it.
        problem: String,
    },
}

impl ClientError {
    /// An error if `code` is one.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub fn check(code: i16, message: Option<&str>) -> Result<(), ClientError> {
        if code == ErrorCode::None.code() {
            return Ok(());
        }
        Err(ClientError::Refused {
            code,
            message: message.map(str::to_owned),
        })
    }

    /// The broker's error code, if it is that which is wrong.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Refused { code, .. } => ErrorCode::from_code(*code),
            _ => None,
        }
    }

    /// Whether the same may succeed in a while, at this broker or another.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            ClientError::Unreachable(_)
            | ClientError::BrokerUnreachable { .. }
            | ClientError::UnknownBroker(_)
            | ClientError::Broken { .. }
            | ClientError::TimedOut { .. }
            | ClientError::NoLeader(_) => true,
            ClientError::Refused { code, .. } => {
                ErrorCode::from_code(*code).is_some_and(is_passing)
            }
            _ => false,
        }
    }

    /// Whether the broker may have done what it was asked, although nobody knows. Of a Produce that waits for replicas, Kafka also answers
    /// that it leads no more or that its disk failed when that came after it had appended (`DelayedProduce`, `getPartitionOrError`).
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        match self {
            ClientError::Broken { .. }
            | ClientError::TimedOut { .. }
            | ClientError::Malformed { .. } => true,
            ClientError::Refused { .. } => matches!(
                self.code(),
                // A code that is not known may mean anything.
                None | Some(
                    ErrorCode::UnknownServerError
                        | ErrorCode::NotLeaderOrFollower
                        | ErrorCode::RequestTimedOut
                        | ErrorCode::NetworkException
                        | ErrorCode::NotEnoughReplicasAfterAppend
                        | ErrorCode::KafkaStorageError
                )
            ),
            _ => false,
        }
    }
}

/// Kafka's retriable errors, as far as a client of these APIs can see them (`RetriableException`).
fn is_passing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CorruptMessage
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::RequestTimedOut
            | ErrorCode::BrokerNotAvailable
            | ErrorCode::ReplicaNotAvailable
            | ErrorCode::NetworkException
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::NotEnoughReplicasAfterAppend
            | ErrorCode::NotController
            | ErrorCode::NotCoordinator
            | ErrorCode::UnstableOffsetCommit
            | ErrorCode::KafkaStorageError
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::OffsetNotAvailable
            | ErrorCode::UnknownTopicId
            | ErrorCode::ThrottlingQuotaExceeded
    )
}

fn attempts(attempts: &[(String, String)]) -> String {
    let told: Vec<_> = attempts
        .iter()
        .map(|(address, reason)| format!("{address}: {reason}"))
        .collect();
    told.join("; ")
}

fn refusal(code: i16, message: Option<&str>) -> String {
    let name =
        ErrorCode::from_code(code).map_or_else(|| format!("error {code}"), |code| code.to_string());
    match message {
        Some(message) if !message.is_empty() => {
            format!("{} ({name})", message.trim_end_matches('.'))
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: ErrorCode) -> ClientError {
        ClientError::Refused {
            code: code.code(),
            message: None,
        }
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for code in [
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::LeaderNotAvailable,
            ErrorCode::NotEnoughReplicas,
        ] {
            assert!(refused(code).is_passing(), "{code}");
        }
        for code in [
            ErrorCode::MessageTooLarge,
            ErrorCode::TopicAlreadyExists,
            ErrorCode::OutOfOrderSequenceNumber,
            ErrorCode::TopicAuthorizationFailed,
        ] {
            assert!(!refused(code).is_passing(), "{code}");
        }
    }

    #[test]
    fn what_may_have_been_stored_is_told_from_what_was_not() {
        for code in [
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::KafkaStorageError,
            ErrorCode::NetworkException,
            ErrorCode::RequestTimedOut,
            ErrorCode::NotEnoughReplicasAfterAppend,
            ErrorCode::UnknownServerError,
        ] {
            assert!(refused(code).is_uncertain(), "{code}");
        }
        for code in [
            ErrorCode::NotEnoughReplicas,
            ErrorCode::MessageTooLarge,
            ErrorCode::CorruptMessage,
            ErrorCode::OutOfOrderSequenceNumber,
            ErrorCode::TopicAuthorizationFailed,
        ] {
            assert!(!refused(code).is_uncertain(), "{code}");
        }
        let malformed = ClientError::Malformed {
            broker: "b:1".to_owned(),
            problem: "it ends early".to_owned(),
        };
        assert!(malformed.is_uncertain());
    }

    #[test]
    fn a_refusal_has_the_brokers_words_and_its_code() {
        let with = |message: Option<&str>| ClientError::check(36, message).expect_err("an error");
        assert_eq!(
            with(Some("Topic 'a' already exists.")).to_string(),
            "Topic 'a' already exists (TOPIC_ALREADY_EXISTS)"
        );
        assert_eq!(with(None).to_string(), "TOPIC_ALREADY_EXISTS");
        assert_eq!(with(Some("")).to_string(), "TOPIC_ALREADY_EXISTS");
        let unknown = ClientError::check(9999, None).expect_err("an error");
        assert_eq!(unknown.to_string(), "error 9999");
        assert_eq!(ClientError::check(0, Some("fine")), Ok(()));
    }
}
