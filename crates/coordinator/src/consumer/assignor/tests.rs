use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

type Group = BTreeMap<String, (Option<String>, BTreeSet<u8>, TopicPartitions)>;

fn topic(number: u8) -> TopicId {
    let mut id = TopicId::ZERO;
    id.0[15] = number;
    id
}

/// Lets an assignor assign, checks that everything has one owner who subscribes to it, and takes the result over. Returns how many
/// partitions stayed where they were.
fn assign(assignor: Assignor, group: &mut Group, sizes: &BTreeMap<u8, i32>) -> usize {
    let count = |id: TopicId| sizes.get(&id.0[15]).copied().unwrap_or(0);
    let members: Vec<Subscriber<'_>> = group
        .iter()
        .map(|(id, (instance, topics, current))| Subscriber {
            id,
            instance: instance.as_deref(),
            topics: topics
                .iter()
                .filter(|topic| sizes.contains_key(topic))
                .map(|number| topic(*number))
                .collect(),
            current,
        })
        .collect();
    let results = assignor.assign(&members, &count);
    assert_eq!(results.len(), members.len());
    let mut owned = BTreeSet::new();
    let mut kept = 0;
    for (member, result) in members.iter().zip(&results) {
        assert_ne!(
            result.as_ref(),
            Some(member.current),
            "what is unchanged is not told"
        );
        for (topic, partitions) in result.as_ref().unwrap_or(member.current) {
            assert!(
                member.topics.contains(topic),
                "{} subscribes to its topics",
                member.id
            );
            assert!(!partitions.is_empty() && partitions.is_sorted());
            for partition in partitions {
                assert!(
                    (0..count(*topic)).contains(partition),
                    "the partition exists"
                );
                assert!(owned.insert((*topic, *partition)), "one owner");
                let before = member.current.get(topic);
                kept += usize::from(before.is_some_and(|before| before.contains(partition)));
            }
        }
    }
    let subscribed: BTreeSet<TopicId> = members.iter().flat_map(|m| m.topics.to_vec()).collect();
    let all: usize = subscribed.iter().map(|topic| count(*topic) as usize).sum();
    assert_eq!(owned.len(), all, "every partition has an owner");
    for (member, result) in group.values_mut().zip(results) {
        if let Some(result) = result {
            member.2 = result;
        }
    }
    kept
}

fn load(member: &(Option<String>, BTreeSet<u8>, TopicPartitions)) -> usize {
    member.2.values().map(Vec::len).sum()
}

fn group_of(members: &[(&str, &[u8])]) -> Group {
    members
        .iter()
        .map(|(id, topics)| {
            let topics = topics.iter().copied().collect();
            ((*id).to_owned(), (None, topics, TopicPartitions::new()))
        })
        .collect()
}

/// How many partitions can stay at most where nobody may have more than one more than anybody else.
fn most_kept(group: &Group, sizes: &BTreeMap<u8, i32>, topics: &BTreeSet<u8>) -> usize {
    let all: i32 = topics.iter().filter_map(|topic| sizes.get(topic)).sum();
    let (mean, more) = (all as usize / group.len(), all as usize % group.len());
    let valid = |member: &(Option<String>, BTreeSet<u8>, TopicPartitions)| -> usize {
        let parts = member.2.iter().filter(|(id, _)| topics.contains(&id.0[15]));
        parts
            .map(|(id, p)| {
                let size = sizes.get(&id.0[15]).copied().unwrap_or(0);
                p.iter().filter(|p| **p < size).count()
            })
            .sum()
    };
    let at_mean: usize = group.values().map(|m| valid(m).min(mean)).sum();
    at_mean + more.min(group.values().filter(|m| valid(m) > mean).count())
}

#[test]
fn uniform_gives_equal_shares_and_moves_no_more_than_it_must() {
    let sizes = BTreeMap::from([(1, 7), (2, 5)]);
    let mut group = group_of(&[("a", &[1, 2])]);
    assign(Assignor::Uniform, &mut group, &sizes);
    assert_eq!(load(&group["a"]), 12);
    for (id, kept) in [("b", 6), ("c", 8), ("d", 9), ("e", 10)] {
        group.extend(group_of(&[(id, &[1, 2])]));
        assert_eq!(assign(Assignor::Uniform, &mut group, &sizes), kept);
    }
    let left = group.remove("a").unwrap();
    assert_eq!(
        assign(Assignor::Uniform, &mut group, &sizes),
        12 - load(&left),
        "only its own move"
    );
}

#[test]
fn range_gives_the_same_partitions_of_every_topic_of_one_size() {
    let sizes = BTreeMap::from([(1, 3), (2, 3)]);
    let mut group = group_of(&[("a", &[1, 2]), ("b", &[1, 2])]);
    assign(Assignor::Range, &mut group, &sizes);
    let both = |p: &[i32]| TopicPartitions::from([(topic(1), p.to_vec()), (topic(2), p.to_vec())]);
    assert_eq!(group["a"].2, both(&[0, 1]));
    assert_eq!(group["b"].2, both(&[2]));
}

