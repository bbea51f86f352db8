//! The assignors that run in the coordinator: pure functions from subscriptions and the present target assignment to the next one.
//!
//! Invariants of every result:
//! - each partition of a topic that anybody subscribes to has exactly one owner, who subscribes to the topic;
//! - the same input gives the same output.

mod mixed;
mod range;
mod uniform;

use std::rc::Rc;

use wiber_model::TopicId;

use crate::record::TopicPartitions;

/// A server-side assignor, by its name in `group.consumer.assignors`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Assignor {
    /// `uniform`: balanced over all topics together, and sticky.
    Uniform,
    /// `range`: a contiguous range of each topic, the same one of each where that is possible.
    Range,
}

/// A member, as assignors see it.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber<'a> {
    /// Its id.
    pub(crate) id: &'a str,
    /// Its `group.instance.id`.
    pub(crate) instance: Option<&'a str>,
    /// The topics that it subscribes to and that exist, in order and without repetition. Members that subscribe to the same share one.
    pub(crate) topics: Rc<[TopicId]>,
    /// What it is assigned at present.
    pub(crate) current: &'a TopicPartitions,
}

impl Assignor {
    /// The assignor of a name.
    pub(crate) fn named(name: &str) -> Option<Assignor> {
        match name {
            "uniform" => Some(Assignor::Uniform),
            "range" => Some(Assignor::Range),
            _ => None,
        }
    }

    /// What each of `members` is assigned, in their order; `None` where it is what it has already. `partitions` says how many
    /// partitions a topic has.
    pub(crate) fn assign(
        self,
        members: &[Subscriber<'_>],
        partitions: &dyn Fn(TopicId) -> i32,
    ) -> Vec<Option<TopicPartitions>> {
        match self {
            Assignor::Range => range::assign(members, partitions),
            Assignor::Uniform if all_alike(members) => uniform::assign(members, partitions),
            Assignor::Uniform => mixed::assign(members, partitions),
        }
    }
}

/// Whether all subscribe to the same topics.
fn all_alike(members: &[Subscriber<'_>]) -> bool {
    members.windows(2).all(|pair| {
        Rc::ptr_eq(&pair[0].topics, &pair[1].topics) || pair[0].topics == pair[1].topics
    })
}

/// All partitions of some topics, numbered through: dense arrays serve where maps would cost most of an assignment's time.
struct Partitions<'a> {
    topics: &'a [TopicId],
    /// Where each topic's numbers begin, and one more where they end.
    starts: Vec<usize>,
}

impl<'a> Partitions<'a> {
    /// The partitions of `topics`, which are in order.
    fn of(topics: &'a [TopicId], partitions: &dyn Fn(TopicId) -> i32) -> Partitions<'a> {
        let mut starts = Vec::with_capacity(topics.len() + 1);
        let mut end = 0;
        starts.push(end);
        for topic in topics {
            end += usize::try_from(partitions(*topic)).unwrap_or(0);
            starts.push(end);
        }
        Partitions { topics, starts }
    }

    /// How many there are.
    fn len(&self) -> usize {
        self.starts[self.topics.len()]
    }

    /// The numbers of a topic's partitions, if it is one of the topics.
    fn of_topic(&self, topic: TopicId) -> Option<std::ops::Range<usize>> {
        let index = self.topics.binary_search(&topic).ok()?;
        Some(self.range(index))
    }

    /// The numbers of the partitions of the topic at an index.
    fn range(&self, index: usize) -> std::ops::Range<usize> {
        self.starts[index]..self.starts[index + 1]
    }

    /// The topic and the partition of a number.
    fn name(&self, number: usize) -> (TopicId, i32) {
        let index = self.starts.partition_point(|start| *start <= number) - 1;
        (self.topics[index], (number - self.starts[index]) as i32)
    }
}

#[cfg(test)]
mod tests;
