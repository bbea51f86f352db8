//! What all commands that talk to a broker have in common: where it is, and a runtime for the time of the command.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use wiber_client::cluster::ClusterOptions;
use wiber_client::{ClientError, Cluster};

use crate::failure::{Failure, exit_code};
use crate::moment::duration;

/// Kafka's port, where an address names none.
const DEFAULT_PORT: u16 = 9092;
/// Connecting may take this long at most, however patient the command is about answers.
const CONNECT_WITHIN_MAX: Duration = Duration::from_secs(10);

/// Where the brokers are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct Connect {
    /// Brokers to ask first; one of them must answer. The port may be left out if it is 9092.
    #[arg(
        short,
        long,
        env = "WIBER_BOOTSTRAP",
        value_name = "HOST:PORT[,..]",
        default_value = "localhost:9092",
        value_parser = addresses
    )]
    bootstrap: Vec<Addresses>,
    /// How long a broker may take over something, such as 10s or 500ms.
    #[arg(long, value_name = "DURATION", default_value = "30s", allow_hyphen_values = true, value_parser = duration)]
    timeout: Duration,
}

impl Connect {
    /// Connects.
    pub async fn cluster(&self) -> Result<Arc<Cluster>, ClientError> {
        Cluster::connect(ClusterOptions {
            bootstrap: self.addresses(),
            connect_within: self.timeout.min(CONNECT_WITHIN_MAX),
            answer_within: self.timeout,
        })
        .await
    }

    /// Where to ask; what is empty counts as not set.
    fn addresses(&self) -> Vec<String> {
        let given: Vec<_> = self.bootstrap.iter().flat_map(|it| it.0.clone()).collect();
        if given.is_empty() {
            return vec![format!("localhost:{DEFAULT_PORT}")];
        }
        given
    }

    /// How long to try.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The same, for requests that carry it.
    pub fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

/// Runs a command to its end.
pub fn run(command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    run_on(tokio::runtime::Builder::new_current_thread(), command)
}

/// Runs a command to its end. What it does in the background goes on while it writes to somebody who does not read.
pub fn run_with_background(command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1);
    run_on(builder, command)
}

fn run_on(
    mut builder: tokio::runtime::Builder,
    command: impl Future<Output = Result<(), Failure>>,
) -> ExitCode {
    let result = match builder.enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(command);
            // A thread may still wait for a line of standard input.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::Failed(format!("no runtime: {error}"))),
    };
    exit_code(result)
}

/// Addresses with their ports, as one argument names them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Addresses(Vec<String>);

/// A comma behind the last address, or no address at all, is nothing wrong.
fn addresses(text: &str) -> Result<Addresses, String> {
    let named = text.split(',').filter(|it| !it.trim().is_empty());
    named.map(address).collect::<Result<_, _>>().map(Addresses)
}

/// An address with its port.
fn address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let wrong = || format!("'{text}' is no HOST:PORT");
    let (host, port) = match text.rsplit_once(':') {
        // Of an IPv6 address without brackets nobody can tell the port.
        Some((host, _)) if host.contains(':') && !host.starts_with('[') => return Err(wrong()),
        Some((host, port)) if !port.ends_with(']') => (
            host,
            port.parse()
                .ok()
                .filter(|port: &u16| *port > 0)
                .ok_or_else(wrong)?,
        ),
        _ => (text, DEFAULT_PORT),
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_in_the_end() {
        for (text, told) in [
            ("localhost", "localhost:9092"),
            (" localhost:1 ", "localhost:1"),
            ("127.0.0.1:9093", "127.0.0.1:9093"),
            ("[::1]", "[::1]:9092"),
            ("[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(address(text).as_deref(), Ok(told));
        }
        let told =
            |named: &[&str]| Ok(Addresses(named.iter().map(|it| (*it).to_owned()).collect()));
        assert_eq!(addresses("a:1,b"), told(&["a:1", "b:9092"]));
        assert_eq!(addresses("a:1, "), told(&["a:1"]));
        assert_eq!(addresses(""), told(&[]));
        assert!(addresses("a:1,b:x").is_err());
        for wrong in [
            "",
            ":9092",
            "host:",
            "host:0",
            "host:x",
            "::1",
            "a b",
            "host:65536",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
