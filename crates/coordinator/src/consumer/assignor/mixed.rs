//! `uniform`, where members subscribe to different topics.
//!
//! Partitions that nobody has go to those of their topic's subscribers who have the fewest. Then, topic by topic, partitions move
//! from the subscribers with the most to those with the fewest, until they differ by no more than one; again, until a round moves
//! nothing or the rounds are used up. Where all subscribers of each topic are alike the result is balanced after one round. Where
//! subscriptions overlap no topic can be improved by itself, though a chain of moves over several topics might.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use wiber_model::TopicId;

use super::{Partitions, Subscriber};
use crate::record::TopicPartitions;

/// The most rounds over all topics. Each about halves what is out of balance.
const ROUNDS_MAX: usize = 16;

/// Nobody, among the owners.
const NOBODY: u32 = u32::MAX;

/// See the module.
pub(super) fn assign(
    members: &[Subscriber<'_>],
    partitions: &dyn Fn(TopicId) -> i32,
) -> Vec<Option<TopicPartitions>> {
    let topics: BTreeSet<TopicId> = members
        .iter()
        .flat_map(|m| m.topics.iter().copied())
        .collect();
    let topics: Vec<TopicId> = topics.into_iter().collect();
    let mut plan = Plan::new(members, Partitions::of(&topics, partitions));
    plan.keep(members);
    let order = plan.topics_in_order();
    for topic in &order {
        plan.hand_out(*topic);
    }
    for _ in 0..ROUNDS_MAX {
        let moved: usize = order.iter().map(|topic| plan.balance(*topic)).sum();
        if moved == 0 {
            break;
        }
    }
    plan.finish(members)
}

struct Plan<'a> {
    all: Partitions<'a>,
    /// By topic: who subscribes.
    subscribers: Vec<Vec<u32>>,
    /// By partition: who had it.
    before: Vec<u32>,
    /// By partition: who is to have it.
    owners: Vec<u32>,
    /// By member: how many partitions it is to have.
    loads: Vec<usize>,
    /// By member: whether it is to have what it has.
    same: Vec<bool>,
}

impl<'a> Plan<'a> {
    fn new(members: &[Subscriber<'_>], all: Partitions<'a>) -> Plan<'a> {
        let mut subscribers = vec![Vec::new(); all.topics.len()];
        for (member, index) in members.iter().zip(0u32..) {
            for topic in member.topics.iter() {
                if let Ok(topic) = all.topics.binary_search(topic) {
                    subscribers[topic].push(index);
                }
            }
        }
        Plan {
            subscribers,
            before: vec![NOBODY; all.len()],
            owners: vec![NOBODY; all.len()],
            loads: vec![0; members.len()],
            same: vec![true; members.len()],
            all,
        }
    }

