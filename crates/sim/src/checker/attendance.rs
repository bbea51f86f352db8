//! Who is surely in a group, and what it subscribes to, over time: what members subscribe to does not expire.
//!
//! Only what follows from answers counts. A member is in from an answer on, until it may have been silent for too long since the request
//! came in; or until it asks for something else.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use wiber_protocol::Str;

/// See the module.
#[derive(Debug, Default)]
pub struct Attendance {
    spans: Vec<Span>,
    /// What each member asked for last, and in which request.
    subscribed: BTreeMap<Str, (u64, BTreeSet<Str>)>,
}

/// A member is in from one moment to another, in nanoseconds.
#[derive(Debug)]
struct Span {
    member: Str,
    topics: BTreeSet<Str>,
    from_ns: u64,
    to_ns: u64,
}

impl Attendance {
    /// A request comes in by which a member subscribes to topics. If they are others, nobody knows what it has until it is answered.
    pub fn subscribe(&mut self, member: &Str, number: u64, topics: BTreeSet<Str>, now_ns: u64) {
        let known = self.subscribed.get(member);
        if known.is_none_or(|(_, known)| *known != topics) {
            self.end(member, now_ns);
            self.subscribed.insert(member.clone(), (number, topics));
        }
    }

    /// A member may be out from now on.
    pub fn end(&mut self, member: &Str, now_ns: u64) {
        let its = self.spans.iter_mut().filter(|span| span.member == *member);
        its.for_each(|span| span.to_ns = span.to_ns.min(now_ns));
    }

    /// Everybody may be out from now on.
    pub fn end_all(&mut self, now_ns: u64) {
        let spans = self.spans.iter_mut();
        spans.for_each(|span| span.to_ns = span.to_ns.min(now_ns));
    }

    /// A request of a member is answered, and it is in until then at least.
    pub fn attends(&mut self, member: &Str, number: u64, now_ns: u64, until_ns: u64) {
        let Some((since, topics)) = self.subscribed.get(member) else {
            return;
        };
        if number < *since || until_ns <= now_ns {
            return;
        }
        let mut its = self.spans.iter_mut().rev().filter(|s| s.member == *member);
        match its.next() {
            Some(span) if span.to_ns >= now_ns && span.topics == *topics => {
                span.to_ns = span.to_ns.max(until_ns);
            }
            _ => self.spans.push(Span {
                member: member.clone(),
                topics: topics.clone(),
                from_ns: now_ns,
                to_ns: until_ns,
            }),
        }
    }

    /// Whether somebody was in all the time; somebody who subscribes to `topic`, if there is one.
    pub fn is_without_gap(&self, topic: Option<&Str>, time: RangeInclusive<u64>) -> bool {
        let of_topic = |span: &&Span| topic.is_none_or(|topic| span.topics.contains(topic));
        let mut at = *time.start();
        while at <= *time.end() {
            let spans = self.spans.iter().filter(of_topic);
            let there = spans.filter(|span| span.from_ns <= at && at < span.to_ns);
            match there.map(|span| span.to_ns).max() {
                Some(to_ns) => at = to_ns,
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&'static str]) -> BTreeSet<Str> {
        names.iter().copied().map(Str::from_static).collect()
    }

    #[test]
    fn a_gap_is_where_nobody_is_surely_in() {
        let mut attendance = Attendance::default();
        let (a, b) = (Str::from_static("a"), Str::from_static("b"));
        let (t, u) = (Str::from_static("t"), Str::from_static("u"));
        attendance.subscribe(&a, 1, topics(&["t"]), 5);
        attendance.attends(&a, 1, 10, 20);
        attendance.attends(&a, 1, 18, 30);
        attendance.subscribe(&b, 1, topics(&["t", "u"]), 20);
        attendance.attends(&b, 1, 25, 50);
        assert!(attendance.is_without_gap(None, 10..=49));
        assert!(attendance.is_without_gap(Some(&t), 10..=49));
        assert!(!attendance.is_without_gap(Some(&t), 9..=20));
        assert!(!attendance.is_without_gap(Some(&u), 20..=30));
        assert!(!attendance.is_without_gap(None, 49..=50));

        attendance.subscribe(&b, 1, topics(&["t"]), 40);
        assert!(
            !attendance.is_without_gap(Some(&t), 30..=41),
            "it asks for something else"
        );
        attendance.attends(&b, 1, 41, 60);
        assert!(attendance.is_without_gap(Some(&t), 41..=59));
        attendance.end_all(50);
        assert!(!attendance.is_without_gap(None, 45..=50));
    }
}
