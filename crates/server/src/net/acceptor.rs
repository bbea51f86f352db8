//! Accepts clients and gives each to the shard that has the fewest.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tracing::{debug, warn};

use super::{Clients, ShardNet};
use crate::host::Ways;
use crate::threads::{Accepted, Mail};

/// Clients that may wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// How long to wait when the system has no descriptor or memory for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Takes an address. Clients can connect from now on; they wait until they are accepted.
///
/// # Errors
/// If the name is unknown, or the address is taken or not ours.
pub(crate) fn bind(address: &str) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts clients until it is dropped. Runs on the first shard's thread.
pub(crate) async fn accept(
    listener: tokio::net::TcpListener,
    clients: Arc<Clients>,
    net: Rc<ShardNet>,
    ways: Arc<Ways>,
) {
    // Each kind of trouble is named once, until it is over.
    let (mut is_full, mut is_exhausted) = (false, false);
    loop {
        let (stream, peer) = match listener.accept().await {
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
        let Some(shard) = clients.admit() else {
            if !std::mem::replace(&mut is_full, true) {
                let limit = clients.limits.connections_max;
                warn!(%peer, "refusing connections: there are {limit}, which is the most");
            }
            continue;
        };
        is_full = false;
        if let Err(error) = rustix::net::sockopt::set_socket_keepalive(&stream, true) {
            debug!(%peer, %error, "cannot keep the connection alive");
        }
        if shard == 0 {
            net.connect(stream, peer);
        } else {
            hand_over(stream, peer, shard, &clients, &ways);
        }
    }
}

fn hand_over(
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
    shard: usize,
    clients: &Clients,
    ways: &Ways,
) {
    match stream.into_std() {
        Ok(stream) => {
            let accepted = Accepted { stream, peer };
            ways.post.shards[shard].push(Mail::Connection(accepted));
        }
        Err(error) => {
            debug!(%peer, %error, "a connection was lost before it was served");
            clients.leave(shard);
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
