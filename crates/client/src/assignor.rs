//! Who of a group reads what: what the leader of a classic group computes, as Kafka's own clients do.
//!
//! Pure functions of what the members say. Invariant: each partition of a topic goes to one of the members that want the topic, or, while it
//! is still with another one under the cooperative protocol, to none.

use std::collections::{BTreeMap, BTreeSet};

use wiber_protocol::Str;
use wiber_protocol::internal::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartitions,
};

use crate::offsets::TopicPartition;

/// A way to assign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Assignor {
    /// A run of each topic's partitions for each member.
    Range,
    /// As even as can be, and as it was as far as can be; what moves is given up by one member before another one gets it (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    /// All that there are, the best first.
    pub const ALL: [Assignor; 2] = [Assignor::Range, Assignor::CooperativeSticky];

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> Str {
        Str::from_static(match self {
            Assignor::Range => "range",
            Assignor::CooperativeSticky => "cooperative-sticky",
        })
    }

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Assignor> {
        Assignor::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// A member, as the leader sees it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its id.
    pub member: Str,
    /// The id of a static member.
    pub instance: Option<Str>,
    /// What it wants, and has.
    pub subscription: ConsumerProtocolSubscription,
}

/// What each member gets, by its id. `partitions` has how many partitions each topic has.
#[must_use]
pub fn assign(
    assignor: Assignor,
    candidates: &[Candidate],
    partitions: &BTreeMap<Str, i32>,
) -> BTreeMap<Str, ConsumerProtocolAssignment> {
    let assigned = match assignor {
        Assignor::Range => range(candidates, partitions),
        Assignor::CooperativeSticky => cooperative_sticky(candidates, partitions),
    };
    candidates
        .iter()
        .map(|it| {
            let its = assigned.get(&it.member);
            (it.member.clone(), assignment(its.into_iter().flatten()))
        })
        .collect()
}

/// Partitions of each member.
type Assigned = BTreeMap<Str, BTreeSet<TopicPartition>>;

fn assignment<'a>(
    partitions: impl Iterator<Item = &'a TopicPartition>,
) -> ConsumerProtocolAssignment {
    ConsumerProtocolAssignment {
        assigned_partitions: by_topic(partitions),
        user_data: None,
    }
}

/// Partitions, gathered by their topics.
pub(crate) fn by_topic<'a>(
    partitions: impl Iterator<Item = &'a TopicPartition>,
) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<&Str, Vec<i32>> = BTreeMap::new();
    for it in partitions {
        topics.entry(&it.topic).or_default().push(it.partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        let topic = topic.clone();
        TopicPartitions { topic, partitions }
    });
    topics.collect()
}

/// Those that want a topic.
fn wanting<'a>(candidates: &'a [Candidate], topic: &Str) -> Vec<&'a Candidate> {
    let wants = |it: &&Candidate| it.subscription.topics.contains(topic);
    candidates.iter().filter(wants).collect()
}

fn range(candidates: &[Candidate], partitions: &BTreeMap<Str, i32>) -> Assigned {
    let mut assigned = Assigned::new();
    for (topic, count) in partitions {
        let mut members = wanting(candidates, topic);
        // Static members first, by their ids, so that they get the same ones again (`AbstractPartitionAssignor.MemberInfo`).
        members.sort_by_key(|it| {
            (
                it.instance.is_none(),
                it.instance.clone(),
                it.member.clone(),
            )
        });
        let total = members.len() as i32;
        let mut next = 0;
        for (i, it) in (0..).zip(&members) {
            let share = count / total + i32::from(i < count % total);
            let run = (next..next + share).map(|it| TopicPartition::new(topic.clone(), it));
            assigned.entry(it.member.clone()).or_default().extend(run);
            next += share;
        }
    }
    assigned
}

fn cooperative_sticky(candidates: &[Candidate], partitions: &BTreeMap<Str, i32>) -> Assigned {
    let owners = owners(candidates, partitions);
    let mut load: BTreeMap<Str, usize> = BTreeMap::new();
    for it in candidates {
        load.insert(it.member.clone(), 0);
    }
    for owner in owners.values() {
        *load.entry(owner.clone()).or_default() += 1;
    }
    let mut readers = owners.clone();
    for (topic, count) in partitions {
        let members = wanting(candidates, topic);
        for it in (0..*count).map(|it| TopicPartition::new(topic.clone(), it)) {
            if !readers.contains_key(&it)
                && let Some(least) = least_loaded(&members, &load)
            {
                *load.entry(least.clone()).or_default() += 1;
                readers.insert(it, least);
            }
        }
    }
    level(candidates, &mut readers, &mut load);
    let mut assigned = Assigned::new();
    for (it, reader) in readers {
        // Whoever has it must give it up first; in the round after that it has none.
        if owners.get(&it).is_none_or(|owner| *owner == reader) {
            assigned.entry(reader).or_default().insert(it);
        }
    }
    assigned
}

