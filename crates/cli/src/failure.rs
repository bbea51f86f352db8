//! How a command ends: exit code 0 where all went well, 1 where something failed, 2 where it was used wrongly. What went wrong is one line on
//! standard error that says what to do.

use std::io::{self, Write};
use std::process::ExitCode;

use wiber_client::ClientError;
use wiber_protocol::ErrorCode;

/// The exit code of wrong usage, as clap has it.
const WRONG_USAGE: u8 = 2;

/// Why a command did not do all that it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// Something failed.
    Failed(String),
    /// It was asked for what makes no sense.
    Usage(String),
    /// What went wrong was said already.
    Told,
    /// Nobody reads the output any more: whoever did has seen enough.
    ReaderGone,
}

impl Failure {
    /// A failure about a topic, which the broker's own words often do not name.
    pub fn of_topic(topic: &str, error: &ClientError) -> Failure {
        match error.code() {
            Some(ErrorCode::UnknownTopicOrPartition) => Failure::Failed(format!(
                "there is no topic '{topic}'; `wiber topic list` shows those that there are"
            )),
            // Where the broker says what is wrong with the name, it knows better: it may collide with another.
            Some(ErrorCode::InvalidTopicException) if message(error).is_none() => {
                Failure::Failed(format!(
                    "'{topic}' cannot be a topic's name: it may have letters, digits, '.', '_' and '-', 249 at most"
                ))
            }
            Some(ErrorCode::TopicAlreadyExists) => Failure::Failed(format!(
                "there is a topic '{topic}' already (TOPIC_ALREADY_EXISTS); with --if-not-exists that is no failure"
            )),
            _ if message(error).is_some_and(|words| words.contains(&format!("'{topic}'"))) => {
                Failure::Failed(error.to_string())
            }
            _ if matches!(
                error,
                ClientError::Refused { .. }
                    | ClientError::NoPartition { .. }
                    | ClientError::BeyondEnd { .. }
            ) =>
            {
                Failure::Failed(format!("{topic}: {error}"))
            }
            _ => match error {
                ClientError::Records { partition, .. } => Failure::Failed(format!(
                    "{topic}: {error}; `wiber log verify` on the broker tells more, and --partition {partition} --offset N shows what is behind it"
                )),
                _ => error.clone().into(),
            },
        }
    }
}

impl Failure {
    /// A failure about a group, which the broker's own words often do not name.
    pub fn of_group(group: &str, error: &ClientError) -> Failure {
        Failure::Failed(match error.code() {
            Some(ErrorCode::GroupIdNotFound) => format!(
                "there is no group '{group}'; `wiber group list` shows those that there are"
            ),
            Some(ErrorCode::InvalidGroupId) => format!("'{group}' cannot be a group's name"),
            Some(ErrorCode::CoordinatorNotAvailable) => {
                format!("group {group}: no broker coordinates it now ({error})")
            }
            Some(ErrorCode::InconsistentGroupProtocol) => format!(
                "group {group}: its members share partitions in a way that this client does not know, or share something else ({error}); `wiber group describe {group}` shows it"
            ),
            Some(ErrorCode::FencedInstanceId) => format!(
                "group {group}: another member has come with the same instance id, and this one is out ({error})"
            ),
            Some(ErrorCode::GroupMaxSizeReached) => {
                format!("group {group} takes no more members ({error})")
            }
            Some(_) => format!("group {group}: {error}"),
            None => return error.clone().into(),
        })
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        Failure::Failed(match &error {
            ClientError::Unreachable(_) => format!(
                "{error}; is a broker running there? Start one with `wiber serve`, or name another with --bootstrap"
            ),
            ClientError::BrokerUnreachable { .. } => format!(
                "{error}; if the broker runs, it advertises an address that is not its own here: see `wiber serve --help`, --advertise"
            ),
            ClientError::UnknownBroker(_) => {
                format!("{error}; `wiber cluster describe` shows those that are")
            }
            ClientError::Unsupported { .. } => {
                format!("{error}, or only in versions that this client does not speak")
            }
            _ => error.to_string(),
        })
    }
}

/// Of writing the output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Failed(format!("cannot write the output: {error}")),
        }
    }
}

/// How a command ends whose results were printed, or not: a reader that has gone has seen enough of the output, and hides no failure.
pub fn after_printing(
    outcome: Result<(), Failure>,
    printed: Result<(), Failure>,
) -> Result<(), Failure> {
    match printed {
        Err(Failure::ReaderGone) => outcome.and(printed),
        Ok(()) => outcome,
        Err(failure) => Err(failure),
    }
}

/// The exit code, after saying what went wrong.
pub fn exit_code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(Failure::Told) => ExitCode::FAILURE,
        Err(Failure::Failed(reason)) => {
            say(&reason);
            ExitCode::FAILURE
        }
        Err(Failure::Usage(reason)) => {
            say(&reason);
            ExitCode::from(WRONG_USAGE)
        }
    }
}

/// What the broker says about its refusal.
fn message(error: &ClientError) -> Option<&str> {
    match error {
        ClientError::Refused { message, .. } => {
            message.as_deref().filter(|words| !words.is_empty())
        }
        _ => None,
    }
}

/// A line on standard error, which nobody may be reading.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "wiber: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_gone_hides_no_failure() {
        let told = || Err(Failure::Told);
        let gone = || Err(Failure::ReaderGone);
        let full = || Err(Failure::Failed("cannot write".to_owned()));
        assert!(matches!(after_printing(told(), gone()), Err(Failure::Told)));
        assert!(matches!(after_printing(told(), Ok(())), Err(Failure::Told)));
        assert!(matches!(
            after_printing(Ok(()), gone()),
            Err(Failure::ReaderGone)
        ));
        assert!(matches!(
            after_printing(Ok(()), full()),
            Err(Failure::Failed(_))
        ));
        assert!(matches!(
            after_printing(told(), full()),
            Err(Failure::Failed(_))
        ));
        assert!(matches!(after_printing(Ok(()), Ok(())), Ok(())));
    }
}
