use super::state::{STABLE, UNRELEASED, UNREVOKED};
use super::*;

const TOPIC: TopicId = TopicId([1; 16]);
const OTHER: TopicId = TopicId([2; 16]);

fn parts(partitions: &[i32]) -> TopicPartitions {
    match partitions {
        [] => TopicPartitions::new(),
        some => TopicPartitions::from([(TOPIC, some.to_vec())]),
    }
}

fn epochs(partitions: &[(i32, i32)]) -> AssignedPartitions {
    match partitions {
        [] => AssignedPartitions::new(),
        some => AssignedPartitions::from([(TOPIC, some.iter().copied().collect())]),
    }
}

fn at(
    epoch: i32,
    previous_epoch: i32,
    state: i8,
    assigned: &[(i32, i32)],
    revoking: &[(i32, i32)],
) -> CurrentAssignmentRecord {
    CurrentAssignmentRecord {
        epoch,
        previous_epoch,
        state,
        assigned: epochs(assigned),
        revoking: epochs(revoking),
    }
}

/// The next step of a member that subscribes to the topic, where others hold `taken`.
fn next(
    current: &CurrentAssignmentRecord,
    target_epoch: i32,
    target: &[i32],
    owned: Option<&[i32]>,
    taken: &[i32],
) -> Option<CurrentAssignmentRecord> {
    let owned = owned.map(parts);
    Reconciliation {
        target_epoch,
        target: &parts(target),
        owned: owned.as_ref(),
        subscription_changed: false,
        subscribes: &|topic| topic == TOPIC,
        is_free: &|_, partition| !taken.contains(&partition),
    }
    .next(current)
}

#[test]
fn a_member_in_the_targets_epoch_stays() {
    let current = at(10, 9, STABLE, &[(1, 8)], &[]);
    assert_eq!(next(&current, 10, &[1, 2], Some(&[1]), &[]), None);
}

#[test]
fn what_is_free_is_assigned_at_once_in_the_targets_epoch() {
    let current = at(10, 9, STABLE, &[(1, 8)], &[]);
    let stable = at(11, 10, STABLE, &[(1, 8), (2, 11)], &[]);
    assert_eq!(next(&current, 11, &[1, 2], None, &[]), Some(stable));
    let nothing_new = at(11, 10, STABLE, &[(1, 8)], &[]);
    assert_eq!(next(&current, 11, &[1], None, &[]), Some(nothing_new));
}

#[test]
fn what_is_to_go_is_given_up_before_anything_comes() {
    let current = at(10, 9, STABLE, &[(1, 8), (2, 8)], &[]);
    let revoking = at(10, 10, UNREVOKED, &[(1, 8)], &[(2, 8)]);
    assert_eq!(
        next(&current, 11, &[1, 3], None, &[]),
        Some(revoking.clone())
    );
    assert_eq!(
        next(&current, 11, &[1, 3], Some(&[1, 2]), &[]),
        Some(revoking.clone())
    );
    // Until the member says that it has given up, nothing moves: not without a word, and not with another one.
    assert_eq!(next(&revoking, 11, &[1, 3], None, &[]), None);
    assert_eq!(next(&revoking, 12, &[1, 3, 4], Some(&[1, 2]), &[]), None);
    let done = at(11, 10, STABLE, &[(1, 8), (3, 11)], &[]);
    assert_eq!(
        next(&revoking, 11, &[1, 3], Some(&[1]), &[]),
        Some(done.clone())
    );
    // It may have given up already.
    assert_eq!(next(&current, 11, &[1, 3], Some(&[1]), &[]), Some(done));
}

#[test]
fn a_member_that_gave_up_may_get_the_same_again() {
    let revoking = at(10, 10, UNREVOKED, &[(1, 8)], &[(2, 8)]);
    let back = at(12, 10, STABLE, &[(1, 8), (2, 12)], &[]);
    assert_eq!(next(&revoking, 12, &[1, 2], Some(&[1]), &[]), Some(back));
}

#[test]
fn a_member_that_gave_up_may_have_to_give_up_more() {
    let revoking = at(10, 10, UNREVOKED, &[(1, 8), (3, 8)], &[(2, 8)]);
    let more = at(10, 10, UNREVOKED, &[(3, 8)], &[(1, 8)]);
    assert_eq!(next(&revoking, 12, &[3, 4], Some(&[1, 3]), &[]), Some(more));
}

