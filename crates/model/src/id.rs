//! Id newtypes. Kafka's names are kept for Kafka's things; arithmetic that makes sense for a type is on the type.

use std::fmt;
use std::str::FromStr;

/// Declares a newtype over an integer with the conversions and the display that all of them share.
macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

integer_id! {
    /// A position in a partition: the number of the record that is, or will be, there.
    Offset(i64)
}
integer_id! {
    /// The number of a leader's term over one partition; −1 where it is unknown.
    LeaderEpoch(i32)
}
integer_id! {
    /// A log sequence number: counts the frames of one disk's write-ahead log, from 1. Zero is "before the first".
    Lsn(u64)
}
integer_id! {
    /// A broker's node id.
    BrokerId(i32)
}
integer_id! {
    /// An idempotent or transactional producer; −1 is "none".
    ProducerId(i64)
}
integer_id! {
    /// The incarnation of a producer id; −1 is "none".
    ProducerEpoch(i16)
}
integer_id! {
    /// A producer's per-partition record counter; it wraps from `i32::MAX` to 0. −1 is "none".
    Sequence(i32)
}

impl Offset {
    /// The first offset of a partition.
    pub const ZERO: Offset = Offset(0);

    /// The offset `records` further on. Where damaged bytes claim offsets at the end of all, it stays there.
    #[must_use]
    pub fn plus(self, records: i64) -> Offset {
        Offset(self.0.saturating_add(records))
    }
}

impl LeaderEpoch {
    /// "Unknown", as Kafka writes it.
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);
}

impl Lsn {
    /// The LSN before the first frame.
    pub const ZERO: Lsn = Lsn(0);

    /// The next LSN.
    #[must_use]
    pub fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}

impl ProducerId {
    /// "No producer id", as Kafka writes it.
    pub const NONE: ProducerId = ProducerId(-1);
}

impl Sequence {
    /// The sequence `records` further on, wrapping from `i32::MAX` to 0 as Kafka's producers do.
    #[must_use]
    pub fn plus(self, records: i32) -> Sequence {
        let sum = i64::from(self.0) + i64::from(records);
        Sequence((sum % (i64::from(i32::MAX) + 1)) as i32)
    }
}

/// A topic's 128-bit id (KIP-516). It outlives no topic: one that is deleted and made again gets another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// The all-zero id: "none", on the wire.
    pub const ZERO: TopicId = TopicId([0; 16]);
}

/// The URL-safe alphabet of RFC 4648, section 5.
const BASE64_ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Kafka's notation: unpadded URL-safe base64 of the 16 bytes, 22 characters.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(22);
        for chunk in self.0.chunks(3) {
            let mut bits = 0u32;
            for i in 0..3 {
                bits = bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0));
            }
            for i in 0..=chunk.len() {
                out.push(char::from(
                    BASE64_ALPHABET[(bits >> (18 - 6 * i) & 63) as usize],
                ));
            }
        }
        f.pad(&out)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A string is not a topic id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopicIdError;

impl fmt::Display for TopicIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a topic id is 22 characters of unpadded URL-safe base64")
    }
}

impl std::error::Error for TopicIdError {}

/// The inverse of `Display`: exactly the strings that it writes are accepted, so that an id has one spelling.
impl FromStr for TopicId {
    type Err = TopicIdError;

    fn from_str(text: &str) -> Result<TopicId, TopicIdError> {
        if text.len() != 22 {
            return Err(TopicIdError);
        }
        let mut bits = 0u128;
        for (i, character) in text.bytes().enumerate() {
            let sextet = BASE64_ALPHABET.iter().position(|c| *c == character);
            let sextet = sextet.ok_or(TopicIdError)? as u128;
            // 22 characters hold 132 bits: the last one has two bits of the id and four that are zero.
            bits = match i {
                21 if sextet & 0xf != 0 => return Err(TopicIdError),
                21 => bits << 2 | sextet >> 4,
                _ => bits << 6 | sextet,
            };
        }
        Ok(TopicId(bits.to_be_bytes()))
    }
}

/// One partition of one topic, by id: a name can be given to another topic, an id cannot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PartitionId {
    /// The topic.
    pub topic: TopicId,
    /// The partition's index within the topic, from 0.
    pub partition: i32,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_ids_print_as_kafka_prints_them() {
        // Kafka's Uuid.ONE_UUID and METADATA_TOPIC_ID are the id 1.
        let mut one = [0; 16];
        one[15] = 1;
        assert_eq!(TopicId(one).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(TopicId([0xff; 16]).to_string(), "_____________________w");
    }

    #[test]
    fn topic_ids_are_read_as_they_are_printed() {
        let mut rng = crate::Rng::new(1);
        for _ in 0..1000 {
            let mut id = TopicId::ZERO;
            rng.fill(&mut id.0);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for wrong in [
            "",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAQ=",
            "AAAAAAAAAAAAAAAAAAAAAR",
            "AAAAAAAAAAAAAAAAAAAA+Q",
        ] {
            assert_eq!(wrong.parse::<TopicId>(), Err(TopicIdError), "{wrong}");
        }
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).plus(3), Sequence(1));
        assert_eq!(Sequence(5).plus(10), Sequence(15));
    }
}
