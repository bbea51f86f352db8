//! Why a measurement could not be taken.

use std::io;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use wiber_protocol::{ApiKey, DecodeError, EncodeError, ErrorCode};

/// Why a measurement could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("no connection to {0}: {1}")]
    Connect(SocketAddr, #[source] io::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a request cannot be written: {0}")]
    Encode(#[from] EncodeError),
    #[error("an answer cannot be read: {0}")]
    Decode(#[from] DecodeError),
    #[error("the broker closed a connection")]
    Closed,
    #[error("an answer came out of order: correlation id {got} instead of {expected}")]
    OutOfOrder { expected: i32, got: i32 },
    #[error("an answer of {0} bytes is larger than any that was asked for")]
    AnswerSize(i32),
    #[error("{api} was answered with {}", name(*.code))]
    Refused { api: ApiKey, code: i16 },
    #[error("the answer to {0} lacks what was asked for")]
    Lacking(ApiKey),
    #[error("nothing was answered for {0:?}")]
    Stalled(Duration),
    #[error("{what} did not happen within {deadline:?}")]
    Deadline {
        what: &'static str,
        deadline: Duration,
    },
    #[error("the broker cannot be started: {0}")]
    Spawn(#[source] io::Error),
    #[error("the broker exited too early: {0}")]
    Exited(ExitStatus),
    #[error("the topic holds {found} records and should hold {expected}")]
    Lost { expected: i64, found: i64 },
    #[error("the ideal broker does not serve {0}")]
    NotServed(ApiKey),
    #[error("the result cannot be printed: {0}")]
    Print(#[from] serde_json::Error),
}

impl BenchError {
    /// Whether a broker that is still starting, or a topic that is still being created, may answer so.
    pub fn is_passing(&self) -> bool {
        let BenchError::Refused { code, .. } = self else {
            return false;
        };
        ErrorCode::from_code(*code).is_some_and(|code| {
            matches!(
                code,
                ErrorCode::UnknownTopicOrPartition
                    | ErrorCode::LeaderNotAvailable
                    | ErrorCode::NotLeaderOrFollower
                    | ErrorCode::BrokerNotAvailable
                    | ErrorCode::NotController
                    | ErrorCode::OffsetNotAvailable
                    | ErrorCode::CoordinatorLoadInProgress
                    | ErrorCode::CoordinatorNotAvailable
                    | ErrorCode::NotCoordinator
            )
        })
    }

    /// An error if `code` is one.
    pub fn check(api: ApiKey, code: i16) -> Result<(), BenchError> {
        if code == ErrorCode::None.code() {
            Ok(())
        } else {
            Err(BenchError::Refused { api, code })
        }
    }
}

fn name(code: i16) -> String {
    ErrorCode::from_code(code).map_or_else(|| format!("error {code}"), |code| code.to_string())
}
