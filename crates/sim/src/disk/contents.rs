//! What one file holds: on stable storage, in the page cache, and the changes between the two.
//!
//! Readers see the page cache. A sync carries changes to stable storage; a power loss keeps of the rest whatever it likes:
//! each change whole, torn by sectors, or not at all, and any of the sizes that the file had meanwhile.

use std::collections::VecDeque;

use wiber_model::Rng;
use wiber_storage::io::BLOCK_BYTES;

/// What a drive writes at once, in bytes.
pub const SECTOR_BYTES: usize = 512;

/// What is changed, and when.
#[derive(Clone, Debug)]
struct Change {
    number: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Write { at: usize, data: Vec<u8> },
    Resize(usize),
}

/// How much of the unsynced changes a power loss keeps.
#[derive(Clone, Copy, Debug)]
pub enum Survival {
    /// Everything: the cache was just being written out.
    All,
    /// Nothing at all.
    None,
    /// Each change by a draw of its own.
    Mixed,
}

/// One file's contents.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    stable: Vec<u8>,
    cached: Vec<u8>,
    unsynced: VecDeque<Change>,
    /// A sync failed and dropped changes: the cache shows what will never be on disk.
    forsaken: bool,
}

impl Contents {
    /// A file of zeros that were written and synced.
    pub fn zeros(len: usize) -> Contents {
        Contents {
            stable: vec![0; len],
            cached: vec![0; len],
            ..Contents::default()
        }
    }

    /// What readers see.
    pub fn bytes(&self) -> &[u8] {
        &self.cached
    }

    /// What is on stable storage, for faults that hit it there.
    pub fn stable_bytes(&self) -> &[u8] {
        &self.stable
    }

    /// Whether anything would be lost in a power loss.
    pub fn is_synced(&self) -> bool {
        self.unsynced.is_empty() && !self.forsaken
    }

    /// Writes into the page cache.
    pub fn write(&mut self, number: u64, at: usize, data: &[u8]) {
        overlay(&mut self.cached, at, data);
        let data = data.to_vec();
        let what = What::Write { at, data };
        self.unsynced.push_back(Change { number, what });
    }

    /// Writes past all caches: durable at once. What was written before to the same place can no longer come after it.
    pub fn write_through(&mut self, at: usize, data: &[u8]) {
        overlay(&mut self.cached, at, data);
        overlay(&mut self.stable, at, data);
        let end = at + data.len();
        let covered = |change: &Change| match &change.what {
            What::Write { at: start, data } => *start >= at && start + data.len() <= end,
            What::Resize(_) => false,
        };
        self.unsynced.retain(|change| !covered(change));
        for change in &mut self.unsynced {
            if let What::Write {
                at: start,
                data: old,
            } = &mut change.what
            {
                // Where an older write is only overlapped, its part takes the new bytes: it cannot undo them then.
                let (from, to) = (at.max(*start), end.min(*start + old.len()));
                if from < to {
                    old[from - *start..to - *start].copy_from_slice(&data[from - at..to - at]);
                }
            }
        }
    }

    /// Changes the size in the page cache.
    pub fn resize(&mut self, number: u64, len: usize) {
        self.cached.resize(len, 0);
        self.unsynced.push_back(Change {
            number,
            what: What::Resize(len),
        });
    }

    /// Makes durable what was changed up to `number`.
    pub fn sync(&mut self, number: u64) {
        while self
            .unsynced
            .front()
            .is_some_and(|change| change.number <= number)
        {
            if let Some(change) = self.unsynced.pop_front() {
                apply(&mut self.stable, &change.what);
            }
        }
    }

    /// A sync that fails as on Linux: of what was changed up to `number`, some is written and the rest is dropped, and the
    /// next sync knows of nothing. The cache shows all of it until it is evicted.
    pub fn fail_sync(&mut self, number: u64, rng: &mut Rng) {
        while self
            .unsynced
            .front()
            .is_some_and(|change| change.number <= number)
        {
            if let Some(change) = self.unsynced.pop_front() {
                if rng.one_in(2) {
                    apply(&mut self.stable, &change.what);
                } else {
                    self.forsaken = true;
                }
            }
        }
    }

    /// Reads from the disk again what a failed sync left in the cache.
    pub fn evict(&mut self) {
        if std::mem::take(&mut self.forsaken) {
            self.cached.clone_from(&self.stable);
            for change in &self.unsynced {
                apply(&mut self.cached, &change.what);
            }
        }
    }

    /// The power goes: what is left is what is on stable storage then.
    pub fn lose_power(&mut self, survival: Survival, rng: &mut Rng) {
        let mut sizes = vec![self.stable.len()];
        let mut size = self.stable.len();
        for change in std::mem::take(&mut self.unsynced) {
            size = match &change.what {
                What::Write { at, data } => size.max(at + data.len()),
                What::Resize(len) => *len,
            };
            sizes.push(size);
            match survival {
                Survival::All => apply(&mut self.stable, &change.what),
                Survival::None => {}
                Survival::Mixed => survive(&mut self.stable, &change.what, rng),
            }
        }
        let size = match survival {
            Survival::All => size,
            Survival::None => sizes[0],
            Survival::Mixed if sizes.len() == 1 => sizes[0],
            Survival::Mixed => {
                sizes.push(self.stable.len());
                sizes[rng.below(sizes.len() as u64) as usize]
            }
        };
        self.stable.resize(size, 0);
        self.cached.clone_from(&self.stable);
        self.forsaken = false;
    }

