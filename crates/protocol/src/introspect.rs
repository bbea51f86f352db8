//! Random values and JSON of every message, with the types erased: for round trips of every API and version, and for
//! the comparison with Kafka's own classes. The JSON is that of Kafka's `JsonConverter` classes.

use std::fmt;

use bytes::Bytes;
use serde_json::Value;
use wiber_model::{Rng, TopicId};

use crate::api::ApiKey;
use crate::header::{RequestHeader, ResponseHeader};
use crate::message::{Message, Versions};
use crate::reader::DecodeError;
use crate::records::Records;
use crate::str::Str;
use crate::writer::{EncodeError, SHARE_MIN_BYTES};

/// The most elements in a random array.
const MAX_ELEMENTS: u64 = 3;
/// The length below which most random strings and byte strings stay, in bytes.
const SHORT_BYTES: u64 = 12;
/// A length that takes two bytes as a varint, in characters.
const LONG_CHARACTERS: usize = 130;

/// Draws the values of a message's fields.
pub struct Random {
    rng: Rng,
    version: i16,
    /// Draw nothing: every field that is not made of structs has its default.
    defaults: bool,
}

impl Random {
    /// Draws values for `version`.
    #[must_use]
    pub fn new(seed: u64, version: i16) -> Random {
        Random {
            rng: Rng::new(seed),
            version,
            defaults: false,
        }
    }

    /// Draws nothing: gives each array of structs one element, and every other field its default.
    #[must_use]
    pub fn defaults(version: i16) -> Random {
        Random {
            defaults: true,
            ..Random::new(0, version)
        }
    }

    /// Whether a field of type `T` is to have a value other than its default.
    #[must_use]
    pub fn draws<T: Introspect>(&self) -> bool {
        !self.defaults || T::STRUCTS
    }

    /// The version that values are for.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether a value is there, where null is `allowed` or not.
    pub fn present(&mut self, allowed: bool) -> bool {
        self.defaults || !(allowed && self.rng.one_in(4))
    }

    /// Whether a tagged field is to have a value other than its default.
    pub fn tagged(&mut self) -> bool {
        self.defaults || self.rng.one_in(2)
    }

    /// 64 bits, often those of a number at the edge.
    fn bits(&mut self) -> u64 {
        match self.rng.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => self.rng.below(200),
            3 => 0x8000_0000_8000_8080,
            _ => self.rng.next_u64(),
        }
    }

    fn bytes(&mut self) -> Bytes {
        let len = if self.rng.one_in(20) {
            SHARE_MIN_BYTES as u64 + self.rng.below(9)
        } else {
            self.rng.below(SHORT_BYTES)
        };
        let mut bytes = vec![0; len as usize];
        self.rng.fill(&mut bytes);
        Bytes::from(bytes)
    }
}

/// A type whose values can be drawn, and shown as Kafka's JSON converters show them.
pub trait Introspect: Sized {
    /// Whether it is a struct, or an array of structs.
    const STRUCTS: bool;

    /// Draws a value.
    fn random(random: &mut Random) -> Self;

    /// The value as JSON.
    fn to_json(&self, version: i16) -> Value;
}

macro_rules! integer {
    ($($integer:ty)*) => {$(
        impl Introspect for $integer {
    const STRUCTS: bool = false;

            fn random(random: &mut Random) -> Self {
                random.bits() as $integer
            }

            fn to_json(&self, _version: i16) -> Value {
                Value::from(*self)
            }
        }
    )*};
}

integer!(i8 i16 u16 i32 i64);

impl Introspect for f64 {
    const STRUCTS: bool = false;

    fn random(random: &mut Random) -> f64 {
        random.bits() as i32 as f64 / 8.0
    }

    fn to_json(&self, _version: i16) -> Value {
        Value::from(*self)
    }
}

impl Introspect for bool {
    const STRUCTS: bool = false;

    fn random(random: &mut Random) -> bool {
        random.rng.one_in(2)
    }

    fn to_json(&self, _version: i16) -> Value {
        Value::from(*self)
    }
}

