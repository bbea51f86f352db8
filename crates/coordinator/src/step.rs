//! What a step of the coordinator works with besides the groups themselves.

use wiber_model::{Monotonic, Now, Rng};

use crate::cluster::Cluster;
use crate::config::GroupConfig;
use crate::coordinator::{Output, ReplyTo};
use crate::record::Record;
use crate::response::Response;
use crate::timers::{Timer, Timers};

/// See the module.
pub(crate) struct Step<'a> {
    pub(crate) now: Now,
    pub(crate) cluster: &'a dyn Cluster,
    pub(crate) config: &'a GroupConfig,
    pub(crate) rng: &'a mut Rng,
    pub(crate) timers: &'a mut Timers,
    pub(crate) out: &'a mut Output,
}

impl Step<'_> {
    /// Replies, once what was appended until now is durable.
    pub(crate) fn reply(&mut self, to: ReplyTo, response: Response) {
        self.out.replies.push((to, response));
    }

    /// Appends a record whose effect the caller has applied already. [`Groups::emit`](crate::groups::Groups::emit) does both.
    pub(crate) fn append(&mut self, record: Record) {
        self.out.records.push(record);
    }

    /// The instant `ms` milliseconds from now.
    pub(crate) fn after_ms(&self, ms: i64) -> Monotonic {
        self.now.monotonic.plus_ms(ms)
    }

    /// Sets a timer, `ms` milliseconds from now.
    pub(crate) fn set_timer(&mut self, timer: Timer, ms: i64) {
        let due = self.after_ms(ms);
        self.timers.set(timer, due);
    }

    /// A random UUID (version 4), as text.
    pub(crate) fn uuid(&mut self) -> String {
        let mut bytes = [0; 16];
        self.rng.fill(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let n = u128::from_be_bytes(bytes);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (n >> 96) as u32,
            (n >> 80) as u16,
            (n >> 64) as u16,
            (n >> 48) as u16,
            n & 0xffff_ffff_ffff,
        )
    }
}