/// Who has what now. Of two that say so, the one of the later generation; of the same generation neither.
fn owners(
    candidates: &[Candidate],
    partitions: &BTreeMap<Str, i32>,
) -> BTreeMap<TopicPartition, Str> {
    let mut claims: BTreeMap<TopicPartition, (i32, Option<Str>)> = BTreeMap::new();
    for candidate in candidates {
        let subscription = &candidate.subscription;
        for topic in &subscription.owned_partitions {
            let count = partitions.get(&topic.topic).copied().unwrap_or(0);
            if !subscription.topics.contains(&topic.topic) {
                continue;
            }
            for partition in topic
                .partitions
                .iter()
                .filter(|it| (0..count).contains(*it))
            {
                let at = TopicPartition::new(topic.topic.clone(), *partition);
                let generation = subscription.generation_id;
                let claim = (generation, Some(candidate.member.clone()));
                claims
                    .entry(at)
                    .and_modify(|it| match generation.cmp(&it.0) {
                        std::cmp::Ordering::Greater => *it = claim.clone(),
                        std::cmp::Ordering::Equal => it.1 = None,
                        std::cmp::Ordering::Less => {}
                    })
                    .or_insert(claim);
            }
        }
    }
    claims
        .into_iter()
        .filter_map(|(at, (_, owner))| Some((at, owner?)))
        .collect()
}

fn least_loaded(members: &[&Candidate], load: &BTreeMap<Str, usize>) -> Option<Str> {
    let of = |it: &&&Candidate| load.get(&it.member).copied().unwrap_or(0);
    members.iter().min_by_key(of).map(|it| it.member.clone())
}

