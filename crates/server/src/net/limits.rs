//! What clients may take of a broker.

use std::time::Duration;

use wiber_broker::broker_config::{AdmissionLimits, NetworkOptions, NodeOptions};

/// The bounds on connections and requests (D9).
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Who may connect; others are closed as soon as they are accepted.
    pub(crate) admission: AdmissionLimits,
    /// Connections that there are file descriptors for.
    pub(crate) descriptors_max: usize,
    /// The largest request, in bytes.
    pub(crate) request_max_bytes: usize,
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
    /// untaken.
    pub(crate) idle: Duration,
    /// How long the last responses of a connection that is to be closed may take.
    pub(crate) linger: Duration,
}

/// The least progress of a request that is no stall, in bytes.
pub(crate) const STALLED_MIN_BYTES: usize = 4 * 1024;
/// Connections are checked for time limits so many times within the shortest of them.
pub(crate) const CHECKS_PER_LIMIT: u32 = 4;

/// Requests of one connection that the broker works on, in bytes.
const UNANSWERED_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Responses of one connection that the client did not take, in bytes.
const UNSENT_MAX_BYTES: usize = 4 * 1024 * 1024;
/// How long the last responses of a connection may take.
const LINGER: Duration = Duration::from_secs(10);

impl Default for Limits {
    fn default() -> Limits {
        Limits::of(&NodeOptions::default().network, usize::MAX)
    }
}

impl Limits {
    /// What the settings say, where there are descriptors for so many connections.
    pub(crate) fn of(network: &NetworkOptions, descriptors_max: usize) -> Limits {
        Limits {
            admission: network.admission.clone(),
            descriptors_max,
            request_max_bytes: network.request_max_bytes,
            requests_max_bytes: network.requests_max_bytes,
            unanswered_max: network.unanswered_max,
            unanswered_max_bytes: UNANSWERED_MAX_BYTES,
            unsent_max_bytes: UNSENT_MAX_BYTES,
            stalled: Duration::from_millis(network.stalled_max_ms),
            idle: network
                .idle_max_ms
                .map_or(Duration::MAX, Duration::from_millis),
            linger: LINGER,
        }
    }

    /// How long to wait between two checks for time limits.
    pub(crate) fn check_interval(&self) -> Duration {
        self.stalled.min(self.idle).min(self.linger) / CHECKS_PER_LIMIT
    }
}
