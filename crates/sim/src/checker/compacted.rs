//! What may be gone of a compacted log: where both hold an offset the records are equal, and the newest value of each key stays.

use std::rc::Rc;

use wiber_model::batch::{BatchBuilder, Records, TimestampType};
use wiber_model::{Batch, Now, Offset, TimestampMs};
use wiber_storage::compression::Decoder;

use super::{Entry, Partition, hash};

/// A record, as far as it is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Content {
    /// Of its key; none if it has none.
    pub key: Option<u64>,
    /// Whether it has no value.
    pub is_tombstone: bool,
    /// Of its value and headers.
    pub rest: u64,
}

/// What a batch of a compacted log is.
#[derive(Clone, Copy, Default, Debug)]
pub struct Found {
    /// Records in it.
    pub records: u64,
    /// Records that it had when it was written.
    pub gone: u64,
}

/// The records of a batch, each with its offset delta and its timestamp; none if they cannot be read.
fn records(batch: &Batch) -> Option<Vec<(i32, i64, Content)>> {
    let payload = batch.payload();
    let decoder = Decoder::new(batch.compression().ok()?, &payload, u64::MAX).ok()?;
    let payload = decoder.into_vec().ok()?;
    let for_all = batch.timestamp_type() == TimestampType::LogAppendTime;
    Records::new(&payload, batch.record_count())
        .map(|record| {
            let record = record.ok()?;
            let timestamp = match for_all {
                true => batch.max_timestamp().0,
                false => batch.base_timestamp().0 + record.timestamp_delta,
            };
            let mut rest = record.value.unwrap_or_default().to_vec();
            for header in record.headers() {
                let header = header.ok()?;
                rest.extend_from_slice(header.key);
                rest.extend_from_slice(header.value.unwrap_or_default());
            }
            let content = Content {
                key: record.key.map(hash),
                is_tombstone: record.value.is_none(),
                rest: hash(&rest),
            };
            Some((record.offset_delta, timestamp, content))
        })
        .collect()
}

/// The records that a client puts into a batch.
pub fn contents_of(builder: &BatchBuilder) -> Rc<[Content]> {
    contents_in(&builder.clone().build())
}

/// The records of a batch.
pub(super) fn contents_in(batch: &Batch) -> Rc<[Content]> {
    let records = records(batch).unwrap_or_default();
    records.into_iter().map(|(_, _, content)| content).collect()
}

impl Partition {
    /// Checks a batch that was read against what was written at its place.
    pub fn check_compacted(&self, batch: &Batch, now: Now) -> Result<Found, String> {
        let entry = self.at(batch.base_offset());
        let wrong = || format!("invariant 11: {batch:?} was read, where there should be {entry:?}");
        let entry = entry.ok_or_else(wrong)?;
        if entry.hash == hash(batch.bytes()) {
            let records = entry.contents.len() as u64;
            return Ok(Found { records, gone: 0 });
        }
        let producer = (
            batch.producer_id().0,
            batch.producer_epoch().0,
            batch.base_sequence().0,
            batch.last_sequence().0,
        );
        let same_place = batch.check_crc().is_ok()
            && batch.next_offset() == entry.next
            && batch.leader_epoch() == entry.epoch
            && (producer.0 >= 0).then_some(producer) == entry.producer;
        if !same_place || !self.rules.compact {
            return Err(wrong());
        }
        let mut present = vec![false; entry.contents.len()];
        for (delta, timestamp, content) in records(batch).ok_or_else(wrong)? {
            let index = delta as usize;
            if entry.contents.get(index) != Some(&content)
                || entry.timestamps.get(index) != Some(&timestamp)
            {
                return Err(format!(
                    "invariant 11: the record at {} is {content:?} of {timestamp}, and was another",
                    entry.base.plus(i64::from(delta))
                ));
            }
            present[index] = true;
        }
        let mut gone = 0;
        for (index, _) in present.iter().enumerate().filter(|(_, there)| !**there) {
            self.check_gone(entry, index, now)?;
            gone += 1;
        }
        let records = present.len() as u64 - gone;
        Ok(Found { records, gone })
    }

    /// Checks that all records from `from` to before `to` may be gone, but for those of lost batches. Returns how many they are.
    pub fn check_all_gone(&self, from: Offset, to: Offset, now: Now) -> Result<u64, String> {
        let mut gone = 0;
        for entry in self.from(from).iter().take_while(|entry| entry.base < to) {
            if entry.lost {
                return Err(format!(
                    "D8: the batch at {} is lost, and a read passes over it",
                    entry.base
                ));
            }
            for index in 0..entry.contents.len() {
                let offset = entry.base.plus(index as i64);
                if offset >= from && offset < to {
                    self.check_gone(entry, index, now)?;
                    gone += 1;
                }
            }
        }
        Ok(gone)
    }

    /// Whether a read from `offset` may come upon nothing but records that cannot be read: at once, or behind what may be gone.
    pub fn is_unreadable_from(&self, offset: Offset, now: Now) -> bool {
        let lost = self.holes.iter().map(|(from, to)| *from..*to);
        let all = lost.chain(self.unreadable.iter().cloned());
        let end = self.damaged.then_some(self.end..Offset(i64::MAX));
        let mut behind = all.chain(end).filter(|range| offset < range.end);
        behind.any(|range| {
            range.start <= offset || self.check_all_gone(offset, range.start, now).is_ok()
        })
    }

    /// Whether a record may be gone.
    pub fn may_be_gone(&self, offset: Offset, now: Now) -> bool {
        let entry = self.from(offset).first();
        entry.is_some_and(|entry| {
            let index = (offset.0 - entry.base.0) as usize;
            self.check_gone(entry, index, now).is_ok()
        })
    }

    fn check_gone(&self, entry: &Entry, index: usize, now: Now) -> Result<(), String> {
        let offset = entry.base.plus(index as i64);
        let Some(content) = entry.contents.get(index).filter(|_| self.rules.compact) else {
            return Err(format!("the record at {offset} is gone"));
        };
        let Some(key) = content.key else {
            return Ok(());
        };
        let newer = self.newest.get(&key).is_some_and(|newest| *newest > offset);
        let expires = TimestampMs(entry.appended.0 + self.rules.delete_retention_ms);
        // A clock that jumps makes times longer and shorter.
        let expired = content.is_tombstone && (now.wall >= expires || self.clock_jumps);
        if newer || expired {
            return Ok(());
        }
        Err(format!(
            "the record at {offset} is gone, it was the newest of its key, and {content:?}, written at {}",
            entry.appended.0
        ))
    }

    /// Notes the newest records of their keys.
    pub(super) fn note_keys(&mut self, entry: &Entry) {
        for (index, content) in entry.contents.iter().enumerate() {
            if let Some(key) = content.key {
                self.newest.insert(key, entry.base.plus(index as i64));
            }
        }
    }
}
