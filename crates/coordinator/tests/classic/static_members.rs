//! Members with a `group.instance.id` (KIP-345).

use wiber_coordinator::{
    CommitRequest, GroupError, HeartbeatRequest, JoinRequest, Record, Request, Response,
    SyncRequest,
};

use crate::harness::{
    GROUP, REBALANCE_MS, SESSION_MS, World, commit_of, new_client, old_client, protocols,
    static_client, sync_of, with_id,
};

/// A stable group of two static members, `a` and `b`: the leader's instance and id, the follower's, and the generation.
fn stable(world: &mut World) -> ([(String, String); 2], i32) {
    let waiting = ["a", "b"].map(|instance| (instance, world.join(static_client(instance))));
    world.pass(6_000);
    let mut members = Vec::new();
    let mut leader = String::new();
    for (instance, to) in waiting {
        let (id, joined) = world.joined(to);
        leader = joined.leader;
        members.push((instance.to_owned(), id));
    }
    members.sort_by_key(|(_, id)| *id != leader);
    let ids: Vec<String> = members.iter().map(|(_, id)| id.clone()).collect();
    for id in &ids {
        let to = world.sync(sync_of(id, 1, &ids));
        assert!(world.synced(to).is_ok());
    }
    let members = <[_; 2]>::try_from(members).expect("two members");
    (members, 1)
}

#[test]
fn a_static_member_needs_no_second_join() {
    let mut world = World::new();
    let to = world.join(static_client("a"));
    world.pass(3_000);
    let (id, joined) = world.joined(to);
    assert!(id.starts_with("a-"), "{id}");
    assert_eq!(joined.members[0].instance_id.as_deref(), Some("a"));
}

#[test]
fn a_follower_that_comes_back_disturbs_nobody() {
    let mut world = World::new();
    let ([leader, follower], generation) = stable(&mut world);
    let before = world.log.len();
    let to = world.join(static_client(&follower.0));
    let (id, joined) = world.joined(to);
    assert_ne!(id, follower.1);
    assert_eq!(joined.generation, generation);
    assert_eq!(joined.leader, leader.1);
    assert!(!joined.skip_assignment && joined.members.is_empty());
    assert_eq!(world.state(), "Stable");
    assert_eq!(world.heartbeat(&leader.1, generation), Ok(()));
    let [
        Record::ClassicGroup {
            value: Some(value), ..
        },
    ] = world.written_since(before)
    else {
        panic!("{:?}", world.written_since(before));
    };
    assert!(value.members.iter().any(|member| member.member_id == id));
    let to = world.sync(sync_of(&id, generation, &[]));
    let synced = world.synced(to).unwrap();
    assert_eq!(
        synced.assignment,
        follower.1.as_bytes(),
        "what it had before"
    );
    world.restart();
    assert_eq!(world.heartbeat(&id, generation), Ok(()));
}

#[test]
fn a_leader_that_comes_back_need_not_assign() {
    let mut world = World::new();
    let ([leader, _], generation) = stable(&mut world);
    let to = world.join(static_client(&leader.0));
    let (id, joined) = world.joined(to);
    assert_eq!(joined.generation, generation);
    assert_eq!(joined.leader, id);
    assert!(joined.skip_assignment);
    assert_eq!(joined.members.len(), 2);
    // An older client cannot be told so. It is told that another leads.
    let to = world.join(JoinRequest {
        supports_skipping_assignment: false,
        ..static_client(&leader.0)
    });
    let (newer, joined) = world.joined(to);
    assert_ne!(newer, id);
    assert_eq!(joined.leader, id);
    assert!(!joined.skip_assignment && joined.members.is_empty());
}

#[test]
fn who_was_replaced_is_fenced() {
    let mut world = World::new();
    let ([_, follower], generation) = stable(&mut world);
    let to = world.join(static_client(&follower.0));
    let (id, _) = world.joined(to);
    let instance_id = Some(follower.0.clone());
    let to = world.join(with_id(static_client(&follower.0), &follower.1));
    assert_eq!(world.refused(to).1, GroupError::FencedInstanceId);
    let to = world.sync(SyncRequest {
        instance_id: instance_id.clone(),
        ..sync_of(&follower.1, generation, &[])
    });
    assert_eq!(world.synced(to), Err(GroupError::FencedInstanceId));
    let heartbeat = |member_id: &str, instance: &str| {
        Request::Heartbeat(HeartbeatRequest {
            group: GROUP.to_owned(),
            generation,
            member_id: member_id.to_owned(),
            instance_id: Some(instance.to_owned()),
        })
    };
    let response = world.ask(heartbeat(&follower.1, &follower.0));
    assert_eq!(
        response,
        Response::Heartbeat(Err(GroupError::FencedInstanceId))
    );
    let response = world.ask(heartbeat(&id, "unknown"));
    assert_eq!(
        response,
        Response::Heartbeat(Err(GroupError::UnknownMemberId))
    );
    let response = world.ask(heartbeat(&id, &follower.0));
    assert_eq!(response, Response::Heartbeat(Ok(())));
    let result = world.commit(CommitRequest {
        instance_id,
        ..commit_of(&follower.1, generation, 0, 5)
    });
    assert_eq!(result, Err(GroupError::FencedInstanceId));
    let result = world.leave(&[(&follower.1, Some(&follower.0))]);
    assert_eq!(result, Ok(vec![Err(GroupError::FencedInstanceId)]));
}

