//! `wiber serve`: a broker, until it is told to stop.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Args;
use wiber_server::broker_config::NodeOptions;
use wiber_server::{BrokerOptions, Listening, Server, ServerOptions, Signals, StartError};

use crate::logging::Logging;
use crate::settings::Sources;

/// So many processors are a shard's share: its clients and the disks want some too.
const PROCESSORS_PER_SHARD: usize = 2;
/// The most shards of a broker that is not told how many.
const DEFAULT_SHARDS_MAX: usize = 8;
/// Runs a broker.
///
/// Without arguments it serves any Kafka client on port 9092 and keeps its data below the current directory.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Sources,
}

/// Serves until a signal comes or the broker cannot go on.
pub fn run(arguments: &Arguments) -> ExitCode {
    let config = match arguments.settings.read() {
        Ok(config) => config,
        Err(errors) => {
            let mut out = std::io::stderr();
            for error in errors {
                let _ = writeln!(out, "wiber: {error}");
            }
            return ExitCode::FAILURE;
        }
    };
    let logging = Logging::new(&config.options.log_format, &config.options.log_level);
    logging.init();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    match serve(config.options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            logging.end_with(&reason);
            // Not a return: threads may wait for a disk that does not answer.
            std::process::exit(1)
        }
    }
}

fn serve(options: NodeOptions) -> Result<(), String> {
    let line = |error: StartError| error.to_string();
    let signals = Signals::install().map_err(line)?;
    let data_dir = PathBuf::from(options.data_dir);
    let is_everywhere = options.network.listeners[0].host.is_empty();
    let server = Server::start(ServerOptions {
        data_dir: data_dir.clone(),
        network: options.network,
        broker: BrokerOptions {
            shards: options.shards.unwrap_or_else(default_shards),
            ..options.broker
        },
    })
    .map_err(line)?;
    let listening = server.listening();
    let reach = reachable(listening[0].address, is_everywhere);
    // Nobody may be reading.
    let _ = writeln!(
        std::io::stdout(),
        "wiber {} is listening on {}, with its data in {}\n\
         Try: wiber produce first Hello -b {reach}; wiber consume first --from-beginning -b {reach}",
        env!("CARGO_PKG_VERSION"),
        addresses(listening),
        data_dir.display(),
    );
    server.serve(signals)
}

/// All addresses; with the names of their listeners, if there are several.
fn addresses(listening: &[Listening]) -> String {
    match listening {
        [only] => only.address.to_string(),
        several => {
            let named = several
                .iter()
                .map(|l| format!("{} ({})", l.address, l.name));
            named.collect::<Vec<_>>().join(", ")
        }
    }
}

fn default_shards() -> u16 {
    let processors = available_parallelism().map_or(1, usize::from);
    (processors / PROCESSORS_PER_SHARD).clamp(1, DEFAULT_SHARDS_MAX) as u16
}

/// An address of this machine that is served by a broker that listens on `address`; `is_everywhere` if on all of both families.
fn reachable(address: SocketAddr, is_everywhere: bool) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) if is_everywhere => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_try_reaches_the_broker() {
        for (listen, is_everywhere, reach) in [
            ("0.0.0.0:9092", false, "127.0.0.1:9092"),
            ("0.0.0.0:9092", true, "127.0.0.1:9092"),
            ("[::]:9092", true, "127.0.0.1:9092"),
            ("[::]:9092", false, "[::1]:9092"),
            ("192.0.2.1:1", false, "192.0.2.1:1"),
        ] {
            let address = reachable(listen.parse().unwrap(), is_everywhere);
            assert_eq!(address.to_string(), reach);
        }
    }

    #[test]
    fn the_ready_line_names_all_listeners() {
        let listening = |name: &str, address: &str| Listening {
            name: name.to_owned(),
            address: address.parse().unwrap(),
        };
        let (a, b) = (listening("A", "127.0.0.1:1"), listening("B", "[::1]:2"));
        let both = [a, b];
        assert_eq!(addresses(&both[..1]), "127.0.0.1:1");
        assert_eq!(addresses(&both), "127.0.0.1:1 (A), [::1]:2 (B)");
    }
}
