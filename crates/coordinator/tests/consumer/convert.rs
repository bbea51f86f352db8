//! Groups change their protocol: all at once while they are empty, and member by member while they are not.

use wiber_coordinator::{
    CommitOffset, CommitRequest, ConsumerMigration, GroupError, ListGroupsRequest, ListedGroup,
    NamedPartitions, Record, Request, Response, SyncRequest, TopicPartitions,
};
use wiber_model::Offset;

use super::classic::{REBALANCE_MS, SESSION_MS, classic_join, named};
use super::harness::{GROUP, World, join, of_instance, owning, plain, write_assignment};

/// A classic group of two members that share a topic of four partitions.
fn two_classic_members(world: &mut World) -> (Vec<String>, i32) {
    let halves = [named(&[("a", &[0, 1])]), named(&[("a", &[2, 3])])];
    world.classic_group(&["a"], &halves)
}

fn listed(world: &mut World) -> ListedGroup {
    match world.ask(Request::ListGroups(ListGroupsRequest::default())) {
        Response::ListGroups(groups) => groups[0].clone(),
        other => panic!("{other:?}"),
    }
}

fn kind(world: &mut World) -> &'static str {
    listed(world).kind
}

fn listed_state(world: &mut World) -> &'static str {
    listed(world).state
}

#[test]
fn a_classic_group_is_upgraded_by_its_first_consumer_and_downgraded_by_its_last() {
    let world = &mut World::new(&[("a", 4)]);
    let (ids, generation) = two_classic_members(world);
    let (first, second) = (&ids[0], &ids[1]);

    // The consumer is in, but has to wait for what the others have.
    let answer = world.beat(join("m", &["a"])).unwrap();
    assert_eq!(answer.member_epoch, generation + 1);
    assert_eq!(answer.assignment, Some(TopicPartitions::new()));
    let described = world.describe().unwrap();
    assert_eq!(
        described
            .members
            .iter()
            .filter(|member| member.is_classic)
            .count(),
        2
    );
    let halves = [named(&[("a", &[0, 1])]), named(&[("a", &[2, 3])])];

    // The classic members are told to join, and keep their membership and what they keep.
    for (id, half) in [(first, &halves[0]), (second, &halves[1])] {
        assert_eq!(
            world.classic_heartbeat(id, generation),
            Err(GroupError::RebalanceInProgress)
        );
        let (same, joined) = world.join_now(classic_join(id, &["a"], half));
        let joined = joined.unwrap();
        assert_eq!(
            (&same, joined.leader.as_str(), joined.members.len()),
            (id, "", 0)
        );
        assert_eq!(joined.protocol.as_deref(), Some("range"));
        let mut kept = world.sync_now(id, joined.generation).unwrap();
        assert!(!kept.is_empty());
        if kept != *half {
            // It gives up, and joins again.
            let state = world.classic_heartbeat(id, joined.generation);
            assert_eq!(state, Err(GroupError::RebalanceInProgress));
            let (_, joined) = world.join_now(classic_join(id, &["a"], &kept));
            let epoch = joined.unwrap().generation;
            assert_eq!(epoch, generation + 1);
            kept = world.sync_now(id, epoch).unwrap();
        }
        assert_eq!(world.classic_heartbeat(id, generation + 1), Ok(()));
        assert!(
            kept["a"]
                .iter()
                .all(|partition| half["a"].contains(partition))
        );
    }
    let answer = world.beat(plain("m", generation + 1)).unwrap();
    assert!(answer.assignment.is_some_and(|mine| !mine.is_empty()));
    assert_eq!(world.state(), "Stable");
    assert_eq!(kind(world), "consumer");

    // All can commit, each by its protocol.
    let commit = |member: &str, version| {
        Request::CommitOffsets(CommitRequest {
            group: GROUP.to_owned(),
            generation_or_epoch: generation + 1,
            member_id: member.to_owned(),
            version,
            offsets: vec![CommitOffset {
                topic: "a".to_owned(),
                offset: Offset(7),
                ..CommitOffset::default()
            }],
            ..CommitRequest::default()
        })
    };
    for request in [commit(first, 8), commit("m", 9)] {
        assert_eq!(
            world.ask(request),
            Response::CommitOffsets(Ok(vec![Ok(())]))
        );
    }

    // A restart changes nothing.
    world.restart();
    assert_eq!(world.state(), "Stable");
    assert_eq!(world.classic_heartbeat(first, generation + 1), Ok(()));

    // The consumer leaves: the others rebalance among themselves.
    world.beat(plain("m", -1)).unwrap();
    assert_eq!(kind(world), "classic");
    assert_eq!(
        world.classic_heartbeat(first, generation + 1),
        Err(GroupError::RebalanceInProgress)
    );
    let nothing = NamedPartitions::new();
    let waiting = [first, second].map(|id| world.classic_join(classic_join(id, &["a"], &nothing)));
    let replies = waiting.map(|to| world.joined(to).unwrap().1.unwrap());
    assert_eq!(replies[0].generation, generation + 2);
    assert_eq!(replies[0].members.len() + replies[1].members.len(), 2);
    let leader = replies[0].leader.clone();
    let all = [
        (first.clone(), halves[0].clone()),
        (second.clone(), halves[1].clone()),
    ];
    let to = world.classic_sync(&leader, generation + 2, &all);
    world.synced(to).unwrap().unwrap();
    world.restart();
    assert_eq!(world.classic_heartbeat(second, generation + 2), Ok(()));
}

