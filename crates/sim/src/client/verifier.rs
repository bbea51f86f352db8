//! Reads every log back whole, from its start to its high watermark, after each start of the broker and at the end of a run.

use std::collections::VecDeque;

use wiber_model::Offset;
use wiber_protocol::ErrorCode;

use super::{Client, Connection, Hands, end_of, fetch};
use crate::checker::Checker;
use crate::coverage::Count;
use crate::exchange::{Answer, Ask, Exchange, Place};

/// It rests so long between fetches, in microseconds.
const PAUSE_US: u64 = 100;

/// A log that is being read.
#[derive(Clone, Debug)]
struct Reading {
    place: Place,
    next: Offset,
    end: Offset,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Verifier {
    connection: Connection,
    queue: VecDeque<Reading>,
    current: Option<Reading>,
    busy: bool,
    /// It is to begin anew.
    due: bool,
}

impl Verifier {
    /// One that begins as soon as the broker serves.
    pub fn begun() -> Verifier {
        Verifier {
            due: true,
            ..Verifier::default()
        }
    }

    fn collect(&mut self, checker: &Checker) {
        self.due = false;
        for place in checker.all_places() {
            if let Some(partition) = checker
                .partitions
                .get(&place.partition())
                .filter(|p| p.present)
            {
                self.queue.push_back(Reading {
                    place,
                    next: partition.start,
                    // What a damaged log lost must be refused, not passed over.
                    end: if partition.damaged {
                        partition.promised_end
                    } else {
                        partition.visible_end
                    },
                });
            }
        }
    }

    fn advance(&mut self, hands: &mut Hands<'_>) {
        while self
            .current
            .as_ref()
            .is_none_or(|reading| reading.next >= reading.end)
        {
            if self.current.take().is_some() {
                hands.coverage.add(Count::LogsVerified);
            }
            match self.queue.pop_front() {
                Some(reading) => self.current = Some(reading),
                None => return,
            }
        }
    }
}

impl Client for Verifier {
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn wake(&mut self, hands: &mut Hands<'_>) -> u64 {
        if self.connection.is_usable(hands) && !self.busy {
            if self.due && hands.checker.ready {
                self.collect(hands.checker);
            }
            self.advance(hands);
            if let Some(reading) = &self.current {
                let partition_bytes = 100 << hands.rng.below(10);
                let positions = vec![(reading.place.clone(), reading.next)];
                let mut request = fetch(positions.clone(), &[true], partition_bytes);
                request.max_bytes = 1 << 20;
                self.busy = true;
                hands.send(Ask::Fetch(request, positions), 0);
            }
        }
        let idle = self.current.is_none() && !self.due;
        if idle { 20 * PAUSE_US } else { PAUSE_US }
    }

    fn answered(&mut self, exchange: &Exchange, answer: &Answer, hands: &mut Hands<'_>) {
        self.busy = false;
        let (Ask::Fetch(_, positions), Answer::Fetch(response)) = (&exchange.ask, answer) else {
            return;
        };
        let Some(reading) = self
            .current
            .as_mut()
            .filter(|r| positions.iter().any(|(place, _)| *place == r.place))
        else {
            return;
        };
        let Some(data) = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions)
            .next()
        else {
            return;
        };
        let partition = hands.checker.partitions.get(&reading.place.partition());
        let Some(partition) = partition.filter(|partition| partition.present) else {
            self.current = None;
            return;
        };
        match ErrorCode::from_code(data.error_code) {
            Some(ErrorCode::None) => {
                reading.next = end_of(data).unwrap_or(reading.next);
            }
            Some(ErrorCode::OffsetOutOfRange) => reading.next = reading.next.max(partition.start),
            Some(ErrorCode::CorruptMessage | ErrorCode::KafkaStorageError)
                if hands.checker.excuses.flips =>
            {
                // The batch that cannot be read is passed over; what comes after it must still be there.
                let next = partition
                    .from(reading.next)
                    .first()
                    .map_or(reading.end, |entry| entry.next);
                reading.next = next;
            }
            _ => {}
        }
    }

    fn lost(&mut self, _hands: &mut Hands<'_>) {
        self.busy = false;
    }

    fn unfinished(&self, _checker: &Checker) -> Option<String> {
        let reading = self.current.as_ref().or(self.queue.front());
        match reading {
            _ if self.due => Some("the logs are not read back".to_owned()),
            Some(reading) => Some(format!(
                "{:?} is read back up to {} of {}",
                reading.place, reading.next, reading.end
            )),
            None => None,
        }
    }
}