/// Moves partitions until no move makes it more even. Each move lowers the sum of the squares of the loads, so there is an end.
fn level(
    candidates: &[Candidate],
    readers: &mut BTreeMap<TopicPartition, Str>,
    load: &mut BTreeMap<Str, usize>,
) {
    let mut moved = true;
    while std::mem::take(&mut moved) {
        for (it, reader) in readers.iter_mut() {
            let members = wanting(candidates, &it.topic);
            let Some(least) = least_loaded(&members, load) else {
                continue;
            };
            let of = |member: &Str| load.get(member).copied().unwrap_or(0);
            if of(reader) > of(&least) + 1 {
                *load.entry(reader.clone()).or_default() -= 1;
                *load.entry(least.clone()).or_default() += 1;
                *reader = least;
                moved = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(member: &str, topics: &[&str], owned: &[(&str, i32)]) -> Candidate {
        let owned: Vec<_> = owned
            .iter()
            .map(|(topic, partition)| TopicPartition::new(*topic, *partition))
            .collect();
        Candidate {
            member: Str::from(member),
            instance: None,
            subscription: ConsumerProtocolSubscription {
                topics: topics.iter().map(|it| Str::from(*it)).collect(),
                owned_partitions: by_topic(owned.iter()),
                generation_id: 1,
                ..Default::default()
            },
        }
    }

    fn counts(topics: &[(&str, i32)]) -> BTreeMap<Str, i32> {
        topics.iter().map(|(t, n)| (Str::from(*t), *n)).collect()
    }

    /// What each member gets, as `topic-partition`.
    fn told(
        assignor: Assignor,
        candidates: &[Candidate],
        partitions: &BTreeMap<Str, i32>,
    ) -> BTreeMap<String, Vec<String>> {
        let assigned = assign(assignor, candidates, partitions);
        let partitions = |it: ConsumerProtocolAssignment| {
            it.assigned_partitions
                .into_iter()
                .flat_map(|it| {
                    it.partitions
                        .into_iter()
                        .map(move |p| format!("{}-{p}", it.topic))
                })
                .collect()
        };
        assigned
            .into_iter()
            .map(|(member, it)| (member.to_string(), partitions(it)))
            .collect()
    }

    #[test]
    fn range_gives_runs_and_the_first_members_one_more() {
        let both = ["t", "u"];
        let members = [
            candidate("b", &both, &[]),
            candidate("a", &both, &[]),
            candidate("c", &["u"], &[]),
        ];
        let got = told(Assignor::Range, &members, &counts(&[("t", 3), ("u", 4)]));
        assert_eq!(got["a"], ["t-0", "t-1", "u-0", "u-1"]);
        assert_eq!(got["b"], ["t-2", "u-2"]);
        assert_eq!(got["c"], ["u-3"]);
    }

    #[test]
    fn range_has_static_members_first_in_the_order_of_their_ids() {
        let mut members = [
            candidate("a", &["t"], &[]),
            candidate("z", &["t"], &[]),
            candidate("y", &["t"], &[]),
        ];
        members[1].instance = Some(Str::from_static("1"));
        members[2].instance = Some(Str::from_static("2"));
        let got = told(Assignor::Range, &members, &counts(&[("t", 3)]));
        assert_eq!(
            (&got["z"][..], &got["y"][..], &got["a"][..]),
            (
                &["t-0".to_owned()][..],
                &["t-1".to_owned()][..],
                &["t-2".to_owned()][..]
            )
        );
    }

    #[test]
    fn a_topic_that_nobody_wants_or_that_is_not_there_is_nobodys() {
        for assignor in Assignor::ALL {
            let members = [candidate("a", &["t", "gone"], &[("gone", 0)])];
            let got = told(assignor, &members, &counts(&[("t", 1), ("other", 3)]));
            assert_eq!(got["a"], ["t-0"]);
        }
    }

    #[test]
    fn what_moves_is_given_up_first() {
        let owned = [("t", 0), ("t", 1), ("t", 2), ("t", 3)];
        let partitions = counts(&[("t", 4)]);
        let members = [candidate("a", &["t"], &owned), candidate("b", &["t"], &[])];
        let got = told(Assignor::CooperativeSticky, &members, &partitions);
        assert_eq!((got["a"].len(), got["b"].len()), (2, 0), "{got:?}");
        let kept: Vec<_> = got["a"]
            .iter()
            .map(|it| ("t", it[2..].parse().unwrap()))
            .collect();
        let members = [candidate("a", &["t"], &kept), candidate("b", &["t"], &[])];
        let then = told(Assignor::CooperativeSticky, &members, &partitions);
        assert_eq!(then["a"], got["a"]);
        assert_eq!(then["b"].len(), 2, "{then:?}");
    }

    #[test]
    fn of_two_that_say_they_have_it_the_later_generation_is_right() {
        let mut members = [
            candidate("a", &["t"], &[("t", 0)]),
            candidate("b", &["t"], &[("t", 0), ("t", 1)]),
        ];
        members[0].subscription.generation_id = 2;
        let got = told(Assignor::CooperativeSticky, &members, &counts(&[("t", 2)]));
        assert_eq!(
            (&got["a"][..], &got["b"][..]),
            (&["t-0".to_owned()][..], &["t-1".to_owned()][..])
        );
    }

    proptest::proptest! {
        /// Repeated until nothing moves, each partition is somebody's who wants it, and no move would make it more even.
        #[test]
        fn sticky_assignments_settle_and_are_even(
            wants in proptest::collection::vec(proptest::collection::btree_set(0_u8..3, 1..=3), 1..6),
            sizes in proptest::collection::vec(0_i32..9, 3),
        ) {
            let names = ["t", "u", "v"];
            let partitions = counts(&[("t", sizes[0]), ("u", sizes[1]), ("v", sizes[2])]);
            let mut members: Vec<_> = wants
                .iter()
                .enumerate()
                .map(|(i, topics)| {
                    let topics: Vec<_> = topics.iter().map(|it| names[*it as usize]).collect();
                    candidate(&format!("m{i}"), &topics, &[])
                })
                .collect();
            // The last one comes later.
            let late = members.pop().expect("there is one");
            let mut settled = false;
            for round in 0..6 {
                if round == 2 {
                    members.push(late.clone());
                }
                let got = assign(Assignor::CooperativeSticky, &members, &partitions);
                settled = true;
                for it in &mut members {
                    let new = got[&it.member].assigned_partitions.clone();
                    settled &= new == it.subscription.owned_partitions;
                    it.subscription.owned_partitions = new;
                }
            }
            proptest::prop_assert!(settled);
            let load = |it: &Candidate| -> usize {
                it.subscription.owned_partitions.iter().map(|it| it.partitions.len()).sum()
            };
            let mut seen = BTreeSet::new();
            for it in &members {
                for owned in &it.subscription.owned_partitions {
                    proptest::prop_assert!(it.subscription.topics.contains(&owned.topic));
                    for other in wanting(&members, &owned.topic) {
                        proptest::prop_assert!(load(it) <= load(other) + 1);
                    }
                    for partition in &owned.partitions {
                        proptest::prop_assert!(seen.insert((owned.topic.clone(), *partition)));
                    }
                }
            }
            let all: i32 = partitions
                .iter()
                .filter(|(topic, _)| !wanting(&members, topic).is_empty())
                .map(|(_, count)| *count)
                .sum();
            proptest::prop_assert_eq!(seen.len(), all as usize);
        }
    }
}
