//! JoinGroup.

use wiber_coordinator::{GroupError, JoinRequest, Record};

use crate::harness::{
    GROUP, REBALANCE_MS, SESSION_MS, World, new_client, old_client, protocols, static_client,
    sync_of, with_id,
};

#[test]
fn a_request_out_of_bounds_is_refused() {
    let mut world = World::new();
    for session_timeout_ms in [5_999, 1_800_001, -1] {
        let to = world.join(JoinRequest {
            session_timeout_ms,
            ..old_client()
        });
        assert_eq!(world.refused(to).1, GroupError::InvalidSessionTimeout);
    }
    let to = world.join(JoinRequest {
        group: String::new(),
        ..old_client()
    });
    assert_eq!(world.refused(to).1, GroupError::InvalidGroupId);
    assert!(world.log.is_empty(), "nothing was written");
}

#[test]
fn nobody_gets_an_id_that_is_longer_than_a_string_may_be() {
    const STRING_BYTES_MAX: usize = 0x7fff;
    let long = "x".repeat(STRING_BYTES_MAX);
    let mut world = World::new();
    let mut of_client = old_client();
    of_client.caller.client_id.clone_from(&long);
    let of_instance = static_client(&long);
    for request in [of_client, of_instance] {
        let to = world.join(request);
        let error = world.refused(to).1;
        assert!(matches!(&error, GroupError::InvalidRequest(_)), "{error:?}");
    }
    assert!(world.log.is_empty(), "nothing was written");

    // What fits does.
    let mut fits = old_client();
    fits.caller.client_id = "x".repeat(STRING_BYTES_MAX - 37);
    let to = world.join(fits);
    world.pass(i64::from(world.config.initial_rebalance_delay_ms) * 2);
    let (ids, _) = world.settle(vec![to]);
    assert_eq!(ids[0].len(), STRING_BYTES_MAX);
}

#[test]
fn what_the_members_tell_is_bounded_all_together() {
    const MIB: usize = 1024 * 1024;
    let mut world = World::new();
    let large = || {
        let mut request = old_client();
        request.protocols[0].1 = vec![b','; 3 * MIB].into();
        request
    };
    let mut ids = Vec::new();
    let waiting: Vec<_> = (0..10).map(|_| world.join(large())).collect();
    let to = world.join(large());
    let error = world.refused(to).1;
    assert!(
        matches!(&error, GroupError::GroupMaxSizeReached(_)),
        "{error:?}"
    );
    // Who is in may say the same again, and less takes less.
    world.pass(i64::from(world.config.initial_rebalance_delay_ms) * 2);
    for to in waiting {
        ids.push(world.joined(to).0);
    }
    world.join(with_id(large(), &ids[0]));
    world.join(with_id(old_client(), &ids[1]));
    let again = world.join(large());
    world.coordinator.validate();
    assert_eq!(world.reply(again), None, "it has room, and waits");
}

#[test]
fn an_id_that_no_group_gave_is_unknown() {
    let mut world = World::new();
    let to = world.join(with_id(old_client(), "stranger"));
    assert_eq!(
        world.refused(to),
        ("stranger".to_owned(), GroupError::UnknownMemberId)
    );
    assert_eq!(world.state(), "Dead", "no group came of it");
    let (_, _) = world.stable(1);
    let to = world.join(with_id(old_client(), "stranger"));
    assert_eq!(world.refused(to).1, GroupError::UnknownMemberId);
}

#[test]
fn a_group_without_protocols_or_type_is_inconsistent() {
    let mut world = World::new();
    for request in [
        JoinRequest {
            protocols: Vec::new(),
            ..old_client()
        },
        JoinRequest {
            protocol_type: String::new(),
            ..old_client()
        },
    ] {
        let to = world.join(request);
        assert_eq!(world.refused(to).1, GroupError::InconsistentGroupProtocol);
    }
}

#[test]
fn a_new_group_waits_for_others_before_it_begins() {
    let mut world = World::new();
    let first = world.join(old_client());
    assert_eq!(world.state(), "PreparingRebalance");
    world.pass(2_000);
    assert!(world.reply(first).is_none(), "it waits for the delay");
    let second = world.join(old_client());
    world.pass(2_000);
    assert!(world.reply(first).is_none(), "who came extended the delay");
    world.pass(2_000);
    let (_, joined) = world.joined(first);
    assert_eq!(joined.generation, 1);
    assert_eq!(world.joined(second).1.generation, 1);
    assert_eq!(world.state(), "CompletingRebalance");
}

