//! The clocks that the machines are driven by.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wiber_model::{Monotonic, Now, TimestampMs};

/// Reads both clocks. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock {
            start: Instant::now(),
        }
    }

    /// The time.
    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            monotonic: Monotonic(self.start.elapsed().as_nanos() as u64),
            wall: TimestampMs(wall.unwrap_or_default().as_millis() as i64),
        }
    }

    /// The system's instant of a time; none for the end of time, or one that the system cannot express.
    pub(crate) fn instant(&self, at: Monotonic) -> Option<Instant> {
        if at == Monotonic::NEVER {
            return None;
        }
        self.start.checked_add(Duration::from_nanos(at.0))
    }
}