impl Introspect for TopicId {
    const STRUCTS: bool = false;

    fn random(random: &mut Random) -> TopicId {
        let mut id = TopicId::ZERO;
        if !random.rng.one_in(8) {
            random.rng.fill(&mut id.0);
        }
        id
    }

    fn to_json(&self, _version: i16) -> Value {
        Value::from(self.to_string())
    }
}

impl Introspect for Str {
    const STRUCTS: bool = false;

    fn random(random: &mut Random) -> Str {
        const ALPHABET: [char; 12] = [
            'a', 'Z', '0', '.', '-', '_', ' ', '"', '\\', 'é', '漢', '🦀',
        ];
        let mut len = random.rng.below(SHORT_BYTES) as usize;
        if random.rng.one_in(20) {
            len = LONG_CHARACTERS;
        }
        let letters = (0..len).map(|_| ALPHABET[random.rng.below(ALPHABET.len() as u64) as usize]);
        letters.collect::<String>().into()
    }

    fn to_json(&self, _version: i16) -> Value {
        Value::from(self.as_str())
    }
}

impl Introspect for Bytes {
    const STRUCTS: bool = false;

    fn random(random: &mut Random) -> Bytes {
        random.bytes()
    }

    fn to_json(&self, _version: i16) -> Value {
        Value::from(base64(self))
    }
}

impl Introspect for Records {
    const STRUCTS: bool = false;

    fn random(random: &mut Random) -> Records {
        (0..random.rng.below(MAX_ELEMENTS))
            .map(|_| random.bytes())
            .collect()
    }

    fn to_json(&self, version: i16) -> Value {
        self.to_bytes().to_json(version)
    }
}

impl<T: Introspect> Introspect for Vec<T> {
    const STRUCTS: bool = T::STRUCTS;

    fn random(random: &mut Random) -> Vec<T> {
        if random.defaults {
            return vec![T::random(random)];
        }
        (0..random.rng.below(MAX_ELEMENTS + 1))
            .map(|_| T::random(random))
            .collect()
    }

    fn to_json(&self, version: i16) -> Value {
        self.iter()
            .map(|element| element.to_json(version))
            .collect()
    }
}

/// Base64 as RFC 4648 has it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let letter = char::from(ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize]);
            text.push(if digit <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

/// A message's place in the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The request of an API.
    Request(ApiKey),
    /// The response of an API.
    Response(ApiKey),
    /// What precedes requests.
    RequestHeader,
    /// What precedes responses.
    ResponseHeader,
}

/// A value, as bytes and as JSON.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// The message, without size or header.
    pub bytes: Bytes,
    /// The same as Kafka's `JsonConverter` shows it.
    pub json: Value,
}

/// What is wrong with a message.
#[derive(Debug)]
pub enum Fault {
    /// It cannot be read.
    Decode(DecodeError),
    /// It cannot be written.
    Encode(EncodeError),
    /// What was written and read again is another value.
    Changed(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Decode(error) => error.fmt(f),
            Fault::Encode(error) => error.fmt(f),
            Fault::Changed(values) => write!(f, "changed on the way: {values}"),
        }
    }
}

impl std::error::Error for Fault {}

/// A message type, erased.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its place in the protocol.
    pub role: Role,
    /// Kafka's name of the message.
    pub name: &'static str,
    /// Its versions.
    pub versions: Versions,
    draw: fn(Random) -> Result<Sample, Fault>,
    convert: fn(Bytes, i16, i16) -> Result<Sample, Fault>,
}

impl Entry {
    /// The entry of `M`.
    #[must_use]
    pub fn of<M: Message + Introspect>(role: Role) -> Entry {
        Entry {
            role,
            name: M::NAME,
            versions: M::VERSIONS,
            draw: draw::<M>,
            convert: convert::<M>,
        }
    }

    /// A random value that is the same for each `seed`, after a round trip that did not change it.
    pub fn random(&self, seed: u64, version: i16) -> Result<Sample, Fault> {
        (self.draw)(Random::new(seed, version))
    }

