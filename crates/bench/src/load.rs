//! Produce load over several connections from one thread.
//!
//! With an open pace the time of each record is fixed before the run: record `i` is due at `i / rate`, whatever the
//! broker does, and its latency counts from then until its acknowledgement was read. So a broker that stalls is charged
//! for every record that fell due meanwhile, and not only for the few that were on their way. With a closed pace each
//! connection keeps a number of requests on the way, and a latency counts from the sending.
//!
//! The thread waits in `poll` between two times and never spins: on two cores a spinning client would take the
//! broker's. What the waking costs is part of the latencies, and is told apart as `send_lag_us`.

mod pipe;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use wiber_model::TimestampMs;
use wiber_model::batch::BatchBuilder;
use wiber_model::rng::Rng;
use wiber_protocol::Str;

use crate::client::produce_request;
use crate::error::BenchError;
use crate::latency::{Latencies, Percentiles};
use pipe::Pipe;

/// How long nothing may be answered while something is on its way.
const STALL_DEADLINE: Duration = Duration::from_secs(30);
/// Between the set-up and the first record.
const LEAD: Duration = Duration::from_millis(5);
/// Linux may wake a thread this much later than asked, in nanoseconds; its default of 50,000 would show.
const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::MIN;
/// Values are random, so that nothing on the way can compress them; the seed is fixed, so that runs are alike.
const VALUE_SEED: u64 = 0x5769_6265_7242_656e;

/// What to send, where and when.
#[derive(Clone, Debug)]
pub struct Options {
    /// The broker.
    pub broker: SocketAddr,
    /// The topic, which exists.
    pub topic: String,
    /// Its partitions, used in turn.
    pub partitions: i32,
    /// How many records, rounded up to whole requests.
    pub records: u64,
    /// Bytes of each record's value.
    pub value_bytes: usize,
    /// Records of a request.
    pub batch: u64,
    /// Connections, used in turn.
    pub connections: u16,
    /// The first records, which are not counted.
    pub warm_up_records: u64,
    /// When to send.
    pub pace: Pace,
}

/// When requests are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// At times that are fixed beforehand.
    Open {
        /// Over all connections.
        records_per_s: u64,
    },
    /// When an earlier one was answered.
    Closed {
        /// Requests on the way on each connection.
        in_flight: u16,
    },
}

/// What came of it. Records of the warm-up are left out.
#[derive(Serialize, Clone, Debug)]
pub struct Outcome {
    /// Acknowledged records.
    pub records: u64,
    /// From the first record's time to the last acknowledgement.
    pub seconds: f64,
    /// Acknowledged records a second.
    pub records_per_s: f64,
    /// Their values, in 10⁶ bytes a second.
    pub mb_per_s: f64,
    /// From a record's time to its acknowledgement.
    pub latency_us: Percentiles,
    /// From a request's time to its sending: the part of the latencies that is the client's own.
    pub send_lag_us: Percentiles,
}

/// A load in the making.
pub struct Load {
    options: Options,
    topic: Str,
    records: Bytes,
    /// Sent so far, in requests.
    sent: u64,
    /// Answered so far, in requests.
    answered: u64,
    latencies: Latencies,
    send_lags: Latencies,
    counted_from: Option<Instant>,
    last_answer: Option<Instant>,
}

impl Load {
    /// Prepares the records: every request carries the same batch.
    pub fn new(options: Options) -> Load {
        Load {
            topic: options.topic.as_str().into(),
            records: batch(options.batch, options.value_bytes),
            options,
            sent: 0,
            answered: 0,
            latencies: Latencies::new(),
            send_lags: Latencies::new(),
            counted_from: None,
            last_answer: None,
        }
    }

    /// Sends everything and waits for all acknowledgements.
    ///
    /// # Errors
    /// A refused record is an error, and so is a broker that answers nothing for 30 s.
    pub fn run(mut self) -> Result<Outcome, BenchError> {
        rustix::thread::set_current_timer_slack(Some(TIMER_SLACK_NS))
            .map_err(std::io::Error::from)?;
        let mut pipes = (0..self.options.connections)
            .map(|_| Pipe::connect(self.options.broker))
            .collect::<Result<Vec<_>, _>>()?;
        let start = Instant::now() + LEAD;
        let mut progress = start;
        while self.answered < self.requests() {
            self.send_due(&mut pipes, start)?;
            wait(&pipes, self.next_send(start))?;
            for pipe in &mut pipes {
                if self.receive(pipe, start)? > 0 {
                    progress = Instant::now();
                }
            }
            if self.answered == self.sent {
                progress = Instant::now();
            } else if progress.elapsed() > STALL_DEADLINE {
                return Err(BenchError::Stalled(STALL_DEADLINE));
            }
        }
        Ok(self.outcome(start))
    }

    fn requests(&self) -> u64 {
        self.options.records.div_ceil(self.options.batch)
    }

