//! Latencies: kept to three digits, told as percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is told apart, in nanoseconds: ten minutes.
const LONGEST_NS: u64 = 600_000_000_000;
/// Decimal digits that are kept.
const DIGITS: u8 = 3;

/// Latencies as they come.
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Latencies {
        Latencies(
            Histogram::new_with_max(LONGEST_NS, DIGITS)
                .unwrap_or_else(|e| panic!("the bounds are constants: {e}")),
        )
    }

    /// Adds one; what is longer than the longest counts as the longest.
    pub fn add(&mut self, latency: Duration) {
        self.0
            .saturating_record(latency.as_nanos().min(u128::from(LONGEST_NS)) as u64);
    }

    /// The percentiles.
    pub fn summary(&self) -> Percentiles {
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile| us(self.0.value_at_quantile(quantile));
        Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: us(self.0.max()),
        }
    }
}

/// Percentiles, in microseconds.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// One in ten is above it.
    pub p90: f64,
    /// One in a hundred is above it.
    pub p99: f64,
    /// One in a thousand is above it.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_added() {
        let mut latencies = Latencies::new();
        for us in 1..=1000 {
            latencies.add(Duration::from_micros(us));
        }
        let told = latencies.summary();
        for (got, expected) in [
            (told.p50, 500.0),
            (told.p90, 900.0),
            (told.p99, 990.0),
            (told.p999, 999.0),
            (told.max, 1000.0),
        ] {
            assert!(
                (got / expected - 1.0).abs() < 2e-3,
                "{got} instead of {expected}"
            );
        }
    }

    #[test]
    fn a_latency_beyond_the_range_is_kept_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.add(Duration::from_secs(10_000));
        assert!(latencies.summary().max >= 5e8);
    }
}
