//! `wiber serve`: a broker, until it is told to stop.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Args;
use wiber_server::{BrokerOptions, Server, ServerOptions, Signals, StartError};

use crate::logging;

/// So many processors are a shard's share: its clients and the disks want some too.
const PROCESSORS_PER_SHARD: usize = 2;
/// The most shards of a broker that is not told how many.
const DEFAULT_SHARDS_MAX: usize = 8;
/// The most shards of a broker.
const SHARDS_MAX: i64 = 64;

/// Runs a broker.
///
/// Without arguments it serves any Kafka client on port 9092 and keeps its data below the current directory.
#[derive(Args)]
pub struct Arguments {
    /// Where the data is kept; the directory is made if it is not there.
    #[arg(
        long,
        env = "WIBER_DATA_DIR",
        value_name = "DIR",
        default_value = "./wiber-data"
    )]
    data_dir: PathBuf,
    /// The address to listen on; port 0 picks a free port.
    #[arg(
        long,
        env = "WIBER_LISTEN",
        value_name = "HOST:PORT",
        default_value = "0.0.0.0:9092"
    )]
    listen: String,
    /// What clients are told to connect to, if that is not the address that they reached the broker at.
    #[arg(long, env = "WIBER_ADVERTISE", value_name = "HOST:PORT", value_parser = host_and_port)]
    advertise: Option<(String, u16)>,
    /// How many threads serve clients and own partitions [default: one for two processors].
    #[arg(long, env = "WIBER_SHARDS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SHARDS_MAX))]
    shards: Option<u16>,
    #[command(flatten)]
    logging: logging::Arguments,
}

/// Serves until a signal comes or the broker cannot go on.
pub fn run(arguments: Arguments) -> ExitCode {
    let logging = arguments.logging;
    logging.init();
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            logging.end_with(&reason);
            // Not a return: threads may wait for a disk that does not answer.
            std::process::exit(1)
        }
    }
}

fn serve(arguments: Arguments) -> Result<(), String> {
    let line = |error: StartError| error.to_string();
    let signals = Signals::install().map_err(line)?;
    let data_dir = arguments.data_dir;
    let server = Server::start(ServerOptions {
        data_dir: data_dir.clone(),
        listen: arguments.listen,
        broker: BrokerOptions {
            shards: arguments.shards.unwrap_or_else(default_shards),
            advertised: arguments.advertise,
            ..BrokerOptions::default()
        },
    })
    .map_err(line)?;
    let (address, reach) = (server.local_addr(), reachable(server.local_addr()));
    // Nobody may be reading.
    let _ = writeln!(
        std::io::stdout(),
        "wiber {} is listening on {address}, with its data in {}\n\
         Try: echo hello | kcat -b {reach} -t first -P; kcat -b {reach} -t first -C -e",
        env!("CARGO_PKG_VERSION"),
        data_dir.display(),
    );
    server.serve(signals)
}

fn default_shards() -> u16 {
    let processors = available_parallelism().map_or(1, usize::from);
    (processors / PROCESSORS_PER_SHARD).clamp(1, DEFAULT_SHARDS_MAX) as u16
}

/// An address of this machine that is served by a broker that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn host_and_port(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("HOST:PORT is wanted")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port
        .parse()
        .map_err(|_| "the port is a number from 1 to 65535")?;
    if host.is_empty() || port == 0 {
        return Err("HOST:PORT is wanted, and neither may be missing or 0");
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_a_host_and_a_port() {
        let told = |host: &str, port| Ok((host.to_owned(), port));
        assert_eq!(host_and_port("example.org:9092"), told("example.org", 9092));
        assert_eq!(host_and_port("[::1]:1"), told("::1", 1));
        for wrong in [
            "",
            "host",
            ":9092",
            "host:",
            "host:0",
            "host:65536",
            "host:x",
        ] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_to_try_reaches_the_broker() {
        for (listen, reach) in [
            ("0.0.0.0:9092", "127.0.0.1:9092"),
            ("[::]:9092", "[::1]:9092"),
            ("192.0.2.1:1", "192.0.2.1:1"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), reach);
        }
    }
}