#[test]
fn who_waits_and_is_replaced_is_fenced() {
    let mut world = World::new();
    let ([leader, follower], generation) = stable(&mut world);
    let waits = world.join(with_id(static_client(&leader.0), &leader.1));
    assert!(world.reply(waits).is_none());
    let twin = world.join(static_client(&leader.0));
    assert_eq!(
        world.refused(waits),
        (leader.1.clone(), GroupError::FencedInstanceId)
    );
    let other = world.join(with_id(static_client(&follower.0), &follower.1));
    let (id, joined) = world.joined(twin);
    assert_eq!(joined.generation, generation + 1);
    assert_eq!(joined.leader, id, "it leads in place of its former self");
    let (follower_id, _) = world.joined(other);
    // The same while they sync.
    let waits = world.sync(sync_of(&follower_id, generation + 1, &[]));
    let twin = world.join(static_client(&follower.0));
    assert_eq!(world.synced(waits), Err(GroupError::FencedInstanceId));
    assert!(
        world.reply(twin).is_none(),
        "the leader may be assigning to the former id"
    );
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn a_static_member_with_other_protocols_rebalances() {
    let mut world = World::new();
    let ([_, follower], _) = stable(&mut world);
    let to = world.join(JoinRequest {
        protocols: protocols(&["roundrobin"]),
        ..static_client(&follower.0)
    });
    assert!(world.reply(to).is_none());
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn static_members_stay_while_others_rebalance() {
    let mut world = World::new();
    let ([leader, follower], generation) = stable(&mut world);
    let new = world.join(old_client());
    let again = world.join(with_id(static_client(&follower.0), &follower.1));
    for _ in 0..2 * (REBALANCE_MS / SESSION_MS) {
        let _ = world.heartbeat(&leader.1, generation);
        world.pass(i64::from(SESSION_MS / 2));
    }
    let (_, joined) = world.joined(again);
    assert_eq!(joined.generation, generation + 1);
    assert_ne!(joined.leader, leader.1, "one leads that is there");
    assert!(world.joined(new).1.generation == generation + 1);
    assert_eq!(
        world.heartbeat(&leader.1, generation),
        Err(GroupError::IllegalGeneration),
        "it is a member still"
    );
}

#[test]
fn a_rebalance_that_only_absent_static_members_are_left_in_waits_for_their_sessions() {
    let mut world = World::new();
    let long = |instance: &str| JoinRequest {
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 1_000,
        ..static_client(instance)
    };
    let first = world.join(long("a"));
    world.pass(3_000);
    let (id, _) = world.joined(first);
    let to = world.sync(sync_of(&id, 1, std::slice::from_ref(&id)));
    assert!(world.synced(to).is_ok());
    let new = world.join(JoinRequest {
        rebalance_timeout_ms: 1_000,
        ..new_client()
    });
    let (pending, _) = world.refused(new);
    let new = world.join(with_id(
        JoinRequest {
            rebalance_timeout_ms: 1_000,
            ..new_client()
        },
        &pending,
    ));
    world.leave(&[(&pending, None)]).unwrap();
    assert_eq!(world.refused(new).1, GroupError::UnknownMemberId);
    world.pass(50_000);
    assert_eq!(world.state(), "PreparingRebalance");
    world.pass(20_000);
    assert_eq!(world.state(), "Empty");
}

#[test]
fn an_operator_removes_static_members_by_their_names() {
    let mut world = World::new();
    let ([leader, follower], generation) = stable(&mut world);
    let result = world.leave(&[("", Some(&leader.0)), ("", Some("unknown")), ("", None)]);
    assert_eq!(
        result,
        Ok(vec![
            Ok(()),
            Err(GroupError::UnknownMemberId),
            Err(GroupError::UnknownMemberId)
        ])
    );
    assert_eq!(
        world.heartbeat(&follower.1, generation),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn a_static_member_survives_a_restart_under_its_name() {
    let mut world = World::new();
    let ([leader, _], generation) = stable(&mut world);
    world.restart();
    let to = world.join(static_client(&leader.0));
    // The record has only the chosen protocol of each member, and so the group is the same with what this one offers.
    let (id, joined) = world.joined(to);
    assert_ne!(id, leader.1);
    assert_eq!(joined.generation, generation);
}
