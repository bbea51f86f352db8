//! What a log remembers of its idempotent producers, to store each batch once (KIP-98, S7).
//!
//! The rules are Kafka's (`ProducerStateManager`, `ProducerAppendInfo`): five batches are remembered per producer; the next
//! batch continues the sequence; a new producer epoch starts at sequence 0; a producer that is not known may start anywhere,
//! as its state may have expired.
//!
//! Invariant: at most [`REMEMBERED_BATCHES`] per producer, their offsets rising.

use std::collections::{BTreeMap, VecDeque};

use wiber_model::{Batch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// How many batches per producer are remembered: a client may have as many in flight.
pub const REMEMBERED_BATCHES: usize = 5;

/// A batch that a producer wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchEntry {
    /// Sequence of its first record.
    pub first_sequence: Sequence,
    /// Sequence of its last record.
    pub last_sequence: Sequence,
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Its largest timestamp.
    pub timestamp: TimestampMs,
}

/// One producer's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// When the broker last took a batch of it, by the broker's clock. Expiry counts from here.
    pub last_append: TimestampMs,
    /// Its last batches, oldest first.
    pub batches: VecDeque<BatchEntry>,
}

/// How a batch stands to what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceCheck {
    /// It comes next.
    Next,
    /// It is here already, as this one.
    Duplicate(BatchEntry),
    /// Its producer epoch is older than the newest one.
    OldEpoch {
        /// The newest epoch.
        current: ProducerEpoch,
    },
    /// A batch before it is missing.
    OutOfOrder {
        /// The last sequence that is here; −1 if there is none in this epoch.
        last: Sequence,
    },
}

/// The idempotent producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers(BTreeMap<ProducerId, ProducerEntry>);

impl Producers {
    /// The state of each producer.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        self.0.iter().map(|(id, entry)| (*id, entry))
    }

    /// Puts back a state as [`Producers::iter`] gave it.
    pub fn restore(&mut self, id: ProducerId, entry: ProducerEntry) {
        self.0.insert(id, entry);
    }

    /// How many producers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How `batch`, which has a producer id, stands to what is remembered.
    #[must_use]
    pub fn check(&self, batch: &Batch) -> SequenceCheck {
        let Some(entry) = self.0.get(&batch.producer_id()) else {
            return SequenceCheck::Next;
        };
        let first = batch.base_sequence();
        if batch.producer_epoch() < entry.epoch {
            return SequenceCheck::OldEpoch {
                current: entry.epoch,
            };
        }
        if batch.producer_epoch() > entry.epoch {
            return if first == Sequence(0) {
                SequenceCheck::Next
            } else {
                SequenceCheck::OutOfOrder { last: Sequence(-1) }
            };
        }
        let same = |known: &&BatchEntry| {
            known.first_sequence == first && known.last_sequence == batch.last_sequence()
        };
        if let Some(known) = entry.batches.iter().find(same) {
            return SequenceCheck::Duplicate(*known);
        }
        match entry.batches.back() {
            Some(last) if last.last_sequence.plus(1) != first => SequenceCheck::OutOfOrder {
                last: last.last_sequence,
            },
            _ => SequenceCheck::Next,
        }
    }

    /// Remembers `batch`, which is at its place in the log.
    pub fn remember(&mut self, batch: &Batch, now: TimestampMs) {
        let entry = self
            .0
            .entry(batch.producer_id())
            .or_insert_with(|| ProducerEntry {
                epoch: batch.producer_epoch(),
                last_append: now,
                batches: VecDeque::new(),
            });
        if entry.epoch != batch.producer_epoch() {
            entry.epoch = batch.producer_epoch();
            entry.batches.clear();
        }
        if entry.batches.len() == REMEMBERED_BATCHES {
            entry.batches.pop_front();
        }
        entry.last_append = now;
        entry.batches.push_back(BatchEntry {
            first_sequence: batch.base_sequence(),
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            timestamp: batch.max_timestamp(),
        });
    }

    /// Forgets producers that wrote nothing since `oldest`. Returns whether there was one.
    pub fn expire(&mut self, oldest: TimestampMs) -> bool {
        let before = self.0.len();
        self.0.retain(|_, entry| entry.last_append >= oldest);
        self.0.len() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiber_model::{LeaderEpoch, batch::BatchBuilder};

    fn batch(epoch: i16, first: i32, records: usize, at: i64) -> Batch {
        let time = TimestampMs(1);
        let mut builder =
            BatchBuilder::new(time).producer(ProducerId(7), ProducerEpoch(epoch), Sequence(first));
        for _ in 0..records {
            builder.push(time, None, Some(b"v"), &[]);
        }
        builder.build().placed(Offset(at), LeaderEpoch(0))
    }

    #[test]
    fn a_sequence_continues_repeats_or_is_refused() {
        let mut producers = Producers::default();
        let first = batch(0, 0, 3, 100);
        assert_eq!(producers.check(&first), SequenceCheck::Next);
        producers.remember(&first, TimestampMs(5));
        assert!(matches!(
            producers.check(&batch(0, 0, 3, 0)),
            SequenceCheck::Duplicate(entry) if entry.base_offset == Offset(100)
        ));
        assert_eq!(producers.check(&batch(0, 3, 1, 0)), SequenceCheck::Next);
        assert_eq!(
            producers.check(&batch(0, 4, 1, 0)),
            SequenceCheck::OutOfOrder { last: Sequence(2) }
        );
        assert_eq!(
            producers.check(&batch(0, 0, 2, 0)),
            SequenceCheck::OutOfOrder { last: Sequence(2) },
            "a batch that overlaps is no duplicate"
        );
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_fences_the_old() {
        let mut producers = Producers::default();
        producers.remember(&batch(1, 0, 3, 0), TimestampMs(5));
        assert_eq!(
            producers.check(&batch(0, 3, 1, 0)),
            SequenceCheck::OldEpoch {
                current: ProducerEpoch(1)
            }
        );
        assert_eq!(
            producers.check(&batch(2, 3, 1, 0)),
            SequenceCheck::OutOfOrder { last: Sequence(-1) }
        );
        assert_eq!(producers.check(&batch(2, 0, 1, 0)), SequenceCheck::Next);
    }

    #[test]
    fn five_batches_are_remembered_and_sequences_wrap() {
        let mut producers = Producers::default();
        let start = i32::MAX - 2;
        for i in 0..6 {
            let first = Sequence(start).plus(i).0;
            let next = batch(0, first, 1, i64::from(i));
            assert_eq!(producers.check(&next), SequenceCheck::Next, "batch {i}");
            producers.remember(&next, TimestampMs(5));
        }
        assert!(matches!(
            producers.check(&batch(0, start + 1, 1, 0)),
            SequenceCheck::Duplicate(_)
        ));
        assert!(matches!(
            producers.check(&batch(0, start, 1, 0)),
            SequenceCheck::OutOfOrder { .. }
        ));
    }

    #[test]
    fn an_idle_producer_expires_and_may_start_anywhere() {
        let mut producers = Producers::default();
        producers.remember(&batch(0, 0, 1, 0), TimestampMs(5));
        assert!(!producers.expire(TimestampMs(5)));
        assert!(producers.expire(TimestampMs(6)));
        assert_eq!(producers.check(&batch(0, 99, 1, 0)), SequenceCheck::Next);
    }
}
