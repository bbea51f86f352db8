//! SyncGroup, Heartbeat and LeaveGroup.

use bytes::Bytes;
use wiber_coordinator::{
    GroupError, HeartbeatRequest, JoinRequest, LeaveRequest, Record, Request, Response, SyncRequest,
};

use crate::harness::{REBALANCE_MS, SESSION_MS, World, new_client, old_client, sync_of, with_id};

/// Two members in a generation whose leader has yet to assign: leader and follower.
fn completing(world: &mut World) -> [String; 2] {
    let waiting = [world.join(old_client()), world.join(old_client())];
    world.pass(6_000);
    let [(first, joined), (second, _)] = waiting.map(|to| world.joined(to));
    if joined.leader == first {
        [first, second]
    } else {
        [second, first]
    }
}

#[test]
fn everybody_gets_what_the_leader_assigned() {
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    let waits = world.sync(sync_of(&follower, 1, &[]));
    assert!(world.reply(waits).is_none(), "the leader has not assigned");
    let before = world.log.len();
    let all = [leader.clone(), follower.clone()];
    let to = world.sync(sync_of(&leader, 1, &all));
    for (to, id) in [(to, &leader), (waits, &follower)] {
        let synced = world.synced(to).expect("an assignment");
        assert_eq!(synced.assignment, id.as_bytes());
        assert_eq!(synced.protocol.as_deref(), Some("range"));
        assert_eq!(synced.protocol_type.as_deref(), Some("consumer"));
    }
    assert_eq!(world.state(), "Stable");
    let [
        Record::ClassicGroup {
            value: Some(value), ..
        },
    ] = world.written_since(before)
    else {
        panic!("{:?}", world.written_since(before));
    };
    assert_eq!(value.generation, 1);
    assert_eq!(value.leader.as_ref(), Some(&leader));
    let stored = value.members.iter().map(|member| &member.assignment);
    assert!(
        stored.eq(value
            .members
            .iter()
            .map(|member| member.member_id.as_bytes()))
    );
    // Who comes late gets the same.
    let to = world.sync(sync_of(&follower, 1, &[]));
    assert_eq!(world.synced(to).unwrap().assignment, follower.as_bytes());
}

#[test]
fn who_was_left_out_has_nothing() {
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    let assigned = [leader.clone(), "stranger".to_owned()];
    let to = world.sync(sync_of(&leader, 1, &assigned));
    assert_eq!(world.synced(to).unwrap().assignment, leader.as_bytes());
    let to = world.sync(sync_of(&follower, 1, &[]));
    assert_eq!(world.synced(to).unwrap().assignment, Bytes::new());
}

#[test]
fn a_sync_of_another_time_or_protocol_is_refused() {
    let mut world = World::new();
    let [leader, _] = completing(&mut world);
    let base = || sync_of(&leader, 1, &[]);
    for (request, error) in [
        (
            SyncRequest {
                group: String::new(),
                ..base()
            },
            GroupError::InvalidGroupId,
        ),
        (
            SyncRequest {
                group: "other".to_owned(),
                ..base()
            },
            GroupError::UnknownMemberId,
        ),
        (
            SyncRequest {
                member_id: "stranger".to_owned(),
                ..base()
            },
            GroupError::UnknownMemberId,
        ),
        (
            SyncRequest {
                generation: 2,
                ..base()
            },
            GroupError::IllegalGeneration,
        ),
        (
            SyncRequest {
                generation: 0,
                ..base()
            },
            GroupError::IllegalGeneration,
        ),
        (
            SyncRequest {
                protocol: Some("roundrobin".to_owned()),
                ..base()
            },
            GroupError::InconsistentGroupProtocol,
        ),
        (
            SyncRequest {
                protocol_type: Some("connect".to_owned()),
                ..base()
            },
            GroupError::InconsistentGroupProtocol,
        ),
    ] {
        let to = world.sync(request);
        assert_eq!(world.synced(to), Err(error));
    }
    let right = SyncRequest {
        protocol: Some("range".to_owned()),
        protocol_type: Some("consumer".to_owned()),
        ..base()
    };
    let to = world.sync(right);
    assert!(world.synced(to).is_ok());
}