#[test]
fn the_delay_of_a_new_group_ends_with_the_rebalance_timeout() {
    let mut world = World::new();
    let quick = || JoinRequest {
        rebalance_timeout_ms: 7_000,
        ..old_client()
    };
    let first = world.join(quick());
    let mut others = Vec::new();
    for _ in 0..6 {
        world.pass(1_000);
        others.push(world.join(quick()));
    }
    assert!(world.reply(first).is_none());
    world.pass(1_000);
    assert_eq!(world.joined(first).1.generation, 1, "7 seconds are over");
    for other in others {
        assert_eq!(world.joined(other).1.generation, 1);
    }
}

#[test]
fn a_new_member_is_first_given_its_id() {
    let mut world = World::new();
    let to = world.join(new_client());
    let (id, error) = world.refused(to);
    assert_eq!(error, GroupError::MemberIdRequired);
    assert!(id.starts_with("client-"), "{id}");
    let to = world.join(with_id(new_client(), &id));
    world.pass(3_000);
    let (joined_as, joined) = world.joined(to);
    assert_eq!(joined_as, id);
    assert_eq!(joined.leader, id);
    assert_eq!(joined.members.len(), 1);
    assert_eq!(joined.protocol.as_deref(), Some("range"));
    assert_eq!(joined.protocol_type.as_deref(), Some("consumer"));
}

#[test]
fn an_id_that_is_not_used_goes_after_the_session_timeout() {
    let mut world = World::new();
    let to = world.join(new_client());
    let (id, _) = world.refused(to);
    world.pass(i64::from(SESSION_MS));
    let to = world.join(with_id(new_client(), &id));
    assert_eq!(world.refused(to).1, GroupError::UnknownMemberId);
}

#[test]
fn a_rebalance_waits_for_those_who_were_given_an_id() {
    let mut world = World::new();
    let (members, _) = world.stable(1);
    let to = world.join(new_client());
    let (pending, _) = world.refused(to);
    let again = world.join(with_id(old_client(), &members[0]));
    assert!(
        world.reply(again).is_none(),
        "the leader waits for the other"
    );
    world.pass(5_000);
    let other = world.join(with_id(new_client(), &pending));
    assert_eq!(world.joined(again).1.generation, 2);
    assert_eq!(world.joined(other).1.generation, 2);
    let (ids, _) = {
        let to = world.join(with_id(new_client(), &pending));
        let (_, joined) = world.joined(to);
        (joined.members.len(), joined.generation)
    };
    assert_eq!(ids, 0, "a follower that joins again is told no members");
}

#[test]
fn the_first_member_leads_and_learns_of_all() {
    let mut world = World::new();
    let first = world.join(old_client());
    let second = world.join(old_client());
    world.pass(6_000);
    let (leader, joined) = world.joined(first);
    assert_eq!(joined.leader, leader);
    assert_eq!(joined.members.len(), 2);
    assert!(!joined.skip_assignment);
    assert!(joined.members.iter().all(|m| m.metadata == "topic1"));
    let (_, other) = world.joined(second);
    assert_eq!(other.leader, leader);
    assert!(other.members.is_empty());
}

#[test]
fn the_protocol_with_the_most_votes_wins_among_those_that_all_support() {
    let mut world = World::new();
    let mut waiting = Vec::new();
    for names in [
        &["a", "b", "c"][..],
        &["c", "b"][..],
        &["b", "c", "a"][..],
        &["c", "b", "d"][..],
        &["c", "b"][..],
    ] {
        waiting.push(world.join(JoinRequest {
            protocols: protocols(names),
            ..old_client()
        }));
    }
    world.pass(6_000);
    for to in waiting {
        assert_eq!(world.joined(to).1.protocol.as_deref(), Some("c"));
    }
}

#[test]
fn who_has_no_protocol_in_common_stays_out() {
    let mut world = World::new();
    let _ = world.stable(1);
    let to = world.join(JoinRequest {
        protocols: protocols(&["sticky"]),
        ..old_client()
    });
    assert_eq!(world.refused(to).1, GroupError::InconsistentGroupProtocol);
    let to = world.join(JoinRequest {
        protocol_type: "connect".to_owned(),
        ..old_client()
    });
    assert_eq!(world.refused(to).1, GroupError::InconsistentGroupProtocol);
    assert_eq!(world.state(), "Stable", "nobody else notices");
}

