//! `uniform`, where all members subscribe to the same topics.
//!
//! Nobody has more than one partition more than anybody else, and no more partitions move than that needs. Takes time in the order of
//! partitions plus members; what does not change is not copied.

use wiber_model::TopicId;

use super::{Partitions, Subscriber};
use crate::record::TopicPartitions;

/// See the module.
pub(super) fn assign(
    members: &[Subscriber<'_>],
    partitions: &dyn Fn(TopicId) -> i32,
) -> Vec<Option<TopicPartitions>> {
    let Some(first) = members.first() else {
        return Vec::new();
    };
    let all = Partitions::of(&first.topics, partitions);
    let mut taken = vec![false; all.len()];
    let kept: Vec<Kept> = members
        .iter()
        .map(|member| keep_valid(member, &all, &mut taken))
        .collect();
    let quotas = quotas(&kept, all.len());

    // What is over a member's quota is free again, besides what nobody had.
    for (kept, quota) in kept.iter().zip(&quotas) {
        for number in kept.numbers.iter().skip(*quota) {
            taken[*number] = false;
        }
    }
    let mut free = (0..all.len()).filter(|number| !taken[*number]);
    let results = members.iter().zip(kept).zip(quotas);
    results
        .map(|((member, kept), quota)| {
            let missing = quota.saturating_sub(kept.numbers.len());
            if missing == 0 && kept.numbers.len() <= quota && kept.all {
                return None;
            }
            let stay = kept.numbers.into_iter().take(quota);
            let numbers = stay.chain(free.by_ref().take(missing));
            Some(named(numbers, &all)).filter(|assignment| assignment != member.current)
        })
        .collect()
}

/// What a member can keep, whatever its quota.
struct Kept {
    numbers: Vec<usize>,
    /// Whether that is all that it has.
    all: bool,
}

/// The partitions that a member has, that exist, and that it subscribes to.
fn keep_valid(member: &Subscriber<'_>, all: &Partitions<'_>, taken: &mut [bool]) -> Kept {
    let mut kept = Kept {
        numbers: Vec::with_capacity(member.current.values().map(Vec::len).sum()),
        all: true,
    };
    for (topic, partitions) in member.current {
        let range = all.of_topic(*topic).unwrap_or(0..0);
        for partition in partitions {
            let number = usize::try_from(*partition).map(|p| range.start.saturating_add(p));
            match number {
                Ok(number) if number < range.end && !taken[number] => {
                    taken[number] = true;
                    kept.numbers.push(number);
                }
                _ => kept.all = false,
            }
        }
    }
    kept
}

/// How many partitions each member is to have: the whole part of the mean, and one more for as many as it takes; first for those
/// who have that many already, so that they need not give one up.
fn quotas(kept: &[Kept], partitions: usize) -> Vec<usize> {
    let mean = partitions / kept.len();
    let mut more = partitions % kept.len();
    let mut quotas = vec![mean; kept.len()];
    for (quota, kept) in quotas.iter_mut().zip(kept) {
        if more > 0 && kept.numbers.len() > mean {
            *quota += 1;
            more -= 1;
        }
    }
    for quota in quotas.iter_mut().filter(|quota| **quota == mean).take(more) {
        *quota += 1;
    }
    quotas
}

/// Partitions by their names.
fn named(numbers: impl Iterator<Item = usize>, all: &Partitions<'_>) -> TopicPartitions {
    let mut assignment = TopicPartitions::new();
    for number in numbers {
        let (topic, partition) = all.name(number);
        assignment.entry(topic).or_default().push(partition);
    }
    for partitions in assignment.values_mut() {
        partitions.sort_unstable();
    }
    assignment
}