#[test]
fn a_sync_while_members_are_to_join_is_refused() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    let _ = world.join(old_client());
    let to = world.sync(sync_of(&members[1], generation, &[]));
    assert_eq!(world.synced(to), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_leader_that_does_not_assign_in_time_is_out() {
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    let waits = world.sync(sync_of(&follower, 1, &[]));
    for _ in 0..2 * (REBALANCE_MS / SESSION_MS) {
        assert_eq!(world.heartbeat(&leader, 1), Ok(()), "it is alive");
        world.pass(i64::from(SESSION_MS / 2));
    }
    assert_eq!(world.synced(waits), Err(GroupError::RebalanceInProgress));
    assert_eq!(
        world.heartbeat(&leader, 1),
        Err(GroupError::UnknownMemberId)
    );
    let again = world.join(with_id(old_client(), &follower));
    assert_eq!(world.joined(again).1.leader, follower);
}

#[test]
fn a_member_that_does_not_sync_in_time_is_out_though_the_group_is_stable() {
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    let to = world.sync(sync_of(&leader, 1, std::slice::from_ref(&leader)));
    assert!(world.synced(to).is_ok());
    assert_eq!(world.state(), "Stable");
    for _ in 0..2 * (REBALANCE_MS / SESSION_MS) {
        assert_eq!(world.heartbeat(&leader, 1), Ok(()));
        assert_eq!(world.heartbeat(&follower, 1), Ok(()));
        world.pass(i64::from(SESSION_MS / 2));
    }
    assert_eq!(
        world.heartbeat(&follower, 1),
        Err(GroupError::UnknownMemberId)
    );
    assert_eq!(
        world.heartbeat(&leader, 1),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn who_waits_for_the_leader_need_not_send_heartbeats() {
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    let waits = world.sync(sync_of(&follower, 1, &[]));
    for _ in 0..4 {
        assert_eq!(world.heartbeat(&leader, 1), Ok(()));
        world.pass(i64::from(SESSION_MS / 2));
    }
    assert!(world.reply(waits).is_none());
    let all = [leader.clone(), follower.clone()];
    let _ = world.sync(sync_of(&leader, 1, &all));
    assert!(world.synced(waits).is_ok());
    world.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(world.heartbeat(&follower, 1), Ok(()), "its session began");
}

#[test]
fn who_asks_for_its_assignment_is_alive() {
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    let all = [leader.clone(), follower.clone()];
    let to = world.sync(sync_of(&leader, 1, &all));
    assert!(world.synced(to).is_ok());
    for _ in 0..4 {
        world.pass(i64::from(SESSION_MS / 2));
        assert_eq!(world.heartbeat(&leader, 1), Ok(()));
        let to = world.sync(sync_of(&follower, 1, &[]));
        assert!(world.synced(to).is_ok());
    }
    assert_eq!(world.heartbeat(&follower, 1), Ok(()));
}

#[test]
fn who_joins_again_and_changes_nothing_is_alive() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    for _ in 0..4 {
        world.pass(i64::from(SESSION_MS / 2));
        assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
        let to = world.join(with_id(old_client(), &members[1]));
        assert!(world.reply(to).is_some(), "it is answered at once");
    }
    assert_eq!(world.heartbeat(&members[1], generation), Ok(()));
}

#[test]
fn a_heartbeat_of_another_time_is_refused() {
    let mut world = World::new();
    assert_eq!(
        world.heartbeat("stranger", 1),
        Err(GroupError::UnknownMemberId)
    );
    let (members, generation) = world.stable(1);
    assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
    assert_eq!(
        world.heartbeat(&members[0], generation + 1),
        Err(GroupError::IllegalGeneration)
    );
    assert_eq!(
        world.heartbeat("stranger", generation),
        Err(GroupError::UnknownMemberId)
    );
    let response = world.ask(Request::Heartbeat(HeartbeatRequest::default()));
    assert_eq!(
        response,
        Response::Heartbeat(Err(GroupError::InvalidGroupId))
    );
}

#[test]
fn heartbeats_keep_a_member_in_and_silence_ends_it() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    for _ in 0..10 {
        world.pass(i64::from(SESSION_MS) - 1);
        assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
    }
    world.pass(i64::from(SESSION_MS));
    assert_eq!(
        world.heartbeat(&members[0], generation),
        Err(GroupError::UnknownMemberId)
    );
    assert_eq!(world.state(), "Empty");
    let Some(Record::ClassicGroup {
        value: Some(value), ..
    }) = world.log.last()
    else {
        panic!("{:?}", world.log.last());
    };
    assert_eq!(
        value.generation,
        generation + 1,
        "an empty generation is written"
    );
    assert!(value.members.is_empty());
    assert_eq!((&value.protocol, &value.leader), (&None, &None));
}

#[test]
fn a_member_that_leaves_makes_the_others_rejoin() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    assert_eq!(world.leave(&[(&members[0], None)]), Ok(vec![Ok(())]));
    assert_eq!(
        world.heartbeat(&members[1], generation),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(
        world.heartbeat(&members[0], generation),
        Err(GroupError::UnknownMemberId)
    );
    let to = world.join(with_id(old_client(), &members[1]));
    assert_eq!(world.joined(to).1.leader, members[1]);
}

#[test]
fn several_members_leave_at_once() {
    let mut world = World::new();
    let (members, _) = world.stable(2);
    let results = world.leave(&[(&members[0], None), ("stranger", None), (&members[1], None)]);
    assert_eq!(
        results,
        Ok(vec![Ok(()), Err(GroupError::UnknownMemberId), Ok(())])
    );
    assert_eq!(world.state(), "Empty");
}

#[test]
fn nobody_can_leave_what_is_not_there() {
    let mut world = World::new();
    let results = world.leave(&[("a", None), ("", Some("b"))]);
    let unknown = Err(GroupError::UnknownMemberId);
    assert_eq!(results, Ok(vec![unknown.clone(), unknown]));
    let response = world.ask(Request::Leave(LeaveRequest::default()));
    assert_eq!(response, Response::Leave(Err(GroupError::InvalidGroupId)));
}

#[test]
fn who_was_only_given_an_id_can_leave() {
    let mut world = World::new();
    let (members, _) = world.stable(1);
    let to = world.join(new_client());
    let (pending, _) = world.refused(to);
    let again = world.join(with_id(old_client(), &members[0]));
    assert!(world.reply(again).is_none());
    assert_eq!(world.leave(&[(&pending, None)]), Ok(vec![Ok(())]));
    assert!(
        world.joined(again).1.generation > 1,
        "nobody else is waited for"
    );
}

#[test]
fn who_leaves_while_its_join_waits_is_told() {
    let mut world = World::new();
    let (members, _) = world.stable(2);
    let waits = world.join(with_id(old_client(), &members[0]));
    assert_eq!(world.leave(&[(&members[0], None)]), Ok(vec![Ok(())]));
    assert_eq!(world.refused(waits).1, GroupError::UnknownMemberId);
}

#[test]
fn a_group_goes_on_after_a_restart() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    world.restart();
    assert_eq!(world.state(), "Stable");
    for member in &members {
        assert_eq!(world.heartbeat(member, generation), Ok(()));
        let to = world.sync(sync_of(member, generation, &[]));
        assert_eq!(world.synced(to).unwrap().assignment, member.as_bytes());
    }
    world.restart();
    world.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(
        world.heartbeat(&members[0], generation),
        Ok(()),
        "sessions began anew"
    );
    world.pass(1);
    assert_eq!(
        world.heartbeat(&members[0], generation),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(
        world.heartbeat(&members[1], generation),
        Err(GroupError::UnknownMemberId)
    );
}

#[test]
fn assignments_that_no_record_can_hold_are_refused() {
    const TOO_LARGE_BYTES: usize = 9 * 1024 * 1024;
    let mut world = World::new();
    let [leader, follower] = completing(&mut world);
    let waits = world.sync(sync_of(&follower, 1, &[]));
    let before = world.log.len();
    let to = world.sync(SyncRequest {
        assignments: vec![(follower.clone(), Bytes::from(vec![0; TOO_LARGE_BYTES]))],
        ..sync_of(&leader, 1, &[])
    });
    assert_eq!(world.synced(to), Err(GroupError::RecordTooLarge));
    assert_eq!(world.synced(waits), Err(GroupError::RecordTooLarge));
    assert_eq!(world.state(), "PreparingRebalance");
    assert!(world.written_since(before).is_empty());
    let to = world.join(JoinRequest {
        protocols: vec![("range".to_owned(), Bytes::from(vec![0; TOO_LARGE_BYTES]))],
        ..old_client()
    });
    assert_eq!(world.refused(to).1, GroupError::RecordTooLarge);
}
