//! Instants. The core never reads a clock: whoever drives it passes [`Now`] to each step.

/// Nanoseconds on a clock that never goes back, from an arbitrary start. For deadlines and durations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Monotonic(pub u64);

/// The instant at which something parked is due.
pub type Deadline = Monotonic;

/// Milliseconds since the Unix epoch; −1 is "none". For what is stored or shown: it may jump.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct TimestampMs(pub i64);

/// The time of a step, on both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For deadlines.
    pub monotonic: Monotonic,
    /// For what is stored or shown.
    pub wall: TimestampMs,
}

impl Monotonic {
    /// The end of time: a deadline that never comes.
    pub const NEVER: Monotonic = Monotonic(u64::MAX);

    /// The instant `ms` milliseconds later; a negative number counts as 0.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Monotonic {
        Monotonic(
            self.0
                .saturating_add((ms.max(0) as u64).saturating_mul(1_000_000)),
        )
    }

    /// Whole milliseconds since `earlier`; 0 if that lies ahead.
    #[must_use]
    pub fn ms_since(self, earlier: Monotonic) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }
}

impl TimestampMs {
    /// "No timestamp", as Kafka writes it.
    pub const NONE: TimestampMs = TimestampMs(-1);
}