    /// Everybody keeps what exists and what it subscribes to.
    fn keep(&mut self, members: &[Subscriber<'_>]) {
        for (member, index) in members.iter().zip(0u32..) {
            for (topic, partitions) in member.current {
                let subscribed = member.topics.binary_search(topic).is_ok();
                let range = self.all.of_topic(*topic).filter(|_| subscribed);
                let range = range.unwrap_or(0..0);
                for partition in partitions {
                    let number = usize::try_from(*partition).map(|p| range.start.saturating_add(p));
                    match number {
                        Ok(number) if number < range.end && self.owners[number] == NOBODY => {
                            self.owners[number] = index;
                            self.before[number] = index;
                            self.loads[index as usize] += 1;
                        }
                        _ => self.same[index as usize] = false,
                    }
                }
            }
        }
    }

    /// The topics with the most partitions for each subscriber come first, as they bear most on the balance; then those with few
    /// subscribers, as they leave little choice.
    fn topics_in_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.all.topics.len()).collect();
        order.sort_by(|a, b| {
            let (pa, pb) = (self.all.range(*a).len(), self.all.range(*b).len());
            let (sa, sb) = (self.subscribers[*a].len(), self.subscribers[*b].len());
            // pa / sa against pb / sb, without fractions.
            let by_share = (pb as u128 * sa as u128).cmp(&(pa as u128 * sb as u128));
            by_share.then(sa.cmp(&sb)).then(a.cmp(b))
        });
        order
    }

    /// Gives away what nobody has of a topic.
    fn hand_out(&mut self, topic: usize) {
        let range = self.all.range(topic);
        if !self.owners[range.clone()].contains(&NOBODY) {
            return;
        }
        let mut least = self.least_loaded(topic);
        for number in range {
            if self.owners[number] != NOBODY {
                continue;
            }
            let Some(Reverse((load, member))) = least.pop() else {
                return;
            };
            self.give(number, member);
            least.push(Reverse((load + 1, member)));
        }
    }

    /// Moves partitions of a topic from those of its subscribers who have the most to those who have the fewest. Returns how many
    /// moved.
    fn balance(&mut self, topic: usize) -> usize {
        let subscribers = &self.subscribers[topic];
        let loads = || subscribers.iter().map(|m| self.loads[*m as usize]);
        let (Some(most), Some(fewest)) = (loads().max(), loads().min()) else {
            return 0;
        };
        if most - fewest <= 1 {
            return 0;
        }

        // Of each owner, what it gives last stands first: what it had before.
        let mut numbers: Vec<usize> = self.all.range(topic).collect();
        numbers.sort_by_key(|n| (self.owners[*n], self.before[*n] != self.owners[*n], *n));
        let mut owned: std::collections::BTreeMap<u32, Vec<usize>> = Default::default();
        for number in numbers {
            owned.entry(self.owners[number]).or_default().push(number);
        }
        // Loads in the heaps are those of the beginning, changed by what was popped. A giver still stands in the heap of takers with
        // more than it has, and the other way round; but a giver stays above the takers, so none of these entries comes to the top
        // before all is balanced.
        let mut givers: BinaryHeap<(usize, u32)> = owned
            .keys()
            .map(|member| (self.loads[*member as usize], *member))
            .collect();
        let mut takers = self.least_loaded(topic);
        let mut moved = 0;
        while let (Some((most, giver)), Some(Reverse((fewest, taker)))) =
            (givers.pop(), takers.peek().copied())
        {
            if most <= fewest + 1 {
                break;
            }
            let Some(number) = owned.get_mut(&giver).and_then(Vec::pop) else {
                continue;
            };
            takers.pop();
            self.loads[giver as usize] -= 1;
            self.same[giver as usize] = false;
            self.give(number, taker);
            takers.push(Reverse((fewest + 1, taker)));
            givers.push((most - 1, giver));
            moved += 1;
        }
        moved
    }

    fn least_loaded(&self, topic: usize) -> BinaryHeap<Reverse<(usize, u32)>> {
        let subscribers = self.subscribers[topic].iter();
        subscribers
            .map(|member| Reverse((self.loads[*member as usize], *member)))
            .collect()
    }

    fn give(&mut self, number: usize, member: u32) {
        self.owners[number] = member;
        self.loads[member as usize] += 1;
        self.same[member as usize] = false;
    }

    fn finish(self, members: &[Subscriber<'_>]) -> Vec<Option<TopicPartitions>> {
        let mut results: Vec<Option<TopicPartitions>> = self
            .same
            .iter()
            .map(|same| (!same).then(TopicPartitions::new))
            .collect();
        for (index, topic) in self.all.topics.iter().enumerate() {
            for (number, partition) in self.all.range(index).zip(0i32..) {
                let owner = self.owners[number];
                if owner == NOBODY {
                    continue;
                }
                if let Some(assignment) = &mut results[owner as usize] {
                    assignment.entry(*topic).or_default().push(partition);
                }
            }
        }
        for (result, member) in results.iter_mut().zip(members) {
            if result.as_ref() == Some(member.current) {
                *result = None;
            }
        }
        results
    }
}
