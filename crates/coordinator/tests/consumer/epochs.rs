//! Members of another time are fenced; who only missed an answer is not.

use wiber_coordinator::{
    CommitOffset, CommitRequest, FetchOffsetsRequest, GroupError, Request, Response,
};
use wiber_model::Offset;

use super::harness::{GROUP, World, join, owning, plain};

/// Two members that share a topic of four partitions; both in epoch 3.
fn two_members() -> World {
    let mut world = World::new(&[("a", 4)]);
    world.beat(join("m1", &["a"])).unwrap();
    world.beat(join("m2", &["a"])).unwrap();
    let half = world.beat(plain("m1", 2)).unwrap().assignment.unwrap();
    assert_eq!(world.beat(owning("m1", 2, half)).unwrap().member_epoch, 3);
    world
}

fn fenced(result: Result<wiber_coordinator::ConsumerHeartbeat, GroupError>) -> String {
    match result {
        Err(GroupError::FencedMemberEpoch(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_epoch_ahead_is_fenced() {
    let world = &mut two_members();
    let message = fenced(world.beat(plain("m1", 4)));
    assert_eq!(
        message,
        "The consumer group member has a greater member epoch (4) than the one known by the group coordinator (3). \
         The member must abandon all its partitions and rejoin."
    );
}

#[test]
fn the_epoch_before_is_fine_with_nothing_but_what_the_member_has() {
    let world = &mut two_members();
    let message = fenced(world.beat(plain("m1", 2)));
    assert!(
        message.contains("has a smaller member epoch (2)"),
        "{message}"
    );
    let too_much = world.parts(&[("a", &[0, 1, 2])]);
    fenced(world.beat(owning("m1", 2, too_much)));
    let mine = world.parts(&[("a", &[1])]);
    assert_eq!(
        world
            .beat(owning("m1", 2, mine.clone()))
            .unwrap()
            .member_epoch,
        3
    );
    fenced(world.beat(owning("m1", 1, mine)));
}

#[test]
fn who_was_fenced_joins_again() {
    let world = &mut two_members();
    fenced(world.beat(plain("m1", 1)));
    let answer = world.beat(join("m1", &["a"])).unwrap();
    assert_eq!(answer.member_epoch, 3);
    assert_eq!(answer.assignment, Some(world.parts(&[("a", &[0, 1])])));
}

fn commit(
    world: &mut World,
    member: &str,
    epoch: i32,
    partition: i32,
    version: i16,
) -> Result<Vec<Result<(), GroupError>>, GroupError> {
    let request = CommitRequest {
        group: GROUP.to_owned(),
        generation_or_epoch: epoch,
        member_id: member.to_owned(),
        version,
        offsets: vec![CommitOffset {
            topic: "a".to_owned(),
            partition,
            offset: Offset(7),
            ..CommitOffset::default()
        }],
        ..CommitRequest::default()
    };
    match world.ask(Request::CommitOffsets(request)) {
        Response::CommitOffsets(result) => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_commit_needs_the_members_epoch_or_one_since_the_partition_was_assigned() {
    let world = &mut two_members();
    let stale = |result| match result {
        Err(GroupError::StaleMemberEpoch(message)) => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(commit(world, "m1", 3, 0, 9), Ok(vec![Ok(())]));
    assert_eq!(
        commit(world, "m1", 2, 0, 9),
        Ok(vec![Ok(())]),
        "assigned in epoch 2"
    );
    let message = stale(commit(world, "m1", 1, 0, 9));
    assert!(message.starts_with("Received member epoch 1 is older than assignment epoch 2"));
    let message = stale(commit(world, "m1", 2, 3, 9));
    assert!(
        message.contains("is not assigned or pending revocation"),
        "{message}"
    );
    let message = stale(commit(world, "m1", 4, 0, 9));
    assert_eq!(
        message,
        "Received member epoch 4 is newer than current member epoch 3."
    );
    assert_eq!(
        commit(world, "m9", 3, 0, 9),
        Err(GroupError::UnknownMemberId)
    );
    assert_eq!(
        commit(world, "", -1, 0, 9),
        Err(GroupError::UnknownMemberId)
    );
    let result = commit(world, "m1", 3, 0, 8);
    assert!(
        matches!(result, Err(GroupError::UnsupportedVersion(_))),
        "{result:?}"
    );
    world.beat(plain("m1", -1)).unwrap();
    world.beat(plain("m2", -1)).unwrap();
    assert_eq!(
        commit(world, "", -1, 0, 8),
        Ok(vec![Ok(())]),
        "nobody is in"
    );
}

#[test]
fn what_is_committed_is_told_to_members_of_today_and_to_those_who_are_none() {
    let world = &mut two_members();
    let fetch = |world: &mut World, member: Option<&str>, member_epoch| {
        let request = FetchOffsetsRequest {
            group: GROUP.to_owned(),
            member_id: member.map(str::to_owned),
            member_epoch,
            partitions: None,
        };
        match world.ask(Request::FetchOffsets(request)) {
            Response::FetchOffsets(result) => result.map(drop),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fetch(world, None, -1), Ok(()));
    assert_eq!(fetch(world, Some("m1"), 3), Ok(()));
    assert_eq!(
        fetch(world, Some("m9"), 3),
        Err(GroupError::UnknownMemberId)
    );
    let message = "The received member epoch 2 does not match the expected member epoch 3.";
    let stale = Err(GroupError::StaleMemberEpoch(message.to_owned()));
    assert_eq!(fetch(world, Some("m1"), 2), stale);
}