    /// Sends what is due; with a closed pace, what there is room for.
    fn send_due(&mut self, pipes: &mut [Pipe], start: Instant) -> Result<(), BenchError> {
        match self.options.pace {
            Pace::Open { .. } => {
                let now = Instant::now();
                while self.next_send(start).is_some_and(|due| due <= now) {
                    let count = pipes.len() as u64;
                    self.send(&mut pipes[(self.sent % count) as usize], start)?;
                }
            }
            Pace::Closed { in_flight } => {
                for pipe in pipes.iter_mut() {
                    while pipe.in_flight() < usize::from(in_flight) && self.sent < self.requests() {
                        self.send(pipe, start)?;
                    }
                }
            }
        }
        pipes.iter_mut().try_for_each(Pipe::flush)
    }

    fn send(&mut self, pipe: &mut Pipe, start: Instant) -> Result<(), BenchError> {
        let request = self.sent;
        let now = Instant::now();
        if self.counts(request) {
            self.counted_from.get_or_insert(now);
            if let Some(due) = self.next_send(start) {
                self.send_lags.add(now.saturating_duration_since(due));
            }
        }
        let partition = (request % self.options.partitions as u64) as i32;
        let records = self.records.clone();
        let body = produce_request(&self.topic, partition, records);
        pipe.send(&body, request, now)?;
        self.sent += 1;
        Ok(())
    }

    /// When the next request is to go, with an open pace: when its last record is due.
    fn next_send(&self, start: Instant) -> Option<Instant> {
        let last_record = (self.sent + 1) * self.options.batch - 1;
        if self.sent < self.requests() {
            self.due(last_record, start)
        } else {
            None
        }
    }

    fn due(&self, record: u64, start: Instant) -> Option<Instant> {
        match self.options.pace {
            Pace::Open { records_per_s } => Some(start + due_after(record, records_per_s)),
            Pace::Closed { .. } => None,
        }
    }

    fn counts(&self, request: u64) -> bool {
        request * self.options.batch >= self.options.warm_up_records
    }

    /// Takes the answers that have come, and returns how many.
    fn receive(&mut self, pipe: &mut Pipe, start: Instant) -> Result<u64, BenchError> {
        pipe.receive()?;
        let now = Instant::now();
        let mut answers = 0;
        while let Some(answered) = pipe.next_answer()? {
            answers += 1;
            self.last_answer = Some(now);
            if !self.counts(answered.request) {
                continue;
            }
            let first = answered.request * self.options.batch;
            for record in first..first + self.options.batch {
                let from = self.due(record, start).unwrap_or(answered.sent);
                self.latencies.add(now.saturating_duration_since(from));
            }
        }
        self.answered += answers;
        Ok(answers)
    }

    fn outcome(&self, start: Instant) -> Outcome {
        let warm_up_requests = self.options.warm_up_records.div_ceil(self.options.batch);
        let records = self.requests().saturating_sub(warm_up_requests) * self.options.batch;
        let from = self
            .due(warm_up_requests * self.options.batch, start)
            .or(self.counted_from)
            .unwrap_or(start);
        let to = self.last_answer.unwrap_or(start);
        let seconds = to.saturating_duration_since(from).as_secs_f64();
        let records_per_s = records as f64 / seconds;
        Outcome {
            records,
            seconds,
            records_per_s,
            mb_per_s: records_per_s * self.options.value_bytes as f64 / 1e6,
            latency_us: self.latencies.summary(),
            send_lag_us: self.send_lags.summary(),
        }
    }
}

/// The time of a record, counted from the start.
fn due_after(record: u64, records_per_s: u64) -> Duration {
    let ns = u128::from(record) * 1_000_000_000 / u128::from(records_per_s);
    Duration::from_nanos(ns as u64)
}

fn batch(records: u64, value_bytes: usize) -> Bytes {
    let now = wall_clock();
    let mut rng = Rng::new(VALUE_SEED);
    let mut batch = BatchBuilder::new(now);
    for _ in 0..records {
        let value: Vec<u8> = (0..value_bytes)
            .map(|_| rng.next_u64().to_le_bytes()[0])
            .collect();
        batch.push(now, None, Some(&value), &[]);
    }
    batch.build().into_bytes()
}

/// The time by the wall clock.
pub fn wall_clock() -> TimestampMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    TimestampMs(since.as_millis() as i64)
}

/// Waits until an answer can be read, or more of a request written, or it is `until`.
fn wait(pipes: &[Pipe], until: Option<Instant>) -> Result<(), BenchError> {
    let mut fds: Vec<_> = pipes
        .iter()
        .map(|pipe| {
            let writable = if pipe.is_blocked() {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            PollFd::new(pipe, PollFlags::IN | writable)
        })
        .collect();
    let timeout = until.map_or(STALL_DEADLINE, |until| {
        until.saturating_duration_since(Instant::now())
    });
    let timeout = Timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}

#[cfg(test)]
mod tests;
