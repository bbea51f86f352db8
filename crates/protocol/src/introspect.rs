//! Random values and JSON of every message: for the comparison with Kafka's own classes, and for round trips.

use bytes::Bytes;
use serde_json::{Value, json};
use wiber_model::{Rng, TopicId};

use crate::message::Request;
use crate::records::Records;
use crate::str::Str;

/// Draws the values of a message.
pub struct Random {
    rng: Rng,
    version: i16,
}

impl Random {
    /// Draws values for `version`.
    #[must_use]
    pub fn new(seed: u64, version: i16) -> Random {
        Random {
            rng: Rng::new(seed),
            version,
        }
    }

    /// The version that values are for.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether a value that may be null, if `allowed`, is to be one that is not.
    pub fn nullable(&mut self, allowed: bool) -> bool {
        !(allowed && self.rng.one_in(4))
    }
}

/// A type whose values can be drawn, and shown as Kafka's JSON converters show them.
pub trait Introspect: Sized {
    /// Draws a value.
    fn random(random: &mut Random) -> Self;

    /// The value as JSON.
    fn to_json(&self, version: i16) -> Value;
}

/// Sees each API's messages.
pub trait Visitor {}

/// One API.
pub fn visit<R: Request>(_visitor: &mut dyn Visitor) {}