#[test]
fn what_others_hold_comes_later() {
    let current = at(10, 9, STABLE, &[(1, 8)], &[]);
    let waiting = at(11, 10, UNRELEASED, &[(1, 8), (2, 11)], &[]);
    assert_eq!(
        next(&current, 11, &[1, 2, 3], None, &[3]),
        Some(waiting.clone())
    );
    let still = at(11, 11, UNRELEASED, &[(1, 8), (2, 11)], &[]);
    assert_eq!(
        next(&waiting, 11, &[1, 2, 3], None, &[3]),
        Some(still.clone())
    );
    assert_eq!(next(&still, 11, &[1, 2, 3], None, &[3]), None);
    let complete = at(11, 11, STABLE, &[(1, 8), (2, 11), (3, 11)], &[]);
    assert_eq!(next(&still, 11, &[1, 2, 3], None, &[]), Some(complete));
    let only_waiting = at(11, 10, UNRELEASED, &[(1, 8)], &[]);
    assert_eq!(next(&current, 11, &[1, 3], None, &[3]), Some(only_waiting));
}

#[test]
fn a_waiting_member_follows_the_next_target() {
    let waiting = at(11, 10, UNRELEASED, &[(1, 8), (2, 11)], &[]);
    let revoking = at(11, 11, UNREVOKED, &[(2, 11)], &[(1, 8)]);
    assert_eq!(next(&waiting, 12, &[2], Some(&[1, 2]), &[]), Some(revoking));
    let stable = at(12, 11, STABLE, &[(1, 8), (2, 11)], &[]);
    assert_eq!(next(&waiting, 12, &[1, 2], None, &[3]), Some(stable));
}

/// The next step of a member that subscribes only to the other topic by now.
fn next_unsubscribed(
    current: &CurrentAssignmentRecord,
    target_epoch: i32,
    changed: bool,
    owned: Option<&[i32]>,
) -> Option<CurrentAssignmentRecord> {
    let owned = owned.map(parts);
    Reconciliation {
        target_epoch,
        target: &parts(&[1, 2]),
        owned: owned.as_ref(),
        subscription_changed: changed,
        subscribes: &|topic| topic == OTHER,
        is_free: &|_, _| true,
    }
    .next(current)
}

#[test]
fn what_is_no_longer_subscribed_to_goes_before_the_next_target() {
    let current = at(10, 9, STABLE, &[(1, 8)], &[]);
    assert_eq!(next_unsubscribed(&current, 10, false, Some(&[1])), None);
    let revoking = at(10, 10, UNREVOKED, &[], &[(1, 8)]);
    assert_eq!(
        next_unsubscribed(&current, 10, true, Some(&[1])),
        Some(revoking.clone())
    );
    assert_eq!(
        next_unsubscribed(&current, 10, true, None),
        Some(revoking.clone())
    );
    let gone = at(10, 10, STABLE, &[], &[]);
    assert_eq!(next_unsubscribed(&current, 10, true, Some(&[])), Some(gone));
    // The target still has it: it does not count.
    let done = at(11, 10, STABLE, &[], &[]);
    assert_eq!(
        next_unsubscribed(&revoking, 11, false, Some(&[])),
        Some(done)
    );
    let both = at(10, 10, UNREVOKED, &[(1, 8)], &[(2, 8)]);
    let all = at(10, 10, UNREVOKED, &[], &[(1, 8), (2, 8)]);
    assert_eq!(next_unsubscribed(&both, 11, true, Some(&[1, 2])), Some(all));
}

#[test]
fn a_member_in_a_state_of_a_later_version_begins_anew() {
    let current = at(10, 9, 127, &[(1, 8)], &[(2, 8)]);
    for owned in [None, Some(parts(&[1]))] {
        let error = check_state(&current, owned.as_ref());
        assert!(
            matches!(error, Err(GroupError::FencedMemberEpoch(_))),
            "{error:?}"
        );
    }
    assert_eq!(check_state(&current, Some(&parts(&[]))), Ok(()));
    let stable = at(12, 10, STABLE, &[(1, 8), (2, 12)], &[]);
    assert_eq!(next(&current, 12, &[1, 2], Some(&[]), &[]), Some(stable));
}
