//! The timers of a coordinator: one ordered set.
//!
//! Invariants:
//! - A timer has one deadline. Setting it anew replaces the deadline.
//! - A deadline that moves back costs one look-up: the timer stays armed where it was, and is armed anew when that instant comes.
//!   So the many heartbeats between two expiries do not churn the set, and [`Timers::next_deadline`] is never late, at most early.

use std::collections::{BTreeMap, BTreeSet};

use wiber_model::Monotonic;

use crate::consumer::ConsumerTimer;

/// What is due at a deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The member of a classic group was silent for its session timeout, or did not come back with the id that it was given.
    ClassicSession { group: String, member: String },
    /// The members of a classic group had their time to join.
    ClassicJoin { group: String },
    /// The members of a classic group had their time to sync.
    ClassicSync { group: String },
    /// A timer of the consumer protocol.
    Consumer(ConsumerTimer),
    /// Regular expressions are to be resolved.
    ConsumerRegexes,
    /// Expired offsets and groups without a use are looked for.
    Expiry,
    /// Offsets of topics that are gone go on going.
    Sweep,
}

impl Timer {
    /// The group that it is about.
    pub(crate) fn group(&self) -> Option<&str> {
        match self {
            Timer::ClassicSession { group, .. }
            | Timer::ClassicJoin { group }
            | Timer::ClassicSync { group } => Some(group),
            Timer::Consumer(timer) => Some(timer.group()),
            Timer::ConsumerRegexes | Timer::Expiry | Timer::Sweep => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Deadlines {
    /// When the timer is due.
    due: Monotonic,
    /// Where it stands in the set; not later.
    armed: Monotonic,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: BTreeMap<Timer, Deadlines>,
    armed: BTreeSet<(Monotonic, Timer)>,
}

impl Timers {
    /// Sets a timer, in place of its former deadline.
    pub(crate) fn set(&mut self, timer: Timer, due: Monotonic) {
        match self.deadlines.get_mut(&timer) {
            Some(deadlines) if deadlines.armed <= due => deadlines.due = due,
            Some(deadlines) => {
                let before = std::mem::replace(deadlines, Deadlines { due, armed: due });
                let mut entry = (before.armed, timer);
                self.armed.remove(&entry);
                entry.0 = due;
                self.armed.insert(entry);
            }
            None => {
                self.deadlines
                    .insert(timer.clone(), Deadlines { due, armed: due });
                self.armed.insert((due, timer));
            }
        }
    }

    /// Takes a timer away, if it is set.
    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Some(deadlines) = self.deadlines.remove(&timer) {
            self.armed.remove(&(deadlines.armed, timer));
        }
    }

    /// When a timer is due, if it is set.
    pub(crate) fn due(&self, timer: &Timer) -> Option<Monotonic> {
        self.deadlines.get(timer).map(|deadlines| deadlines.due)
    }

    /// When to look next.
    pub(crate) fn next_deadline(&self) -> Monotonic {
        self.armed
            .first()
            .map_or(Monotonic::NEVER, |(armed, _)| *armed)
    }

    /// Takes out one timer that is due at `now`.
    pub(crate) fn pop(&mut self, now: Monotonic) -> Option<Timer> {
        while self.next_deadline() <= now {
            let (_, timer) = self.armed.pop_first()?;
            let Some(deadlines) = self.deadlines.get_mut(&timer) else {
                continue;
            };
            if deadlines.due <= now {
                self.deadlines.remove(&timer);
                return Some(timer);
            }
            deadlines.armed = deadlines.due;
            self.armed.insert((deadlines.due, timer));
        }
        None
    }

    /// Checks that both views agree.
    pub(crate) fn validate(&self) {
        assert_eq!(
            self.armed.len(),
            self.deadlines.len(),
            "each timer is armed once"
        );
        for (armed, timer) in &self.armed {
            let deadlines = &self.deadlines[timer];
            assert_eq!(
                deadlines.armed, *armed,
                "a timer is armed where it says so: {timer:?}"
            );
            assert!(
                deadlines.armed <= deadlines.due,
                "a timer is not armed late: {timer:?}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(member: &str) -> Timer {
        Timer::ClassicSession {
            group: "g".to_owned(),
            member: member.to_owned(),
        }
    }

    #[test]
    fn timers_come_in_the_order_of_their_deadlines() {
        let mut timers = Timers::default();
        timers.set(session("a"), Monotonic(30));
        timers.set(session("b"), Monotonic(10));
        timers.set(session("c"), Monotonic(20));
        assert_eq!(timers.next_deadline(), Monotonic(10));
        assert_eq!(timers.pop(Monotonic(9)), None);
        assert_eq!(timers.pop(Monotonic(25)), Some(session("b")));
        assert_eq!(timers.pop(Monotonic(25)), Some(session("c")));
        assert_eq!(timers.pop(Monotonic(25)), None);
        timers.validate();
        assert_eq!(timers.next_deadline(), Monotonic(30));
    }

    #[test]
    fn a_deadline_moves_both_ways_and_goes() {
        let mut timers = Timers::default();
        timers.set(session("a"), Monotonic(10));
        timers.set(session("a"), Monotonic(50));
        timers.validate();
        assert_eq!(timers.due(&session("a")), Some(Monotonic(50)));
        assert_eq!(timers.pop(Monotonic(20)), None, "it moved back");
        assert_eq!(timers.next_deadline(), Monotonic(50));
        timers.set(session("a"), Monotonic(30));
        timers.validate();
        assert_eq!(timers.next_deadline(), Monotonic(30));
        timers.cancel(session("a"));
        timers.validate();
        assert_eq!(timers.next_deadline(), Monotonic::NEVER);
        assert_eq!(timers.pop(Monotonic(1_000)), None);
    }
}