#[test]
fn a_protocol_that_is_named_twice_counts_once() {
    let mut world = World::new();
    let to = world.join(JoinRequest {
        protocols: protocols(&["range", "range"]),
        ..old_client()
    });
    world.pass(3_000);
    assert_eq!(world.joined(to).1.protocol.as_deref(), Some("range"));
}

#[test]
fn an_empty_group_takes_members_of_another_type() {
    let mut world = World::new();
    let (members, _) = world.stable(1);
    world.leave(&[(&members[0], None)]).unwrap();
    assert_eq!(world.state(), "Empty");
    let to = world.join(JoinRequest {
        protocol_type: "connect".to_owned(),
        protocols: protocols(&["sessioned"]),
        ..old_client()
    });
    world.pass(3_000);
    let (_, joined) = world.joined(to);
    assert_eq!(joined.protocol_type.as_deref(), Some("connect"));
    assert_eq!(joined.generation, 3, "the generation counts on");
}

#[test]
fn a_new_member_makes_the_others_rejoin() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let new = world.join(old_client());
    assert_eq!(
        world.heartbeat(&members[0], generation),
        Err(GroupError::RebalanceInProgress)
    );
    let again = world.join(with_id(old_client(), &members[0]));
    assert_eq!(world.joined(again).1.generation, generation + 1);
    assert_eq!(world.joined(new).1.generation, generation + 1);
}

#[test]
fn who_does_not_rejoin_in_time_is_out() {
    let mut world = World::new();
    let (members, generation) = world.stable(3);
    let again = world.join(with_id(old_client(), &members[0]));
    for _ in 0..2 * (REBALANCE_MS / SESSION_MS) {
        // The others are alive, but do not join.
        for member in &members[1..] {
            let _ = world.heartbeat(member, generation);
        }
        world.pass(i64::from(SESSION_MS / 2));
    }
    let (_, joined) = world.joined(again);
    assert_eq!(joined.generation, generation + 1);
    assert_eq!(joined.members.len(), 1);
    assert_eq!(
        world.heartbeat(&members[1], generation),
        Err(GroupError::UnknownMemberId)
    );
}

#[test]
fn a_leader_that_does_not_rejoin_is_replaced() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    let new = world.join(old_client());
    let again = world.join(with_id(old_client(), &members[1]));
    for _ in 0..2 * (REBALANCE_MS / SESSION_MS) {
        let _ = world.heartbeat(&members[0], generation);
        world.pass(i64::from(SESSION_MS / 2));
    }
    let (id, joined) = world.joined(again);
    let (new_id, _) = world.joined(new);
    assert_eq!(joined.generation, generation + 1);
    assert!(joined.leader == id || joined.leader == new_id);
}

#[test]
fn a_follower_that_joins_again_unchanged_changes_nothing() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    let to = world.join(with_id(old_client(), &members[1]));
    let (_, joined) = world.joined(to);
    assert_eq!(joined.generation, generation);
    assert_eq!(world.state(), "Stable");
    let to = world.join(JoinRequest {
        protocols: protocols(&["roundrobin"]),
        ..with_id(old_client(), &members[1])
    });
    assert!(world.reply(to).is_none(), "it changed its protocols");
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn a_leader_that_joins_again_rebalances() {
    let mut world = World::new();
    let (members, _) = world.stable(2);
    let to = world.join(with_id(old_client(), &members[0]));
    assert!(world.reply(to).is_none());
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn who_missed_the_answer_to_its_join_gets_it_again() {
    let mut world = World::new();
    let first = world.join(old_client());
    world.pass(3_000);
    let (id, joined) = world.joined(first);
    let to = world.join(with_id(old_client(), &id));
    assert_eq!(world.joined(to), (id, joined));
    assert_eq!(world.state(), "CompletingRebalance");
}

#[test]
fn a_change_while_the_leader_assigns_begins_anew() {
    let mut world = World::new();
    let waiting = [world.join(old_client()), world.join(old_client())];
    world.pass(6_000);
    let [(first, joined), (second, _)] = waiting.map(|to| world.joined(to));
    let follower = if joined.leader == first {
        &second
    } else {
        &first
    };
    let syncing = world.sync(sync_of(follower, 1, &[]));
    let leader = if follower == &first { &second } else { &first };
    let again = world.join(JoinRequest {
        protocols: protocols(&["range"]),
        ..with_id(old_client(), leader)
    });
    assert_eq!(world.synced(syncing), Err(GroupError::RebalanceInProgress));
    let other = world.join(with_id(old_client(), follower));
    assert_eq!(world.joined(again).1.generation, 2);
    assert_eq!(world.joined(other).1.generation, 2);
}

#[test]
fn a_repeated_join_takes_the_place_of_the_one_that_waits() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    let first = world.join(with_id(old_client(), &members[0]));
    let second = world.join(with_id(old_client(), &members[0]));
    assert_eq!(world.refused(first).1, GroupError::RebalanceInProgress);
    let other = world.join(with_id(old_client(), &members[1]));
    assert_eq!(world.joined(second).1.generation, generation + 1);
    assert_eq!(world.joined(other).1.generation, generation + 1);
}