    /// The value with one element in each array of structs, and every other field at its default.
    pub fn defaults(&self, version: i16) -> Result<Sample, Fault> {
        (self.draw)(Random::defaults(version))
    }

    /// Reads a message in one version and writes it in another, or in the same.
    pub fn convert(&self, bytes: Bytes, from: i16, to: i16) -> Result<Sample, Fault> {
        (self.convert)(bytes, from, to)
    }
}

/// Every message of the protocol: the headers, then each API's request and response.
#[must_use]
pub fn entries() -> Vec<Entry> {
    let mut entries = vec![
        Entry::of::<RequestHeader>(Role::RequestHeader),
        Entry::of::<ResponseHeader>(Role::ResponseHeader),
    ];
    entries.extend(crate::api::entries());
    entries
}

fn draw<M: Message + Introspect>(mut random: Random) -> Result<Sample, Fault> {
    let version = random.version;
    let value = M::random(&mut random);
    let sample = sample(&value, version)?;
    let read = M::decode(sample.bytes.clone(), version).map_err(Fault::Decode)?;
    if read != value {
        return Err(Fault::Changed(format!("{value:?} came back as {read:?}")));
    }
    Ok(sample)
}

fn convert<M: Message + Introspect>(bytes: Bytes, from: i16, to: i16) -> Result<Sample, Fault> {
    let value = M::decode(bytes, from).map_err(Fault::Decode)?;
    sample(&value, to)
}

fn sample<M: Message + Introspect>(value: &M, version: i16) -> Result<Sample, Fault> {
    Ok(Sample {
        bytes: value.encode(version).map_err(Fault::Encode)?.to_bytes(),
        json: value.to_json(version),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values of each message and version.
    const CASES: u32 = 24;

    fn each_version() -> impl Iterator<Item = (Entry, i16)> {
        entries()
            .into_iter()
            .flat_map(|entry| entry.versions.iter().map(move |version| (entry, version)))
    }

    #[test]
    fn every_api_is_there() {
        assert_eq!(ApiKey::ALL.len(), 89);
        assert_eq!(entries().len(), 2 + 2 * ApiKey::ALL.len());
        assert!(ApiKey::ALL.is_sorted());
        for key in ApiKey::ALL {
            assert_eq!(ApiKey::from_number(key.number()), Some(*key));
        }
    }

    #[test]
    fn defaults_pass_unchanged() {
        for (entry, version) in each_version() {
            if let Err(fault) = entry.defaults(version) {
                panic!("{} version {version}: {fault}", entry.name);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn values_of_every_version_pass_unchanged(seed: u64) {
            for (entry, version) in each_version() {
                let sample = entry.random(seed, version);
                prop_assert!(sample.is_ok(), "{} version {version}: {:?}", entry.name, sample);
                let sample = sample.unwrap();
                let again = entry.convert(sample.bytes.clone(), version, version);
                prop_assert!(again.is_ok(), "{} version {version}: {:?}", entry.name, again);
                prop_assert_eq!(again.unwrap(), sample);
            }
        }

        #[test]
        fn bytes_that_are_cut_or_longer_are_refused(seed: u64) {
            for (entry, version) in each_version() {
                let bytes = entry.random(seed, version).unwrap().bytes;
                let cut = bytes.len().checked_sub(1 + (seed % 7) as usize);
                if let Some(cut) = cut {
                    prop_assert!(entry.convert(bytes.slice(..cut), version, version).is_err());
                }
                let longer = [&bytes[..], &[0]].concat();
                prop_assert!(entry.convert(longer.into(), version, version).is_err());
            }
        }

        #[test]
        fn no_bytes_are_fatal(seed: u64, place: usize, byte: u8) {
            for (entry, version) in each_version() {
                let mut bytes = entry.random(seed, version).unwrap().bytes.to_vec();
                if !bytes.is_empty() {
                    let place = place % bytes.len();
                    bytes[place] = byte;
                }
                // Whether they are a message is open; a panic or an endless loop is what must not be.
                let _ = entry.convert(bytes.into(), version, version);
            }
        }
    }
}