#[test]
fn range_orders_static_members_by_instance_before_the_others() {
    let sizes = BTreeMap::from([(1, 3)]);
    let mut group = group_of(&[("a", &[1]), ("b", &[1]), ("c", &[1])]);
    group.get_mut("c").unwrap().0 = Some("1".to_owned());
    group.get_mut("b").unwrap().0 = Some("2".to_owned());
    assign(Assignor::Range, &mut group, &sizes);
    for (id, partition) in [("c", 0), ("b", 1), ("a", 2)] {
        assert_eq!(
            group[id].2,
            TopicPartitions::from([(topic(1), vec![partition])])
        );
    }
}

#[test]
fn range_leaves_late_members_without_where_there_are_too_few_partitions() {
    let sizes = BTreeMap::from([(1, 2)]);
    let mut group = group_of(&[("a", &[1]), ("b", &[1]), ("c", &[1])]);
    assign(Assignor::Range, &mut group, &sizes);
    assert_eq!(group.values().map(load).collect::<Vec<_>>(), [1, 1, 0]);
}

#[test]
fn mixed_subscriptions_share_what_they_have_in_common() {
    let sizes = BTreeMap::from([(1, 6), (2, 6), (3, 6)]);
    let mut group = group_of(&[("a", &[1]), ("b", &[1, 2]), ("c", &[1, 2, 3])]);
    assign(Assignor::Uniform, &mut group, &sizes);
    assert_eq!(group.values().map(load).collect::<Vec<_>>(), [6, 6, 6]);
    // Topic 3 grows: only "c" can have it, and gives up the others.
    let sizes = BTreeMap::from([(1, 6), (2, 6), (3, 12)]);
    let kept = assign(Assignor::Uniform, &mut group, &sizes);
    assert_eq!(load(&group["c"]), 12);
    assert_eq!(kept, 18);
}

/// Members, static or not, with a bit for each topic that they subscribe to; and the sizes of topics.
type Shape = (Vec<(bool, u8)>, Vec<(u8, i32)>);

fn groups() -> impl Strategy<Value = Shape> {
    (
        prop::collection::vec((any::<bool>(), any::<u8>()), 1..9),
        prop::collection::vec((0u8..6, 0i32..13), 1..6),
    )
}

fn build(group: &mut Group, members: &[(bool, u8)], alike: Option<u8>) {
    let old = std::mem::take(group);
    for (number, (is_static, mask)) in members.iter().enumerate() {
        let mask = alike.unwrap_or(*mask);
        let topics = (0..6).filter(|bit| mask & (1 << bit) != 0).collect();
        let id = format!("m{number}");
        let current = old.get(&id).map(|old| old.2.clone()).unwrap_or_default();
        let instance = is_static.then(|| format!("i{}", 100 - number));
        group.insert(id, (instance, topics, current));
    }
}

proptest! {
    #[test]
    fn alike_members_get_equal_shares_with_the_fewest_moves(
        steps in prop::collection::vec((groups(), any::<u8>()), 1..5)
    ) {
        let mut group = Group::new();
        for ((members, sizes), mask) in steps {
            let sizes: BTreeMap<u8, i32> = sizes.into_iter().collect();
            build(&mut group, &members, Some(mask));
            let topics = (0..6).filter(|bit| mask & (1 << bit) != 0).collect();
            let most = most_kept(&group, &sizes, &topics);
            let kept = assign(Assignor::Uniform, &mut group, &sizes);
            prop_assert_eq!(kept, most);
            let loads: Vec<usize> = group.values().map(load).collect();
            let (max, min) = (loads.iter().max().unwrap(), loads.iter().min().unwrap());
            prop_assert!(max - min <= 1, "{:?}", loads);
        }
    }

    #[test]
    fn no_single_move_helps_mixed_members(steps in prop::collection::vec(groups(), 1..5)) {
        let mut group = Group::new();
        for (members, sizes) in steps {
            let sizes: BTreeMap<u8, i32> = sizes.into_iter().collect();
            build(&mut group, &members, None);
            assign(Assignor::Uniform, &mut group, &sizes);
            for (id, member) in &group {
                for topic in member.2.keys() {
                    for (other_id, other) in &group {
                        let could_have_it = other.1.contains(&topic.0[15]);
                        prop_assert!(
                            !could_have_it || load(member) <= load(other) + 1,
                            "{} has {} and {} has {}", id, load(member), other_id, load(other),
                        );
                    }
                }
            }
            let before = group.clone();
            assign(Assignor::Uniform, &mut group, &sizes);
            prop_assert_eq!(&before, &group, "nothing changes without a reason");
        }
    }

    #[test]
    fn ranges_are_contiguous_and_as_large_as_the_others(
        (members, sizes) in groups(),
        alike in prop::option::of(any::<u8>()),
    ) {
        let sizes: BTreeMap<u8, i32> = sizes.into_iter().collect();
        let mut group = Group::new();
        build(&mut group, &members, alike);
        assign(Assignor::Range, &mut group, &sizes);
        for (number, size) in &sizes {
            let subscribers: Vec<_> = group.values().filter(|m| m.1.contains(number)).collect();
            let Some(share) = size.checked_div(subscribers.len() as i32) else {
                continue;
            };
            for member in subscribers {
                let partitions = member.2.get(&topic(*number)).map_or(&[][..], |p| p);
                prop_assert!(partitions.windows(2).all(|pair| pair[0] + 1 == pair[1]));
                prop_assert!((share..=share + 1).contains(&(partitions.len() as i32)));
            }
        }
        let before = group.clone();
        assign(Assignor::Range, &mut group, &sizes);
        prop_assert_eq!(&before, &group);
    }
}
