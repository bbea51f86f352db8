//! The newest offset of each key, in bounded memory.
//!
//! Invariants: never more memory than was allowed, growing included; a key that is in the map has the newest offset that was put.

use wiber_model::Offset;

use super::key_hash::{KeyHash, KeyHasher};

/// Bytes of a place for a key.
pub const SLOT_BYTES: u64 = size_of::<Slot>() as u64;
/// A large map grows in so many parts, so that a part's old place is all that it holds beside.
const PARTS: u64 = 64;
/// A map of fewer bytes has one part.
const PARTED_BYTES_MIN: u64 = 1024 * 1024;
/// The places that a part begins with.
const SLOTS_MIN: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: KeyHash,
    offset: i64,
}

const FREE: Slot = Slot {
    hash: (0, 0),
    offset: -1,
};

/// See the module.
#[derive(Debug)]
pub struct OffsetMap {
    hasher: KeyHasher,
    parts: Vec<Part>,
    /// How many places a part may have.
    part_slots_max: usize,
    /// Which part of a part's places may be taken.
    load: f64,
    len: usize,
}

#[derive(Debug, Default)]
struct Part {
    slots: Vec<Slot>,
    len: usize,
}

impl OffsetMap {
    /// An empty map that takes at most `bytes_max` bytes, and fills its places up to `load`, from 0 to 1. One key always fits.
    #[must_use]
    pub fn new(bytes_max: u64, load: f64, hasher: KeyHasher) -> OffsetMap {
        let parts = match bytes_max < PARTED_BYTES_MIN {
            true => 1,
            false => PARTS,
        };
        let slots = bytes_max / SLOT_BYTES / parts;
        OffsetMap {
            hasher,
            parts: (0..parts).map(|_| Part::default()).collect(),
            part_slots_max: usize::try_from(slots).unwrap_or(usize::MAX).max(2),
            load: load.clamp(0.0, 1.0),
            len: 0,
        }
    }

    /// How many keys it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Notes that `key` is at `offset`, which is higher than all before. False if the map is full, and the key is not in it.
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hasher.hash(key);
        let (part_slots_max, load) = (self.part_slots_max, self.load);
        let number = self.part(hash);
        let part = &mut self.parts[number];
        if let Some(slot) = part.find(hash) {
            slot.offset = offset.0;
            return true;
        }
        if !part.has_room(load) {
            let wanted =
                (part.slots.len() * 2).clamp(SLOTS_MIN.min(part_slots_max), part_slots_max);
            if wanted == part.slots.len() {
                return false;
            }
            part.grow(wanted);
            if !part.has_room(load) {
                return false;
            }
        }
        part.add(Slot {
            hash,
            offset: offset.0,
        });
        self.len += 1;
        true
    }

    /// The newest offset of a key, if it is in the map.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let hash = self.hasher.hash(key);
        let part = &self.parts[self.part(hash)];
        let at = part.place(hash)?;
        let slot = part.slots[at];
        (slot.offset >= 0).then_some(Offset(slot.offset))
    }

    fn part(&self, hash: KeyHash) -> usize {
        scaled(hash.0, self.parts.len())
    }
}

impl Part {
    /// One key always has room; one place always stays free, so that a search ends.
    fn has_room(&self, load: f64) -> bool {
        let most = ((self.slots.len() as f64 * load) as usize).max(1);
        self.len < most.min(self.slots.len().saturating_sub(1))
    }

    /// Where a key is, or would be; none without places.
    fn place(&self, hash: KeyHash) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = scaled(hash.1, self.slots.len());
        while self.slots[at].offset >= 0 && self.slots[at].hash != hash {
            at = (at + 1) % self.slots.len();
        }
        Some(at)
    }

    fn find(&mut self, hash: KeyHash) -> Option<&mut Slot> {
        let at = self.place(hash)?;
        Some(&mut self.slots[at]).filter(|slot| slot.offset >= 0)
    }

    fn add(&mut self, slot: Slot) {
        if let Some(at) = self.place(slot.hash) {
            self.slots[at] = slot;
            self.len += 1;
        }
    }

    fn grow(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![FREE; slots]);
        self.len = 0;
        old.into_iter()
            .filter(|slot| slot.offset >= 0)
            .for_each(|slot| self.add(slot));
    }
}

/// A number below `count`, evenly.
fn scaled(hash: u64, count: usize) -> usize {
    ((u128::from(hash) * count as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use wiber_model::Rng;

    fn map(bytes: u64) -> OffsetMap {
        OffsetMap::new(bytes, 0.9, KeyHasher::new(1, 2))
    }

    #[test]
    fn it_holds_the_newest_offset_of_each_key() {
        let mut rng = Rng::new(1);
        for bytes in [24 * 5_000, 4 * PARTED_BYTES_MIN] {
            let (mut map, mut model) = (map(bytes), BTreeMap::new());
            for offset in 0..20_000 {
                let key = rng.below(3_000).to_string();
                assert!(map.put(key.as_bytes(), Offset(offset)));
                model.insert(key, offset);
            }
            assert_eq!(map.len(), model.len());
            for (key, offset) in model {
                assert_eq!(map.get(key.as_bytes()), Some(Offset(offset)));
            }
            assert_eq!(map.get(b"another"), None);
        }
    }

    #[test]
    fn it_is_full_in_time_and_takes_at_least_one_key() {
        for bytes in [0, 24, 100, 2_400, 3 * PARTED_BYTES_MIN] {
            let mut map = map(bytes);
            let taken = (0..).take_while(|i: &i64| map.put(&i.to_be_bytes(), Offset(*i)));
            let taken = taken.count() as u64;
            assert!(
                taken >= 1 && taken <= (bytes / SLOT_BYTES).max(1),
                "{bytes}"
            );
            let held: usize = map.parts.iter().map(|part| part.slots.len()).sum();
            assert!(held as u64 <= (bytes / SLOT_BYTES).max(2));
            assert!(
                taken as f64 >= bytes as f64 / SLOT_BYTES as f64 * 0.85 - 2.0,
                "{bytes}"
            );
            // A key that it knows is taken still.
            assert!(map.put(&0_i64.to_be_bytes(), Offset(1 << 40)));
            assert_eq!(map.get(&0_i64.to_be_bytes()), Some(Offset(1 << 40)));
        }
    }
}
