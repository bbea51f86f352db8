//! The file descriptors that the system grants, and who may use how many.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// For what is neither a topic's file nor a connection: the WAL, directories, runtimes, standard streams.
const RESERVED: u64 = 64;
/// The share of files, as a divisor.
const FILES_SHARE: u64 = 4;
/// More open files than this save nothing.
const FILES_MAX: u64 = 8192;
/// More connections than this are refused, however many descriptors there are.
const CONNECTIONS_MAX: u64 = 100_000;
/// Below this a warning tells why connections will be refused.
const COMFORTABLE: u64 = 4096;
/// Where the system sets no limit.
const UNLIMITED: u64 = 1 << 20;

/// Who may use how many descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shares {
    /// Topics' files that are kept open.
    pub(crate) files_max: usize,
    /// Connections.
    pub(crate) connections_max: usize,
}

/// Raises the limit as far as the system allows, and shares it out.
pub(crate) fn raise() -> Shares {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let granted = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let granted = granted.unwrap_or(UNLIMITED);
    if granted < COMFORTABLE {
        warn!(
            limit = granted,
            "few file descriptors: raise the limit (ulimit -n) to serve more clients and partitions"
        );
    }
    share_out(granted)
}

fn share_out(granted: u64) -> Shares {
    let left = granted.saturating_sub(RESERVED).max(2);
    let files = (left / FILES_SHARE).clamp(1, FILES_MAX);
    Shares {
        files_max: files as usize,
        connections_max: (left - files).min(CONNECTIONS_MAX) as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_gets_a_share() {
        for granted in [0, 1, 64, 65, 256, 1024, 20_000, 1 << 20, u64::MAX] {
            let shares = share_out(granted);
            assert!(shares.files_max >= 1 && shares.connections_max >= 1);
            let used = RESERVED + shares.files_max as u64 + shares.connections_max as u64;
            assert!(granted <= RESERVED + 2 || used <= granted);
        }
        let usual = Shares {
            files_max: 4984,
            connections_max: 14_952,
        };
        assert_eq!(share_out(20_000), usual);
    }
}
