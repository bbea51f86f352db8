//! What clients may take of a broker.

use std::time::Duration;

/// The bounds on connections and requests (D9).
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Connections at the same time; more are closed as soon as they are accepted.
    pub(crate) connections_max: usize,
    /// Memory that requests which were not answered may hold, over all connections, in bytes. What is beyond stays in the
    /// sockets.
    pub(crate) requests_max_bytes: usize,
    /// Requests of one connection that the broker works on at the same time. More are read from the socket only as far as
    /// they came with these.
    pub(crate) unanswered_max: usize,
    /// Their size, in bytes; one request more is always read.
    pub(crate) unanswered_max_bytes: usize,
    /// Responses of one connection that the client did not take, in bytes; while there are more, the broker works on no
    /// further request of it.
    pub(crate) unsent_max_bytes: usize,
    /// How long a request may come in without [`STALLED_MIN_BYTES`] more of it.
    pub(crate) stalled: Duration,
    /// How long a connection may live without a request or response under way, and how long a client may leave a response
    /// untaken. As Kafka's `connections.max.idle.ms`.
    pub(crate) idle: Duration,
    /// How long the last responses of a connection that is to be closed may take.
    pub(crate) linger: Duration,
}

/// The least progress of a request that is no stall, in bytes.
pub(crate) const STALLED_MIN_BYTES: usize = 4 * 1024;
/// Connections are checked for time limits so many times within the shortest of them.
pub(crate) const CHECKS_PER_LIMIT: u32 = 4;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 10_000,
            requests_max_bytes: 256 * 1024 * 1024,
            unanswered_max: 64,
            unanswered_max_bytes: 8 * 1024 * 1024,
            unsent_max_bytes: 4 * 1024 * 1024,
            stalled: Duration::from_secs(60),
            idle: Duration::from_secs(600),
            linger: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// How long to wait between two checks for time limits.
    pub(crate) fn check_interval(&self) -> Duration {
        self.stalled.min(self.idle).min(self.linger) / CHECKS_PER_LIMIT
    }
}
