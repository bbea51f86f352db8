//! Accepts clients, by every listener, and gives each to the shard that has the fewest.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use tracing::{debug, warn};
use wiber_broker::broker_config::{Listener, NetworkOptions};

use super::{Clients, Origin, Refusal, ShardNet};
use crate::host::Ways;
use crate::threads::{Accepted, Mail};

/// Lines about refused clients within [`REFUSAL_LINES_WINDOW`], for each listener; the rest is only counted.
const REFUSAL_LINES_MAX: u64 = 100;
const REFUSAL_LINES_WINDOW: Duration = Duration::from_secs(10);
/// How long to wait when the system has no descriptor or memory for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// A listener that clients can connect to.
#[derive(Debug)]
pub(crate) struct Door {
    /// Its number.
    pub(crate) listener: usize,
    pub(crate) socket: TcpListener,
}

/// Takes a listener's address. Clients can connect from now on; they wait until they are accepted.
///
/// # Errors
/// If the name is unknown, or the address is taken or not ours.
pub(crate) fn bind(listener: &Listener, network: &NetworkOptions) -> io::Result<TcpListener> {
    let port = listener.port;
    let socket = match listener.host.as_str() {
        "" => everywhere(port)?,
        host => TcpListener::bind((host, port))?,
    };
    // Connections inherit the sizes of their buffers.
    if let Some(bytes) = network.receive_buffer_bytes {
        set_socket_recv_buffer_size(&socket, bytes)?;
    }
    if let Some(bytes) = network.send_buffer_bytes {
        set_socket_send_buffer_size(&socket, bytes)?;
    }
    rustix::net::listen(&socket, network.backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// All addresses of the machine: of both families where the system has both.
fn everywhere(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
        Err(error) if is_without_ipv6(&error) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)),
        other => other,
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    let missing = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
    Errno::from_io_error(error).is_some_and(|errno| missing.contains(&errno))
}

/// Accepts a listener's clients until it is dropped. Runs on the first shard's thread.
pub(crate) async fn accept(
    socket: tokio::net::TcpListener,
    listener: usize,
    clients: Arc<Clients>,
    net: Rc<ShardNet>,
    ways: Arc<Ways>,
) {
    // This trouble is named once, until it is over.
    let mut is_exhausted = false;
    let mut lines = RefusalLines::new();
    loop {
        while let Some(wait) = clients.pause(listener) {
            tokio::time::sleep(wait).await;
        }
        let (stream, peer) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_client_s(&error) => {
                debug!(%error, "a client went before it was accepted");
                continue;
            }
            Err(error) => {
                if !std::mem::replace(&mut is_exhausted, true) {
                    warn!(%error, "cannot accept connections");
                }
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                continue;
            }
        };
        is_exhausted = false;
        let origin = Origin::new(peer, listener);
        let peer = origin.peer;
        let shard = match clients.admit(origin) {
            Ok(shard) => shard,
            Err(refusal) => {
                lines.note(origin, &refusal);
                continue;
            }
        };
        if let Err(error) = rustix::net::sockopt::set_socket_keepalive(&stream, true) {
            debug!(%peer, %error, "cannot keep the connection alive");
        }
        if shard == 0 {
            net.connect(stream, origin);
        } else {
            hand_over(stream, origin, shard, &clients, &ways);
        }
    }
}

fn hand_over(
    stream: tokio::net::TcpStream,
    origin: Origin,
    shard: usize,
    clients: &Clients,
    ways: &Ways,
) {
    match stream.into_std() {
        Ok(stream) => {
            let accepted = Accepted { stream, origin };
            ways.post.shards[shard].push(Mail::Connection(accepted));
        }
        Err(error) => {
            debug!(peer = %origin.peer, %error, "a connection was lost before it was served");
            clients.leave(shard, origin);
        }
    }
}

/// Says who was refused, and why; whoever comes in crowds is counted.
struct RefusalLines {
    since: Instant,
    count: u64,
}

impl RefusalLines {
    fn new() -> RefusalLines {
        RefusalLines {
            since: Instant::now(),
            count: 0,
        }
    }

    fn note(&mut self, origin: Origin, refusal: &Refusal) {
        if self.since.elapsed() >= REFUSAL_LINES_WINDOW {
            if self.count > REFUSAL_LINES_MAX {
                warn!(
                    "{} more clients were refused",
                    self.count - REFUSAL_LINES_MAX
                );
            }
            *self = RefusalLines::new();
        }
        self.count += 1;
        if self.count <= REFUSAL_LINES_MAX {
            warn!(peer = %origin.peer, "refused a client: {refusal}");
        }
    }
}

/// Whether an error of `accept` is about one client and not about this broker (as accept(2) lists them).
fn is_client_s(error: &io::Error) -> bool {
    let of_network = [
        Errno::NETDOWN,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::OPNOTSUPP,
        Errno::NETUNREACH,
        Errno::PERM,
    ];
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::Interrupted
    ) || Errno::from_io_error(error).is_some_and(|errno| of_network.contains(&errno))
}