#[test]
fn members_that_wait_when_the_group_is_upgraded_are_told_to_join_again() {
    let world = &mut World::new(&[("a", 4)]);
    two_classic_members(world);
    let nothing = NamedPartitions::new();
    let (id, _) = world.join_now(classic_join("", &["a"], &nothing));
    let waiting = world.classic_join(classic_join(&id, &["a"], &nothing));
    assert_eq!(world.joined(waiting), None);
    world.beat(join("m", &["a"])).unwrap();
    let (_, result) = world.joined(waiting).unwrap();
    assert_eq!(result, Err(GroupError::RebalanceInProgress));
    let (_, joined) = world.join_now(classic_join(&id, &["a"], &nothing));
    let partitions = world.sync_now(&id, joined.unwrap().generation).unwrap();
    assert_eq!(partitions, nothing, "the others have all");
    world.pass(i64::from(SESSION_MS) + 1);
    world.pass(i64::from(SESSION_MS) + 1);
    assert_eq!(world.state(), "Empty", "sessions end here, too");
}

#[test]
fn only_groups_that_may_be_are_upgraded() {
    let refused = |world: &mut World, why: &str| {
        let written = world.log.len();
        let message =
            format!("Cannot upgrade classic group group to consumer group because {why}.");
        let error = world.beat(join("m", &["a"])).unwrap_err();
        assert_eq!(error, GroupError::GroupIdNotFound(message));
        assert_eq!(world.log.len(), written);
        assert_eq!(kind(world), "classic");
    };
    let world = &mut World::new(&[("a", 4)]);
    let (ids, generation) = two_classic_members(world);
    for policy in [ConsumerMigration::Disabled, ConsumerMigration::Downgrade] {
        world.set(|config| config.consumer_migration = policy);
        refused(world, "online upgrade is disabled");
    }
    world.set(|config| {
        config.consumer_migration = ConsumerMigration::Upgrade;
        config.consumer_max_size = 1;
    });
    refused(
        world,
        "the group size exceeds the consumer group maximum size",
    );
    // As Kafka has it, a group that is just full is converted for a member that finds no room: here it stays.
    world.set(|config| config.consumer_max_size = 2);
    let error = world.beat(join("m", &["a"])).unwrap_err();
    assert!(
        matches!(error, GroupError::GroupMaxSizeReached(_)),
        "{error:?}"
    );
    assert_eq!(kind(world), "classic");
    let error = world.beat(plain("m", 3)).unwrap_err();
    let message = "Group group is not a consumer group.".to_owned();
    assert_eq!(error, GroupError::GroupIdNotFound(message));
    assert_eq!(world.classic_heartbeat(&ids[0], generation), Ok(()));
}