#[test]
fn a_new_member_whose_join_is_parked_for_too_long_goes() {
    let mut world = World::with(|config| config.max_session_timeout_ms = 3_600_000);
    let slow = || JoinRequest {
        session_timeout_ms: 3_600_000,
        rebalance_timeout_ms: 3_600_000,
        ..old_client()
    };
    let first = world.join(slow());
    world.pass(3_000);
    let _ = world.settle(vec![first]);
    let new = world.join(slow());
    world.pass(5 * 60 * 1000 - 1);
    assert!(world.reply(new).is_none());
    world.pass(1);
    assert_eq!(
        world.refused(new),
        (String::new(), GroupError::UnknownMemberId)
    );
}

#[test]
fn a_group_has_at_most_so_many_members() {
    let mut world = World::with(|config| config.max_size = 2);
    let waiting = [
        world.join(old_client()),
        world.join(old_client()),
        world.join(old_client()),
    ];
    let (id, error) = world.refused(waiting[2]);
    assert_eq!(id, "");
    assert!(matches!(error, GroupError::GroupMaxSizeReached(_)));
    world.pass(6_000);
    let (members, generation) = world.settle(waiting[..2].to_vec());
    let to = world.join(old_client());
    let (_, error) = world.refused(to);
    assert!(matches!(error, GroupError::GroupMaxSizeReached(_)));
    assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
}

#[test]
fn more_may_be_given_an_id_than_can_join_with_it() {
    let mut world = World::with(|config| config.max_size = 2);
    let ids: Vec<String> = (0..3)
        .map(|_| {
            let to = world.join(new_client());
            world.refused(to).0
        })
        .collect();
    let waiting: Vec<_> = ids
        .iter()
        .map(|id| world.join(with_id(new_client(), id)))
        .collect();
    let (_, error) = world.refused(waiting[2]);
    assert!(matches!(error, GroupError::GroupMaxSizeReached(_)));
    world.pass(6_000);
    let (members, generation) = world.settle(waiting[..2].to_vec());
    for member in &members {
        assert_eq!(world.heartbeat(member, generation), Ok(()));
    }
    let to = world.join(with_id(new_client(), &ids[2]));
    let (_, error) = world.refused(to);
    assert!(matches!(error, GroupError::GroupMaxSizeReached(_)));
}

#[test]
fn a_group_that_has_grown_too_large_shrinks() {
    let mut world = World::new();
    let (members, generation) = world.stable(3);
    world.set(|config| config.max_size = 1);
    world.restart();
    assert_eq!(
        world.heartbeat(&members[0], generation),
        Err(GroupError::RebalanceInProgress)
    );
    let first = world.join(with_id(old_client(), &members[0]));
    for member in &members[1..] {
        let to = world.join(with_id(old_client(), member));
        let (_, error) = world.refused(to);
        assert!(matches!(error, GroupError::GroupMaxSizeReached(_)));
    }
    assert_eq!(world.joined(first).1.generation, generation + 1);
}

#[test]
fn a_new_group_is_written_before_anything_comes_of_it() {
    let mut world = World::new();
    let _ = world.join(new_client());
    assert_eq!(world.log.len(), 1);
    let Record::ClassicGroup {
        group,
        value: Some(value),
    } = &world.log[0]
    else {
        panic!("{:?}", world.log);
    };
    assert_eq!(group, GROUP);
    assert_eq!((value.generation, value.members.len()), (0, 0));
    assert_eq!(value.protocol_type, "");
}
