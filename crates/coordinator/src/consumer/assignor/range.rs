//! `range`: each topic's partitions are cut into one contiguous range for each of its subscribers, in the order of the members.
//!
//! Where all members subscribe to the same topics of equal size, each gets the same partitions of every topic. Static members come
//! first, by their instance ids, so that they have the same ranges when they come back under other member ids.

use std::collections::BTreeMap;

use wiber_model::TopicId;

use super::Subscriber;
use crate::record::TopicPartitions;

/// See the module.
pub(super) fn assign(
    members: &[Subscriber<'_>],
    partitions: &dyn Fn(TopicId) -> i32,
) -> Vec<Option<TopicPartitions>> {
    let mut topics: BTreeMap<TopicId, Topic> = BTreeMap::new();
    for member in members {
        for topic in member.topics.iter() {
            topics.entry(*topic).or_default().subscribers += 1;
        }
    }
    for (id, topic) in &mut topics {
        let partitions = partitions(*id).max(0);
        topic.mean = partitions / topic.subscribers;
        topic.more = partitions % topic.subscribers;
    }

    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|index| {
        let member = &members[*index];
        (member.instance.is_none(), member.instance, member.id)
    });
    let mut results = vec![None; members.len()];
    for index in order {
        let member = &members[index];
        let ranges: Vec<(TopicId, std::ops::Range<i32>)> = member
            .topics
            .iter()
            .filter_map(|id| Some((*id, topics.get_mut(id)?.next_range())))
            .filter(|(_, range)| !range.is_empty())
            .collect();
        if !is_made_of(member.current, &ranges) {
            let assignment = ranges.into_iter().map(|(id, range)| (id, range.collect()));
            results[index] = Some(assignment.collect());
        }
    }
    results
}

/// A topic that is being cut.
#[derive(Default)]
struct Topic {
    subscribers: i32,
    /// What each gets at least.
    mean: i32,
    /// How many still get one more.
    more: i32,
    /// Where the next range begins.
    next: i32,
}

impl Topic {
    fn next_range(&mut self) -> std::ops::Range<i32> {
        let start = self.next;
        self.next += self.mean;
        if self.more > 0 {
            self.more -= 1;
            self.next += 1;
        }
        start..self.next
    }
}

/// Whether an assignment, whose partitions are in order and not repeated, is just these ranges.
fn is_made_of(assignment: &TopicPartitions, ranges: &[(TopicId, std::ops::Range<i32>)]) -> bool {
    assignment.len() == ranges.len()
        && assignment
            .iter()
            .zip(ranges)
            .all(|((topic, partitions), (id, range))| {
                topic == id
                    && partitions.len() == range.len()
                    && partitions.first() == Some(&range.start)
                    && partitions.last() == Some(&(range.end - 1))
            })
}