#[test]
fn a_group_whose_assignments_cannot_be_taken_over_stays_classic() {
    let cases = [
        ("a=0!", "an unsupported custom assignor is in use"),
        ("a=x", "the embedded consumer protocol is malformed"),
    ];
    for (assignment, why) in cases {
        let world = &mut World::new(&[("a", 4)]);
        let nothing = NamedPartitions::new();
        let (id, _) = world.join_now(classic_join("", &["a"], &nothing));
        let to = world.classic_join(classic_join(&id, &["a"], &nothing));
        world.pass(10_000);
        let generation = world.joined(to).unwrap().1.unwrap().generation;
        world.send(Request::Sync(SyncRequest {
            group: GROUP.to_owned(),
            generation,
            member_id: id.clone(),
            assignments: vec![(id, assignment.into())],
            ..SyncRequest::default()
        }));
        let message =
            format!("Cannot upgrade classic group group to consumer group because {why}.");
        let error = world.beat(join("m", &["a"])).unwrap_err();
        assert_eq!(error, GroupError::GroupIdNotFound(message));
    }
}

#[test]
fn what_two_classic_members_have_is_the_firsts() {
    let world = &mut World::new(&[("a", 2)]);
    let both = [named(&[("a", &[0, 1])]), named(&[("a", &[1])])];
    world.classic_group(&["a"], &both);
    world.beat(join("m", &["a"])).unwrap();
    assert_eq!(world.describe().unwrap().members.len(), 3);
}

#[test]
fn an_empty_group_gives_way_to_either_protocol_and_keeps_its_offsets() {
    let world = &mut World::new(&[("a", 2)]);
    let commit = Request::CommitOffsets(CommitRequest {
        group: GROUP.to_owned(),
        generation_or_epoch: -1,
        version: 9,
        offsets: vec![CommitOffset {
            topic: "a".to_owned(),
            offset: Offset(7),
            ..CommitOffset::default()
        }],
        ..CommitRequest::default()
    });
    assert_eq!(world.ask(commit), Response::CommitOffsets(Ok(vec![Ok(())])));
    let committed = |world: &mut World| {
        let request = Request::FetchOffsets(wiber_coordinator::FetchOffsetsRequest {
            group: GROUP.to_owned(),
            member_epoch: -1,
            ..Default::default()
        });
        match world.ask(request) {
            Response::FetchOffsets(Ok(topics)) => topics.len(),
            other => panic!("{other:?}"),
        }
    };
    world.beat(join("m", &["a"])).unwrap();
    world.restart();
    assert_eq!((world.state(), committed(world)), ("Stable", 1));
    world.beat(plain("m", -1)).unwrap();
    assert_eq!(kind(world), "consumer");

    let (ids, generation) = world.classic_group(&["a"], &[named(&[("a", &[0, 1])])]);
    assert_eq!((kind(world), committed(world)), ("classic", 1));
    world.restart();
    assert_eq!(world.classic_heartbeat(&ids[0], generation), Ok(()));
    assert_eq!(world.classic_leave(&[(&ids[0], None)]), [Ok(())]);
    world.beat(join("m", &["a"])).unwrap();
    world.restart();
    assert_eq!((world.state(), committed(world)), ("Stable", 1));
}

/// A group of one consumer, whose classic members, of which there is one, have joined and synced.
fn mixed(world: &mut World) -> (String, i32) {
    world.beat(join("m", &["a"])).unwrap();
    let nothing = NamedPartitions::new();
    let (id, refused) = world.join_now(classic_join("", &["a"], &nothing));
    assert_eq!(refused, Err(GroupError::MemberIdRequired));
    let (_, joined) = world.join_now(classic_join(&id, &["a"], &nothing));
    assert_eq!(joined.unwrap().generation, 3);
    assert_eq!(world.sync_now(&id, 3), Ok(nothing));
    (id, 3)
}