    /// Turns one bit over, on stable storage and, as if the page was read anew, in the cache.
    pub fn flip(&mut self, byte: usize, bit: u8) {
        for bytes in [&mut self.stable, &mut self.cached] {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= 1 << bit;
            }
        }
    }
}

/// The parts of a write that got to the disk, as ranges of its data: it was cut off somewhere, or its sectors went their own
/// ways.
pub fn torn(at: usize, len: usize, rng: &mut Rng) -> Vec<std::ops::Range<usize>> {
    let unit = if rng.one_in(2) {
        SECTOR_BYTES
    } else {
        BLOCK_BYTES
    };
    let first = unit - at % unit;
    let mut cuts = vec![0];
    cuts.extend((first..len).step_by(unit));
    cuts.push(len);
    let pieces = cuts.windows(2).map(|cut| cut[0]..cut[1]);
    if rng.one_in(2) {
        let kept = rng.below(cuts.len() as u64) as usize;
        pieces.take(kept).collect()
    } else {
        pieces.filter(|_| rng.one_in(2)).collect()
    }
}

fn survive(bytes: &mut Vec<u8>, what: &What, rng: &mut Rng) {
    match (rng.below(3), what) {
        (0, _) => {}
        (1, What::Write { at, data }) => {
            for range in torn(*at, data.len(), rng) {
                overlay(bytes, at + range.start, &data[range]);
            }
        }
        _ => apply(bytes, what),
    }
}

fn apply(bytes: &mut Vec<u8>, what: &What) {
    match what {
        What::Write { at, data } => overlay(bytes, *at, data),
        What::Resize(len) => bytes.resize(*len, 0),
    }
}

fn overlay(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILL: [u8; 10_000] = [7; 10_000];

    #[test]
    fn a_reader_sees_what_a_power_loss_takes_away() {
        let mut rng = Rng::new(1);
        let mut file = Contents::default();
        file.write(1, 0, b"synced");
        file.sync(1);
        file.write(2, 6, b" and not");
        assert_eq!(file.bytes(), b"synced and not");
        file.lose_power(Survival::None, &mut rng);
        assert_eq!(file.bytes(), b"synced");
    }

    #[test]
    fn a_sync_covers_only_what_was_written_before_it_began() {
        let mut file = Contents::default();
        file.write(1, 0, b"before");
        file.write(2, 6, b"after");
        file.sync(1);
        file.lose_power(Survival::None, &mut Rng::new(1));
        assert_eq!(file.bytes(), b"before");
    }

    #[test]
    fn every_fate_of_a_write_comes_up() {
        let (mut whole, mut none, mut torn, mut unordered, mut short) = (0, 0, 0, 0, 0);
        for seed in 0..400 {
            let mut rng = Rng::new(seed);
            let mut file = Contents::zeros(20_000);
            file.write(1, 0, &FILL);
            file.write(2, 10_000, &FILL);
            file.write(3, 20_000, &FILL);
            file.lose_power(Survival::Mixed, &mut rng);
            let part = |range: std::ops::Range<usize>| {
                let bytes = file.bytes().get(range).unwrap_or_default();
                (bytes.contains(&7), bytes.contains(&0))
            };
            whole += usize::from(part(0..10_000) == (true, false));
            none += usize::from(part(0..10_000) == (false, true));
            torn += usize::from(part(0..10_000) == (true, true));
            unordered += usize::from(!part(0..10_000).0 && part(10_000..20_000).0);
            short += usize::from(file.bytes().len() < 30_000 && file.bytes().len() > 20_000);
        }
        let fates = [whole, none, torn, unordered];
        assert!(fates.iter().all(|count| *count > 20), "{fates:?}");
        assert!(short > 0, "a file may end in the middle of a write");
    }

    #[test]
    fn a_failed_sync_drops_pages_that_the_cache_still_shows() {
        let (mut lost, mut kept) = (0, 0);
        for seed in 0..40 {
            let mut rng = Rng::new(seed);
            let mut file = Contents::zeros(8);
            file.write(1, 0, b"dropped!");
            file.fail_sync(1, &mut rng);
            file.sync(1);
            assert_eq!(file.bytes(), b"dropped!");
            file.lose_power(Survival::All, &mut rng);
            if file.bytes() == [0; 8] {
                lost += 1;
            } else {
                kept += 1;
            }
        }
        assert!(lost > 5 && kept > 5, "{lost} {kept}");
    }

    #[test]
    fn an_older_write_does_not_undo_a_durable_one() {
        for seed in 0..50 {
            let mut file = Contents::zeros(8);
            file.write(1, 0, b"oldold");
            file.write_through(2, b"NEW");
            file.lose_power(Survival::Mixed, &mut Rng::new(seed));
            assert_eq!(&file.bytes()[2..5], b"NEW");
        }
    }

    #[test]
    fn eviction_shows_what_is_on_disk() {
        let mut file = Contents::zeros(4);
        for seed in 0.. {
            file.write(1, 0, b"gone");
            file.fail_sync(1, &mut Rng::new(seed));
            if file.forsaken {
                break;
            }
        }
        let stable = file.stable_bytes().to_vec();
        assert!(!file.is_synced());
        file.evict();
        assert_eq!(file.bytes(), stable);
    }
}
