//! What all groups of a coordinator hold together has a bound.

use bytes::Bytes;
use wiber_coordinator::{
    CommitRequest, ConsumerHeartbeatRequest, GroupConfig, GroupError, JoinRequest, Output, ReplyTo,
    Request, Response, SyncRequest, TopicPartitions,
};
use wiber_model::{Monotonic, Now, TimestampMs};

use crate::harness::{
    Topics, World, commit_of, coordinator, new_client, old_client, protocols, sync_of,
};

/// What one member tells at most, nearly.
const MUCH_BYTES: usize = 4_000_000;

/// A member that tells so much, in a group of its own.
fn telling(bytes: usize, group: usize) -> JoinRequest {
    static MUCH: [u8; MUCH_BYTES] = [0; MUCH_BYTES];
    JoinRequest {
        group: format!("telling {bytes}, {group}"),
        protocols: vec![("a protocol".to_owned(), Bytes::from_static(&MUCH[..bytes]))],
        protocol_type: "a type".to_owned(),
        ..old_client()
    }
}

fn is_full(error: &GroupError) -> bool {
    matches!(error, GroupError::CoordinatorNotAvailable(_))
}

/// Has groups come whose members tell so much, until one is refused: their members' ids.
fn fill(world: &mut World, bytes: usize) -> Vec<String> {
    let mut members = Vec::new();
    for group in 0..100 {
        let to = world.join(telling(bytes, group));
        world.pass(0);
        match world.reply(to).expect("nobody else is waited for") {
            Response::Join {
                result: Ok(_),
                member_id,
            } => members.push(member_id),
            Response::Join {
                result: Err(error), ..
            } if is_full(&error) => return members,
            other => panic!("{other:?}"),
        }
    }
    panic!("all were taken");
}

#[test]
fn nobody_new_comes_in_when_groups_hold_as_much_as_they_may() {
    let mut world = World::with(|config| config.initial_rebalance_delay_ms = 0);
    assert!(world.commit(commit_of("", -1, 0, 1)).is_ok());
    let members = fill(&mut world, MUCH_BYTES);
    assert!((60..70).contains(&members.len()), "{}", members.len());
    for bytes in [100_000, 2_000] {
        fill(&mut world, bytes);
    }
    let refused = (0..10).find_map(|_| {
        let to = world.join(new_client());
        Some(world.refused(to).1).filter(is_full)
    });
    assert!(refused.is_some(), "ids that are given out count");
    let refused = (0..10).find_map(|number| {
        let commit = CommitRequest {
            group: format!("another {number}"),
            ..commit_of("", -1, 0, 1)
        };
        world.commit(commit).err().filter(is_full)
    });
    assert!(refused.is_some(), "groups count");
    let stored = world.log.len();
    let heartbeat = ConsumerHeartbeatRequest {
        group: "consumers".to_owned(),
        member_id: "new".to_owned(),
        topics: Some(vec!["topic1".to_owned()]),
        owned: Some(TopicPartitions::new()),
        rebalance_timeout_ms: 1000,
        version: 1,
        ..ConsumerHeartbeatRequest::default()
    };
    let answer = world.ask(Request::ConsumerHeartbeat(heartbeat));
    let Response::ConsumerHeartbeat(Err(error)) = answer else {
        panic!("{answer:?}");
    };
    assert!(is_full(&error));
    assert_eq!(world.log.len(), stored);

    // Who is in goes on, and what a group has can be committed.
    let again = JoinRequest {
        member_id: members[7].clone(),
        ..telling(MUCH_BYTES, 7)
    };
    let to = world.join(again);
    assert_eq!(world.joined(to).0, members[7]);
    assert!(world.commit(commit_of("", -1, 0, 2)).is_ok());

    // Members that are silent go, and there is room again.
    world.pass(10 * 60 * 1000);
    assert!(fill(&mut world, MUCH_BYTES).len() >= members.len() - 1);
}

#[test]
fn what_is_assigned_counts() {
    let mut world = World::with(|config| config.initial_rebalance_delay_ms = 0);
    let to = world.join(old_client());
    world.pass(0);
    let (member, joined) = world.joined(to);
    fill(&mut world, MUCH_BYTES);
    let mut sync = |bytes: usize| {
        let to = world.sync(SyncRequest {
            assignments: vec![(member.clone(), Bytes::from(vec![0; bytes]))],
            ..sync_of(&member, joined.generation, &[])
        });
        world.synced(to).map(|synced| synced.assignment.len())
    };
    assert!(sync(MUCH_BYTES + 100_000).is_err_and(|error| is_full(&error)));
    assert_eq!(sync(1_000), Ok(1_000));
}

/// Ten members each, of usual size, in ten thousand groups of one partition.
#[test]
fn ten_thousand_groups_of_usual_size_have_room() {
    let mut coordinator = coordinator(&GroupConfig::default(), 1);
    let (topics, mut out) = (Topics::default(), Output::default());
    let mut now = Now {
        monotonic: Monotonic(1),
        wall: TimestampMs(1_700_000_000_000),
    };
    coordinator.loaded(now, &topics, &mut out);
    for group in 0..10_000 {
        for member in 0..10 {
            let mut request = JoinRequest {
                group: format!("the-service-of-the-department-{group}"),
                protocols: protocols(&["range", "cooperative-sticky"]),
                ..old_client()
            };
            request.caller.client_id = format!("a-consumer-of-the-service-{member}");
            coordinator.handle(
                now,
                &topics,
                ReplyTo(group * 10 + member),
                Request::Join(request),
                &mut out,
            );
        }
    }
    assert_eq!(out.replies, []);
    // The first rebalance waits for more as long as some come.
    for _ in 0..11 {
        now.monotonic = now.monotonic.plus_ms(3_000);
        coordinator.tick(now, &topics, &mut out);
    }
    let joined = out
        .replies
        .iter()
        .filter(|(_, response)| matches!(response, Response::Join { result: Ok(_), .. }));
    assert_eq!(joined.count(), 100_000);
    coordinator.validate();
}
