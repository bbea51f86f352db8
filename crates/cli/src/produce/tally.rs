//! Counts what was delivered, and says what was not.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use serde_json::json;
use wiber_client::{ClientError, Delivery};

use crate::failure::{Failure, after_printing, say};
use crate::output::{Output, counted, object};
use crate::progress::Progress;

/// So many problems are told one by one; the others are counted.
const TOLD_MAX: u64 = 10;

/// What became of the records.
#[derive(Debug)]
pub struct Tally {
    topic: String,
    /// The only record is an argument: there are no lines to speak of.
    single: bool,
    partitions: BTreeMap<i32, Delivered>,
    delivered: u64,
    failed: u64,
    /// Lines that never were records.
    refused: u64,
    told: u64,
    hopeless: bool,
    progress: Progress,
}

#[derive(Clone, Copy, Debug)]
struct Delivered {
    records: u64,
    first: Option<i64>,
    last: Option<i64>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(topic: &str, single: bool, interactive: bool) -> Tally {
        Tally {
            topic: topic.to_owned(),
            single,
            partitions: BTreeMap::new(),
            delivered: 0,
            failed: 0,
            refused: 0,
            told: 0,
            hopeless: false,
            progress: Progress::new(!single && !interactive),
        }
    }

    /// Tells whoever sits at the terminal what to do.
    pub fn welcome(&self) {
        let _ = writeln!(
            io::stderr(),
            "Each line is a record for {}. Ctrl-D ends.",
            self.topic
        );
    }

    /// Counts a batch.
    pub fn count(&mut self, delivery: Delivery) {
        let records = delivery.tags.len() as u64;
        match delivery.outcome {
            Ok(offset) => {
                self.delivered += records;
                let entry = self
                    .partitions
                    .entry(delivery.partition)
                    .or_insert(Delivered {
                        records: 0,
                        first: offset,
                        last: None,
                    });
                entry.records += records;
                entry.last = offset.map(|first| first + records as i64 - 1);
            }
            Err(error) => {
                self.failed += records;
                self.hopeless |= matches!(error, ClientError::Undelivered { .. });
                self.tell(&format!(
                    "{} for partition {}: {error}",
                    self.named(&delivery.tags),
                    delivery.partition
                ));
            }
        }
        self.show_progress();
    }

    /// Counts a line that is no record.
    pub fn refuse(&mut self, line: u64, problem: &str) {
        self.refused += 1;
        let problem = if self.single {
            problem.to_owned()
        } else {
            format!("line {line}: {problem}")
        };
        self.tell(&problem);
    }

    /// How many were delivered.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether the fate of some of `sent` records is not known yet.
    pub fn is_waiting_for(&self, sent: u64) -> bool {
        self.delivered + self.failed < sent
    }

    /// Whether records were given up because of time: those that follow will fare no better.
    pub fn is_hopeless(&self) -> bool {
        self.hopeless
    }

    /// Says that no more is read.
    pub fn stopped(&mut self) {
        self.progress.clear();
        say("no more is read, as nothing can be delivered now");
    }

    /// Shows on a terminal how far it is.
    pub fn show_progress(&mut self) {
        let delivered = self.delivered;
        self.progress
            .show(|| format!("{} delivered", counted(delivered, "record")));
    }

    /// The last words.
    pub fn report(mut self, output: Output) -> Result<(), Failure> {
        self.progress.clear();
        let lost = self.failed + self.refused;
        let outcome = if lost > 0 { Err(Failure::Told) } else { Ok(()) };
        if output.is_json() {
            let partitions: Vec<_> = self
                .partitions
                .iter()
                .map(|(index, it)| {
                    json!({
                        "partition": index, "records": it.records, "first_offset": it.first, "last_offset": it.last,
                    })
                })
                .collect();
            let printed = object(&json!({
                "topic": self.topic, "delivered": self.delivered, "failed": lost, "partitions": partitions,
            }));
            return after_printing(outcome, printed);
        }
        if lost > 0 && !self.single {
            say(&format!(
                "{} not delivered, {} delivered to {}",
                counted(lost, "record"),
                self.delivered,
                self.topic
            ));
        } else if lost == 0 && io::stderr().is_terminal() {
            let _ = writeln!(io::stderr(), "{}", self.success());
        }
        outcome
    }

    fn success(&self) -> String {
        let only = self.partitions.iter().next().filter(|_| self.single);
        match only {
            Some((
                partition,
                Delivered {
                    first: Some(at), ..
                },
            )) => {
                format!(
                    "Delivered to {}, partition {partition}, offset {at}.",
                    self.topic
                )
            }
            _ => format!(
                "{} delivered to {}.",
                counted(self.delivered, "record"),
                self.topic
            ),
        }
    }

    fn tell(&mut self, problem: &str) {
        self.told += 1;
        if self.told > TOLD_MAX {
            if self.told == TOLD_MAX + 1 {
                self.progress.clear();
                say("and more, which are counted");
            }
            return;
        }
        self.progress.clear();
        say(problem);
    }

    fn named(&self, tags: &[u64]) -> String {
        match (self.single, tags) {
            (false, [only]) => format!("line {only}"),
            (false, [first, .., last]) => {
                format!("{} records of lines {first} to {last}", tags.len())
            }
            _ => "the record".to_owned(),
        }
    }
}