#[test]
fn a_classic_member_gets_what_a_consumer_gives_up() {
    let world = &mut World::new(&[("a", 2)]);
    let (id, generation) = mixed(world);
    assert_eq!(
        world.classic_heartbeat(&id, generation),
        Ok(()),
        "nothing is free yet"
    );
    let mine = world.beat(plain("m", 2)).unwrap().assignment.unwrap();
    world.beat(owning("m", 2, mine)).unwrap();
    assert_eq!(
        world.classic_heartbeat(&id, generation),
        Err(GroupError::RebalanceInProgress)
    );
    let (_, joined) = world.join_now(classic_join(&id, &["a"], &NamedPartitions::new()));
    assert_eq!(joined.unwrap().generation, generation);
    assert_eq!(world.sync_now(&id, generation).unwrap()["a"].len(), 1);
    assert_eq!(world.classic_heartbeat(&id, generation), Ok(()));
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_classic_member_that_does_not_join_or_sync_in_time_is_gone() {
    let world = &mut World::new(&[("a", 2)]);
    let beat = |world: &mut World, epoch: &mut i32| {
        let mine = world.parts(&[("a", &[0])]);
        *epoch = world.beat(owning("m", *epoch, mine)).unwrap().member_epoch;
    };
    let mut epoch = 2;
    let (id, generation) = mixed(world);
    beat(world, &mut epoch);
    // It is told to join, says that it is there, and does not join.
    for _ in 0..3 {
        assert_eq!(
            world.classic_heartbeat(&id, generation),
            Err(GroupError::RebalanceInProgress)
        );
        world.pass(i64::from(REBALANCE_MS) / 3 + 1);
        beat(world, &mut epoch);
    }
    assert_eq!(
        world.classic_heartbeat(&id, generation),
        Err(GroupError::UnknownMemberId)
    );

    // It joins, says that it is there, and does not sync.
    let nothing = NamedPartitions::new();
    let (id, _) = world.join_now(classic_join("", &["a"], &nothing));
    let generation = world
        .join_now(classic_join(&id, &["a"], &nothing))
        .1
        .unwrap()
        .generation;
    for _ in 0..3 {
        let _ = world.classic_heartbeat(&id, generation);
        world.pass(i64::from(REBALANCE_MS) / 3 + 1);
        beat(world, &mut epoch);
    }
    assert_eq!(
        world.classic_heartbeat(&id, generation),
        Err(GroupError::UnknownMemberId)
    );
}

#[test]
fn a_classic_member_that_changes_its_protocol_under_its_id_need_not_join_or_sync() {
    for told_to_join in [true, false] {
        let world = &mut World::new(&[("a", 2)]);
        let (id, generation) = mixed(world);
        if told_to_join {
            let mine = world.parts(&[("a", &[0])]);
            world.beat(owning("m", 2, mine)).unwrap();
            assert_eq!(
                world.classic_heartbeat(&id, generation),
                Err(GroupError::RebalanceInProgress)
            );
        } else {
            let again = classic_join(&id, &["a"], &NamedPartitions::new());
            world.join_now(again).1.unwrap();
        }
        let mut epoch = world.beat(join(&id, &["a"])).unwrap().member_epoch;
        for _ in 0..3 {
            world.pass(i64::from(REBALANCE_MS) / 3 + 1);
            epoch = world.beat(plain(&id, epoch)).unwrap().member_epoch;
        }
    }
}

#[test]
fn classic_requests_to_a_consumer_group_are_checked() {
    let world = &mut World::new(&[("a", 2)]);
    let (id, generation) = mixed(world);
    let nothing = NamedPartitions::new();
    assert_eq!(
        world.classic_heartbeat(&id, generation + 1),
        Err(GroupError::IllegalGeneration)
    );
    assert_eq!(
        world.classic_heartbeat("m", 2),
        Err(GroupError::UnknownMemberId)
    );
    assert_eq!(
        world.sync_now(&id, generation - 1),
        Err(GroupError::IllegalGeneration)
    );
    assert_eq!(
        world.sync_now("nobody", generation),
        Err(GroupError::UnknownMemberId)
    );
    let other = SyncRequest {
        group: GROUP.to_owned(),
        generation,
        member_id: id.clone(),
        protocol: Some("roundrobin".to_owned()),
        ..SyncRequest::default()
    };
    let refused = Response::Sync(Err(GroupError::InconsistentGroupProtocol));
    assert_eq!(world.ask(Request::Sync(other)), refused);

    let mut connect = classic_join("", &["a"], &nothing);
    connect.protocol_type = "connect".to_owned();
    assert_eq!(
        world.join_now(connect).1,
        Err(GroupError::InconsistentGroupProtocol)
    );
    let mut sticky = classic_join("", &["a"], &nothing);
    sticky.protocols[0].0 = "sticky".to_owned();
    sticky.protocols.truncate(1);
    assert_eq!(
        world.join_now(sticky).1,
        Err(GroupError::InconsistentGroupProtocol)
    );
    let mut garbage = classic_join(&id, &["a"], &nothing);
    garbage.protocols[0].1 = "?".into();
    assert_eq!(
        world.join_now(garbage).1,
        Err(GroupError::InconsistentGroupProtocol)
    );
    world.set(|config| config.consumer_migration = ConsumerMigration::Disabled);
    let again = classic_join(&id, &["a"], &nothing);
    assert_eq!(
        world.join_now(again).1,
        Err(GroupError::InconsistentGroupProtocol)
    );
}

#[test]
fn the_last_consumer_may_leave_a_group_that_must_not_become_classic() {
    let world = &mut World::with(&[("a", 2)], |config| {
        config.consumer_migration = ConsumerMigration::Upgrade;
    });
    let (id, generation) = mixed(world);
    world.beat(plain("m", -1)).unwrap();
    assert_eq!(kind(world), "consumer");
    // The target assignment is made by the next heartbeat of a consumer, or the next join.
    assert_eq!(
        world.classic_heartbeat(&id, generation),
        Err(GroupError::RebalanceInProgress)
    );
    let (_, joined) = world.join_now(classic_join(&id, &["a"], &NamedPartitions::new()));
    let generation = joined.unwrap().generation;
    assert_eq!(
        world.sync_now(&id, generation).unwrap(),
        named(&[("a", &[0, 1])])
    );
    assert_eq!(
        world.classic_leave(&[(&id, None), ("nobody", None)]),
        [Ok(()), Err(GroupError::UnknownMemberId)]
    );
    assert_eq!(world.state(), "Empty");
}

#[test]
fn what_the_last_consumer_had_is_shared_in_a_group_that_must_not_become_classic() {
    let world = &mut World::with(&[("a", 2)], |config| {
        config.consumer_migration = ConsumerMigration::Upgrade;
    });
    let (id, generation) = mixed(world);
    let mine = world.beat(plain("m", 2)).unwrap().assignment.unwrap();
    world.beat(owning("m", 2, mine)).unwrap();
    world
        .join_now(classic_join(&id, &["a"], &NamedPartitions::new()))
        .1
        .unwrap();
    let its = world.sync_now(&id, generation).unwrap();
    assert_eq!(world.classic_heartbeat(&id, generation), Ok(()));
    assert_eq!(world.state(), "Stable");

    world.beat(plain("m", -1)).unwrap();
    assert_eq!(
        world.classic_heartbeat(&id, generation),
        Err(GroupError::RebalanceInProgress)
    );
    let (_, joined) = world.join_now(classic_join(&id, &["a"], &its));
    let generation = joined.unwrap().generation;
    assert_eq!(
        world.sync_now(&id, generation).unwrap(),
        named(&[("a", &[0, 1])])
    );
    assert_eq!(world.classic_heartbeat(&id, generation), Ok(()));
}

#[test]
fn who_gave_up_in_time_after_a_restart_has_time_again_for_what_comes_next() {
    let world = &mut World::new(&[("a", 2), ("b", 2)]);
    let all = named(&[("a", &[0, 1])]);
    let (ids, _) = world.classic_group(&["a"], std::slice::from_ref(&all));
    let id = &ids[0];
    world.beat(join("m", &["a"])).unwrap();
    world.join_now(classic_join(id, &["a"], &all)).1.unwrap();
    world.restart();
    // It gives up one of two.
    let mut epoch = 0;
    let mut its = all;
    for _ in 0..2 {
        let (_, joined) = world.join_now(classic_join(id, &["a"], &its));
        epoch = joined.unwrap().generation;
        its = world.sync_now(id, epoch).unwrap();
    }
    assert_eq!(its["a"].len(), 1);
    let mine = world.beat(plain("m", epoch)).unwrap().assignment.unwrap();
    world.beat(owning("m", epoch, mine)).unwrap();
    for _ in 0..2 {
        world.pass(i64::from(REBALANCE_MS) / 2 - 1_000);
        assert_eq!(world.classic_heartbeat(id, epoch), Ok(()));
        world.beat(plain("m", epoch)).unwrap();
    }
    // Now it is to give up the other one: its topic is another.
    let told = classic_join(id, &["b"], &its);
    world.join_now(told).1.unwrap();
    world.pass(2_000);
    assert_ne!(
        world.classic_heartbeat(id, epoch),
        Err(GroupError::UnknownMemberId)
    );
}

#[test]
fn a_static_consumer_that_comes_back_as_a_classic_member_downgrades_its_group() {
    let world = &mut World::new(&[("a", 2)]);
    world.beat(of_instance(join("m", &["a"]), "i")).unwrap();
    let mut request = classic_join("", &["a"], &NamedPartitions::new());
    request.instance_id = Some("i".to_owned());
    let (id, joined) = world.join_now(request);
    let generation = joined.unwrap().generation;
    assert_eq!(kind(world), "classic");
    let sync = SyncRequest {
        group: GROUP.to_owned(),
        generation,
        member_id: id.clone(),
        instance_id: Some("i".to_owned()),
        ..SyncRequest::default()
    };
    match world.ask(Request::Sync(sync)) {
        Response::Sync(Ok(synced)) => {
            let all = write_assignment(&named(&[("a", &[0, 1])]), 3);
            assert_eq!(synced.assignment, all, "it has what the consumer had");
        }
        other => panic!("{other:?}"),
    }
    let fenced = world.beat(of_instance(plain("m", 2), "i")).unwrap_err();
    assert!(matches!(fenced, GroupError::GroupIdNotFound(_)));
    // And forth again.
    let answer = world.beat(of_instance(join("m2", &["a"]), "i")).unwrap();
    assert_eq!(answer.assignment, Some(world.parts(&[("a", &[0, 1])])));
    assert_eq!(kind(world), "consumer");
}

/// A member of the classic protocol that has come to a group of the consumer protocol.
fn come(world: &mut World) -> String {
    let nothing = NamedPartitions::new();
    let (id, refused) = world.join_now(classic_join("", &["a"], &nothing));
    assert_eq!(refused, Err(GroupError::MemberIdRequired));
    world
        .join_now(classic_join(&id, &["a"], &nothing))
        .1
        .unwrap();
    id
}

#[test]
fn what_members_were_to_give_up_is_theirs_when_their_group_goes_to_and_fro() {
    for restarts in [false, true] {
        let world = &mut World::new(&[("a", 4)]);
        let (ids, generation) = two_classic_members(world);
        world.beat(join("m", &["a"])).unwrap();
        let third = come(world);
        let (_, joined) = world.join_now(classic_join(&third, &["a"], &NamedPartitions::new()));
        let share = world.sync_now(&third, joined.unwrap().generation);
        assert_eq!(share, Ok(NamedPartitions::new()), "the others have all");

        // The two do not hear of it before the group becomes a classic one, and one of the consumer protocol again.
        world.beat(plain("m", -1)).unwrap();
        assert_eq!(kind(world), "classic");
        if restarts {
            world.restart();
        }
        let answer = world.beat(join("n", &["a"])).unwrap();
        assert_eq!(answer.assignment, Some(TopicPartitions::new()));
        assert_eq!(kind(world), "consumer");
        let nothing = NamedPartitions::new();
        let (_, joined) = world.join_now(classic_join(&third, &["a"], &nothing));
        let share = world.sync_now(&third, joined.unwrap().generation);
        assert_eq!(share, Ok(nothing), "the others have all still");

        // They give up, each in its turn, and everybody gets a share.
        let mut shares = [named(&[("a", &[0, 1])]), named(&[("a", &[2, 3])])];
        let mut epoch = 0;
        for _ in 0..3 {
            for (id, share) in ids.iter().zip(&mut shares) {
                let (_, joined) = world.join_now(classic_join(id, &["a"], share));
                epoch = joined.unwrap().generation;
                *share = world.sync_now(id, epoch).unwrap();
            }
        }
        assert!(epoch > generation + 1);
        let (_, joined) = world.join_now(classic_join(&third, &["a"], &NamedPartitions::new()));
        let mine = world.sync_now(&third, joined.unwrap().generation).unwrap();
        let answer = world.beat(plain("n", epoch)).unwrap();
        let all = [&shares[0], &shares[1], &mine].map(|share| share["a"].clone());
        let mut all = all.concat();
        all.extend(answer.assignment.into_iter().flatten().flat_map(|(_, p)| p));
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    }
}

#[test]
fn a_group_that_lost_its_last_consumer_rebalances_after_a_restart_too() {
    let world = &mut World::new(&[("a", 4)]);
    let (ids, generation) = two_classic_members(world);
    let answer = world.beat(join("m", &["a"])).unwrap();
    world.beat(plain("m", -1)).unwrap();
    assert_eq!(kind(world), "classic");
    world.restart();
    assert_eq!(listed_state(world), "PreparingRebalance");
    assert!(answer.member_epoch > generation);
    let halves = [named(&[("a", &[0, 1])]), named(&[("a", &[2, 3])])];
    let waiting: Vec<_> = ids
        .iter()
        .zip(&halves)
        .map(|(id, half)| world.classic_join(classic_join(id, &["a"], half)))
        .collect();
    for to in waiting {
        let (_, joined) = world.joined(to).expect("all have joined");
        assert!(joined.unwrap().generation > answer.member_epoch);
    }
    // One that was stable is so after a restart.
    let world = &mut World::new(&[("a", 4)]);
    two_classic_members(world);
    world.restart();
    assert_eq!(listed_state(world), "Stable");
}

#[test]
fn what_a_member_gives_up_as_its_group_is_upgraded_goes_to_nobody_before_it_has() {
    let world = &mut World::new(&[("a", 4)]);
    let (ids, _) = two_classic_members(world);
    let (first, second) = (&ids[0], &ids[1]);
    let halves = [named(&[("a", &[0, 1])]), named(&[("a", &[2, 3])])];
    // The cooperative protocol: what the first is to give up is assigned to nobody as yet. It also names one that is not there.
    let more = named(&[("a", &[0, 1, 99])]);
    let waiting = [(first, &more), (second, &halves[1])]
        .map(|(id, half)| world.classic_join(classic_join(id, &["a"], half)));
    let [(_, joined), _] = waiting.map(|to| world.joined(to).expect("all have joined"));
    let joined = joined.unwrap();
    let less = [
        (first.clone(), named(&[("a", &[0])])),
        (second.clone(), halves[1].clone()),
    ];
    let to = world.classic_sync(&joined.leader, joined.generation, &less);
    world.synced(to).expect("synced").unwrap();

    let answer = world.beat(join("m", &["a"])).unwrap();
    assert_eq!(answer.assignment, Some(TopicPartitions::new()));
    let answer = world.beat(plain("m", answer.member_epoch)).unwrap();
    assert_eq!(
        answer.assignment, None,
        "the first has the second partition still"
    );
    let gives_up = |record: &Record| match record {
        Record::ConsumerCurrent {
            value: Some(current),
            ..
        } if !current.revoking.is_empty() => {
            let partitions = current.revoking.values().flat_map(|it| it.keys().copied());
            Some(partitions.collect::<Vec<_>>())
        }
        _ => None,
    };
    let given_up: Vec<_> = world.log.iter().filter_map(gives_up).collect();
    assert_eq!(given_up, [[1]]);
    assert_eq!(
        world.classic_heartbeat(first, joined.generation),
        Err(GroupError::RebalanceInProgress)
    );
    let (_, joined) = world.join_now(classic_join(first, &["a"], &less[0].1));
    assert_eq!(
        world.sync_now(first, joined.unwrap().generation),
        Ok(less[0].1.clone())
    );
    let answer = world.beat(plain("m", answer.member_epoch)).unwrap();
    assert_eq!(answer.assignment, Some(world.parts(&[("a", &[1])])));
}

#[test]
fn a_group_that_was_sharing_anew_as_it_became_a_classic_one_rebalances() {
    let world = &mut World::new(&[("a", 2)]);
    world.beat(of_instance(join("m", &["a"]), "i")).unwrap();
    come(world);
    assert_eq!(world.state(), "Reconciling");
    let mut request = classic_join("", &["a"], &NamedPartitions::new());
    request.instance_id = Some("i".to_owned());
    world.join_now(request).1.unwrap();
    assert_eq!(kind(world), "classic");
    assert_eq!(listed_state(world), "PreparingRebalance");
}

#[test]
fn an_operator_removes_static_members_of_either_protocol_by_their_instance() {
    let world = &mut World::new(&[("a", 2)]);
    world.beat(of_instance(join("m", &["a"]), "i")).unwrap();
    let left = world.classic_leave(&[("", Some("i")), ("", Some("j")), ("x", Some("i"))]);
    assert_eq!(
        left,
        [
            Ok(()),
            Err(GroupError::UnknownMemberId),
            Err(GroupError::FencedInstanceId)
        ]
    );
    assert_eq!(world.state(), "Empty");
    let tombstone = |record: &Record| matches!(record, Record::ConsumerMember { value: None, .. });
    assert!(world.log.iter().any(tombstone));
}

#[test]
fn a_protocol_that_a_member_names_twice_counts_once() {
    let world = &mut World::new(&[("a", 4)]);
    world.beat(join("m", &["a"])).unwrap();
    let new = |world: &mut World| {
        let (id, refused) = world.join_now(classic_join("", &["a"], &NamedPartitions::new()));
        assert_eq!(refused, Err(GroupError::MemberIdRequired));
        classic_join(&id, &["a"], &NamedPartitions::new())
    };
    let mut twice = new(world);
    let again = twice.protocols[0].clone();
    twice.protocols.push(again);
    world.join_now(twice).1.unwrap();
    // What all have is in common, though one names it twice.
    let mut same = new(world);
    same.protocols.truncate(1);
    world.join_now(same).1.unwrap();
}

#[test]
fn a_group_that_would_not_fit_a_record_stays_what_it_is() {
    const METADATA_BYTES: usize = 3 * 1024 * 1024;
    let world = &mut World::new(&[("a", 4)]);
    world.beat(join("m", &["a"])).unwrap();
    for _ in 0..2 {
        let nothing = NamedPartitions::new();
        let (id, _) = world.join_now(classic_join("", &["a"], &nothing));
        let mut request = classic_join(&id, &["a"], &nothing);
        // Only the first of the protocols is read; so much of it nobody looks at.
        request.protocols.truncate(1);
        let mut metadata = request.protocols[0].1.to_vec();
        metadata.extend(vec![b','; METADATA_BYTES]);
        request.protocols[0].1 = metadata.into();
        world.join_now(request).1.unwrap();
    }
    // The last member of the consumer protocol leaves.
    world.beat(plain("m", -1)).unwrap();
    assert_eq!(kind(world), "consumer");
    assert_eq!(world.describe().unwrap().members.len(), 2);
    let largest = world.log.iter().filter_map(|record| match record {
        Record::ClassicGroup { value, .. } => value.as_ref(),
        _ => None,
    });
    assert_eq!(largest.count(), 0);
}
