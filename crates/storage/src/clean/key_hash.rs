//! SipHash-2-4 with 128 bits (Aumasson and Bernstein), under a key that nobody outside knows.
//!
//! Compaction tells keys apart by their hashes alone, as Kafka does. Whoever could make two keys with one hash could have somebody
//! else's record removed; without the hash's key nobody can, and by chance it does not happen.

/// Hashes keys of records.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher(u64, u64);

/// What stands for a key.
pub type KeyHash = (u64, u64);

struct State([u64; 4]);

impl KeyHasher {
    /// A hasher with this key.
    #[must_use]
    pub fn new(first: u64, second: u64) -> KeyHasher {
        KeyHasher(first, second)
    }

    /// The hash of some bytes.
    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> KeyHash {
        let KeyHasher(k0, k1) = *self;
        let mut state = State([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ]);
        let (words, rest) = bytes.as_chunks();
        words
            .iter()
            .for_each(|word| state.absorb(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        last[7] = bytes.len() as u8;
        state.absorb(u64::from_le_bytes(last));
        state.0[2] ^= 0xee;
        let first = state.finish();
        state.0[1] ^= 0xdd;
        (first, state.finish())
    }
}

impl State {
    fn absorb(&mut self, word: u64) {
        self.0[3] ^= word;
        self.rounds(2);
        self.0[0] ^= word;
    }

    fn finish(&mut self) -> u64 {
        self.rounds(4);
        self.0.iter().fold(0, |all, word| all ^ word)
    }

    fn rounds(&mut self, count: usize) {
        let [a, b, c, d] = &mut self.0;
        for _ in 0..count {
            *a = a.wrapping_add(*b);
            *c = c.wrapping_add(*d);
            *b = b.rotate_left(13) ^ *a;
            *d = d.rotate_left(16) ^ *c;
            *a = a.rotate_left(32);
            *c = c.wrapping_add(*b);
            *a = a.wrapping_add(*d);
            *b = b.rotate_left(17) ^ *c;
            *d = d.rotate_left(21) ^ *a;
            *c = c.rotate_left(32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_reference() {
        let key: Vec<u8> = (0..16).collect();
        let word = |at: usize| u64::from_le_bytes(key[at..at + 8].try_into().unwrap());
        let hasher = KeyHasher::new(word(0), word(8));
        let hash = |bytes: &[u8]| {
            let (first, second) = hasher.hash(bytes);
            let bytes = [first.to_le_bytes(), second.to_le_bytes()].concat();
            bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()
        };
        assert_eq!(hash(&[]), "a3817f04ba25a8e66df67214c7550293");
        assert_eq!(hash(&[0]), "da87c1d86b99af44347659119b22fc45");
    }

    #[test]
    fn every_byte_counts() {
        let hasher = KeyHasher::new(1, 2);
        let bytes = [7; 40];
        let mut seen: Vec<_> = (0..=40).map(|len| hasher.hash(&bytes[..len])).collect();
        for at in 0..40 {
            let mut other = bytes;
            other[at] ^= 1;
            seen.push(hasher.hash(&other));
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 81);
    }
}
