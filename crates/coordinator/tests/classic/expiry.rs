//! Offsets that expire, and groups that nobody needs any more.

use bytes::Bytes;
use wiber_coordinator::{CommitOffset, CommitRequest, JoinRequest, Record};
use wiber_model::Offset;

use crate::harness::{SESSION_MS, World, commit_of, old_client};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Lets time pass while a member sends heartbeats.
fn pass_alive(world: &mut World, member: &str, generation: i32, ms: i64) {
    let step = i64::from(SESSION_MS) / 2;
    for _ in 0..ms / step {
        world.pass(step);
        assert_eq!(world.heartbeat(member, generation), Ok(()));
    }
}

#[test]
fn the_offsets_of_who_is_no_member_expire_a_while_after_the_commit() {
    let mut world = World::new();
    assert!(world.commit(commit_of("", -1, 0, 1)).is_ok());
    world.pass(4 * DAY_MS);
    assert!(world.commit(commit_of("", -1, 1, 2)).is_ok());
    world.pass(3 * DAY_MS - 1);
    assert_eq!(world.committed("topic1", 0), Some(Offset(1)));
    world.pass(10 * 60 * 1000);
    assert_eq!(world.committed("topic1", 0), None);
    assert_eq!(world.committed("topic1", 1), Some(Offset(2)));
    assert_eq!(world.state(), "Empty");
    world.pass(4 * DAY_MS);
    assert_eq!(world.committed("topic1", 1), None);
    assert_eq!(world.state(), "Dead", "without offsets it is needless");
    let Some(Record::ClassicGroup { value: None, .. }) = world.log.last() else {
        panic!("{:?}", world.log.last());
    };
    world.restart();
    assert_eq!(world.state(), "Dead");
}

#[test]
fn much_expires_in_many_steps() {
    let mut world = World::new();
    for group in 0..5 {
        let mut request = commit_of("", -1, 0, 1);
        request.group = format!("many{group}");
        let one = request.offsets[0].clone();
        request.offsets = (0..9_000)
            .map(|partition| CommitOffset {
                partition,
                ..one.clone()
            })
            .collect();
        assert!(world.commit(request).is_ok());
        world.pass(1);
    }
    world.pass(4 * DAY_MS);
    assert!(world.commit(commit_of("", -1, 0, 2)).is_ok());
    world.most_records = 0;
    let before = world.log.len();
    // The first look after the retention, and what follows from it.
    world.pass(3 * DAY_MS + 10 * 60 * 1000);
    // A group with what is left of its offsets may go with the step.
    assert!(world.most_records <= 10_100, "{}", world.most_records);
    assert_eq!(world.written_since(before).len(), 5 * 9_000 + 5);
    assert_eq!(world.committed("topic1", 0), Some(Offset(2)));
    for group in 0..5 {
        assert_eq!(
            world.committed_by(&format!("many{group}"), "topic1", 8_999),
            None
        );
    }
    // The next look is one from the first group on.
    world.pass(4 * DAY_MS);
    assert_eq!(world.state(), "Dead");
}

#[test]
fn the_offsets_of_an_empty_group_expire_a_while_after_the_last_member_left() {
    let mut world = World::with(|config| config.offsets_retention_ms = 60 * 60 * 1000);
    let (members, generation) = world.stable(1);
    assert!(
        world
            .commit(commit_of(&members[0], generation, 0, 1))
            .is_ok()
    );
    pass_alive(&mut world, &members[0], generation, 50 * 60 * 1000);
    world.leave(&[(&members[0], None)]).unwrap();
    world.pass(55 * 60 * 1000);
    assert_eq!(world.committed("topic1", 0), Some(Offset(1)));
    world.restart();
    world.pass(4 * 60 * 1000);
    assert_eq!(world.committed("topic1", 0), Some(Offset(1)));
    world.pass(11 * 60 * 1000);
    assert_eq!(world.committed("topic1", 0), None);
    assert_eq!(world.state(), "Dead");
}

#[test]
fn what_members_are_subscribed_to_does_not_expire() {
    let mut world = World::with(|config| config.offsets_retention_ms = 60 * 60 * 1000);
    let (members, generation) = world.stable(1);
    let mut request = commit_of(&members[0], generation, 0, 1);
    request.offsets.push(CommitOffset {
        topic: "topic2".to_owned(),
        ..request.offsets[0].clone()
    });
    assert!(world.commit(request).is_ok());
    pass_alive(&mut world, &members[0], generation, 75 * 60 * 1000);
    assert_eq!(world.committed("topic1", 0), Some(Offset(1)));
    assert_eq!(world.committed("topic2", 0), None);
    assert_eq!(world.state(), "Stable");
}

#[test]
fn where_it_is_not_known_what_members_use_nothing_expires() {
    for request in [
        JoinRequest {
            protocol_type: "connect".to_owned(),
            ..old_client()
        },
        JoinRequest {
            protocols: vec![("range".to_owned(), Bytes::from_static(b"?"))],
            ..old_client()
        },
    ] {
        let mut world = World::with(|config| config.offsets_retention_ms = 60 * 60 * 1000);
        let to = world.join(request);
        world.pass(3_000);
        let (members, generation) = world.settle(vec![to]);
        assert!(
            world
                .commit(commit_of(&members[0], generation, 0, 1))
                .is_ok()
        );
        pass_alive(&mut world, &members[0], generation, 75 * 60 * 1000);
        assert_eq!(world.committed("topic1", 0), Some(Offset(1)));
    }
}

#[test]
fn what_the_client_says_about_expiry_goes_first() {
    let mut world = World::new();
    let request = CommitRequest {
        retention_ms: Some(60_000),
        ..commit_of("", -1, 0, 1)
    };
    assert!(world.commit(request).is_ok());
    let request = CommitRequest {
        retention_ms: Some(30 * DAY_MS),
        ..commit_of("", -1, 1, 2)
    };
    assert!(world.commit(request).is_ok());
    world.pass(11 * 60 * 1000);
    assert_eq!(world.committed("topic1", 0), None);
    world.pass(29 * DAY_MS);
    assert_eq!(world.committed("topic1", 1), Some(Offset(2)));
    world.pass(DAY_MS);
    assert_eq!(world.committed("topic1", 1), None);
}

#[test]
fn an_empty_group_without_offsets_goes_and_a_group_with_members_stays() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    pass_alive(&mut world, &members[0], generation, 25 * 60 * 1000);
    assert_eq!(world.state(), "Stable");
    world.leave(&[(&members[0], None)]).unwrap();
    assert_eq!(world.state(), "Empty");
    world.pass(10 * 60 * 1000);
    assert_eq!(world.state(), "Dead");
    world.restart();
    assert_eq!(world.state(), "Dead");
}
