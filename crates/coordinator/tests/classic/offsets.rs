//! OffsetCommit, OffsetFetch and OffsetDelete.

use bytes::Bytes;
use wiber_coordinator::{
    CommitOffset, CommitRequest, DeleteOffsetsRequest, FetchOffsetsRequest, FetchedTopic,
    GroupError, JoinRequest, OffsetRecord, Record, Request, Response,
};
use wiber_model::{LeaderEpoch, Offset, TimestampMs, TopicId};

use crate::harness::{GROUP, SESSION_MS, World, commit_of, old_client, sync_of, with_id};

fn delete(
    world: &mut World,
    partitions: &[(&str, i32)],
) -> Result<Vec<Result<(), GroupError>>, GroupError> {
    let partitions = partitions
        .iter()
        .map(|(name, index)| ((*name).to_owned(), *index));
    let response = world.ask(Request::DeleteOffsets(DeleteOffsetsRequest {
        group: GROUP.to_owned(),
        partitions: partitions.collect(),
    }));
    match response {
        Response::DeleteOffsets(result) => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_member_commits_is_there_also_after_a_restart() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let before = world.log.len();
    let mut request = commit_of(&members[0], generation, 3, 42);
    request.offsets[0].metadata = "note".to_owned();
    request.offsets[0].leader_epoch = LeaderEpoch(5);
    assert_eq!(world.commit(request), Ok(vec![Ok(())]));
    let [
        Record::Offset {
            group,
            topic,
            partition,
            value: Some(value),
        },
    ] = world.written_since(before)
    else {
        panic!("{:?}", world.written_since(before));
    };
    assert_eq!(
        (group.as_str(), topic.as_str(), *partition),
        (GROUP, "topic1", 3)
    );
    assert_eq!(value.offset, Offset(42));
    assert_eq!(value.leader_epoch, LeaderEpoch(5));
    assert_eq!(value.metadata, "note");
    assert_eq!(value.committed_at, world.now.wall);
    assert_eq!(value.expires_at, None);
    assert_eq!(value.topic_id, TopicId([1; 16]), "looked up by its name");
    assert_eq!(world.committed("topic1", 3), Some(Offset(42)));
    world.restart();
    assert_eq!(world.committed("topic1", 3), Some(Offset(42)));
    assert_eq!(world.committed("topic1", 2), None);
    assert_eq!(world.committed("topic2", 3), None);
}

#[test]
fn a_commit_of_another_time_is_refused() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    for (request, error) in [
        (
            commit_of(&members[0], generation - 1, 0, 1),
            GroupError::IllegalGeneration,
        ),
        (
            commit_of(&members[0], generation + 1, 0, 1),
            GroupError::IllegalGeneration,
        ),
        (
            commit_of(&members[0], -1, 0, 1),
            GroupError::IllegalGeneration,
        ),
        (
            commit_of("stranger", generation, 0, 1),
            GroupError::UnknownMemberId,
        ),
        (commit_of("", generation, 0, 1), GroupError::UnknownMemberId),
        (commit_of("", -1, 0, 1), GroupError::UnknownMemberId),
        (
            CommitRequest {
                instance_id: Some("unknown".to_owned()),
                ..commit_of("", -1, 0, 1)
            },
            GroupError::UnknownMemberId,
        ),
    ] {
        assert_eq!(world.commit(request), Err(error));
    }
    assert_eq!(world.committed("topic1", 0), None);
}

#[test]
fn who_is_no_member_commits_while_the_group_is_empty() {
    let mut world = World::new();
    assert_eq!(world.commit(commit_of("", -1, 0, 1)), Ok(vec![Ok(())]));
    assert_eq!(world.state(), "Empty");
    assert_eq!(world.log.len(), 1, "the offset alone makes the group");
    world.restart();
    assert_eq!(world.state(), "Empty");
    assert_eq!(world.commit(commit_of("", -1, 0, 2)), Ok(vec![Ok(())]));
    assert_eq!(world.committed("topic1", 0), Some(Offset(2)));
    let (members, generation) = world.stable(1);
    assert_eq!(
        world.commit(commit_of("", -1, 0, 3)),
        Err(GroupError::UnknownMemberId)
    );
    world.leave(&[(&members[0], None)]).unwrap();
    assert_eq!(
        world.commit(commit_of(&members[0], generation, 0, 4)),
        Err(GroupError::UnknownMemberId)
    );
    assert_eq!(world.commit(commit_of("", -1, 0, 5)), Ok(vec![Ok(())]));
    assert_eq!(world.committed("topic1", 0), Some(Offset(5)));
}

#[test]
fn a_member_of_a_group_that_is_not_there_learns_so_in_words_of_its_version() {
    let mut world = World::new();
    assert_eq!(
        world.commit(commit_of("m", 1, 0, 1)),
        Err(GroupError::IllegalGeneration)
    );
    let newer = CommitRequest {
        version: 9,
        ..commit_of("m", 1, 0, 1)
    };
    assert!(matches!(
        world.commit(newer),
        Err(GroupError::GroupIdNotFound(_))
    ));
    assert_eq!(world.state(), "Dead");
}

#[test]
fn nobody_commits_while_the_leader_assigns() {
    let mut world = World::new();
    let to = world.join(old_client());
    world.pass(3_000);
    let (id, _) = world.joined(to);
    assert_eq!(
        world.commit(commit_of(&id, 1, 0, 1)),
        Err(GroupError::RebalanceInProgress)
    );
    let to = world.sync(sync_of(&id, 1, std::slice::from_ref(&id)));
    assert!(world.synced(to).is_ok());
    assert_eq!(world.commit(commit_of(&id, 1, 0, 1)), Ok(vec![Ok(())]));
    let _ = world.join(old_client());
    assert_eq!(world.state(), "PreparingRebalance");
    assert_eq!(
        world.commit(commit_of(&id, 1, 0, 2)),
        Ok(vec![Ok(())]),
        "it commits before it gives up what it has"
    );
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    for offset in 0..5 {
        world.pass(i64::from(SESSION_MS) - 1);
        let result = world.commit(commit_of(&members[0], generation, 0, offset));
        assert_eq!(result, Ok(vec![Ok(())]));
    }
}

#[test]
fn metadata_that_are_too_large_are_refused_and_the_rest_is_committed() {
    let mut world = World::with(|config| config.offset_metadata_max_bytes = 4);
    let mut request = commit_of("", -1, 0, 1);
    for (partition, metadata) in [(1, "12345"), (2, "1234"), (3, "äöüß")] {
        request.offsets.push(CommitOffset {
            partition,
            metadata: metadata.to_owned(),
            ..request.offsets[0].clone()
        });
    }
    assert_eq!(
        world.commit(request),
        Ok(vec![
            Ok(()),
            Err(GroupError::OffsetMetadataTooLarge),
            Ok(()),
            Ok(())
        ])
    );
    assert_eq!(world.committed("topic1", 1), None);
    assert_eq!(
        world.committed("topic1", 3),
        Some(Offset(1)),
        "characters are counted"
    );
}

#[test]
fn a_client_may_say_how_long_its_offsets_are_kept() {
    let mut world = World::new();
    let request = CommitRequest {
        retention_ms: Some(1_000),
        ..commit_of("", -1, 0, 1)
    };
    assert_eq!(world.commit(request), Ok(vec![Ok(())]));
    let Some(Record::Offset {
        value: Some(value), ..
    }) = world.log.last()
    else {
        panic!("{:?}", world.log.last());
    };
    assert_eq!(
        value.expires_at,
        Some(TimestampMs(world.now.wall.0 + 1_000))
    );
}

#[test]
fn offsets_are_fetched_in_part_or_all() {
    let mut world = World::new();
    let mut request = commit_of("", -1, 1, 10);
    for (topic, partition) in [("topic2", 0), ("topic1", 0)] {
        request.offsets.push(CommitOffset {
            topic: topic.to_owned(),
            partition,
            ..request.offsets[0].clone()
        });
    }
    assert!(world.commit(request).is_ok());
    let mut fetch = |partitions: Option<Vec<(String, Vec<i32>)>>, group: &str| {
        let response = world.ask(Request::FetchOffsets(FetchOffsetsRequest {
            group: group.to_owned(),
            member_id: None,
            member_epoch: -1,
            partitions,
        }));
        let Response::FetchOffsets(Ok(topics)) = response else {
            panic!("{response:?}");
        };
        let brief = topics
            .into_iter()
            .map(|FetchedTopic { topic, partitions }| {
                let partitions = partitions
                    .into_iter()
                    .map(|(index, value)| (index, value.map(|v| v.offset.0)));
                (topic, partitions.collect::<Vec<_>>())
            });
        brief.collect::<Vec<_>>()
    };
    let all = fetch(None, GROUP);
    assert_eq!(
        all,
        [
            ("topic1".to_owned(), vec![(0, Some(10)), (1, Some(10))]),
            ("topic2".to_owned(), vec![(0, Some(10))]),
        ]
    );
    let some = vec![
        ("topic2".to_owned(), vec![1, 0]),
        ("topic9".to_owned(), vec![0]),
    ];
    assert_eq!(
        fetch(Some(some.clone()), GROUP),
        [
            ("topic2".to_owned(), vec![(1, None), (0, Some(10))]),
            ("topic9".to_owned(), vec![(0, None)]),
        ]
    );
    assert_eq!(fetch(None, "other"), []);
    assert_eq!(
        fetch(Some(some), "other"),
        [
            ("topic2".to_owned(), vec![(1, None), (0, None)]),
            ("topic9".to_owned(), vec![(0, None)]),
        ]
    );
}

#[test]
fn offsets_that_no_member_uses_can_be_deleted() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let mut request = commit_of(&members[0], generation, 0, 1);
    request.offsets.push(CommitOffset {
        topic: "topic2".to_owned(),
        ..request.offsets[0].clone()
    });
    assert!(world.commit(request).is_ok());
    assert_eq!(
        delete(&mut world, &[("topic1", 0), ("topic2", 0), ("topic2", 1)]),
        Ok(vec![
            Err(GroupError::GroupSubscribedToTopic),
            Ok(()),
            Ok(())
        ])
    );
    assert_eq!(world.committed("topic1", 0), Some(Offset(1)));
    assert_eq!(world.committed("topic2", 0), None);
    world.restart();
    assert_eq!(world.committed("topic2", 0), None);
    world.leave(&[(&members[0], None)]).unwrap();
    assert_eq!(delete(&mut world, &[("topic1", 0)]), Ok(vec![Ok(())]));
    assert_eq!(world.committed("topic1", 0), None);
}

#[test]
fn what_members_of_other_types_use_nobody_knows() {
    let mut world = World::new();
    assert!(matches!(
        delete(&mut world, &[("topic1", 0)]),
        Err(GroupError::GroupIdNotFound(_))
    ));
    let to = world.join(JoinRequest {
        protocol_type: "connect".to_owned(),
        ..old_client()
    });
    world.pass(3_000);
    let (members, _) = world.settle(vec![to]);
    assert_eq!(
        delete(&mut world, &[("topic2", 0)]),
        Err(GroupError::NonEmptyGroup)
    );
    world.leave(&[(&members[0], None)]).unwrap();
    assert_eq!(delete(&mut world, &[("topic2", 0)]), Ok(vec![Ok(())]));
}

#[test]
fn consumers_whose_subscription_cannot_be_read_count_as_subscribed_to_everything() {
    let mut world = World::new();
    let to = world.join(JoinRequest {
        protocols: vec![("range".to_owned(), Bytes::from_static(b"?"))],
        ..old_client()
    });
    world.pass(3_000);
    let _ = world.settle(vec![to]);
    assert_eq!(
        delete(&mut world, &[("topic2", 0)]),
        Ok(vec![Err(GroupError::GroupSubscribedToTopic)])
    );
}

#[test]
fn offsets_go_with_their_topics() {
    let mut world = World::new();
    let mut request = commit_of("", -1, 0, 1);
    for (topic, partition) in [("topic1", 1), ("topic2", 0)] {
        request.offsets.push(CommitOffset {
            topic: topic.to_owned(),
            partition,
            ..request.offsets[0].clone()
        });
    }
    assert!(world.commit(request).is_ok());
    let before = world.log.len();
    world.delete_topics(&["topic1", "topic3"]);
    assert_eq!(world.written_since(before).len(), 2);
    assert_eq!(world.committed("topic1", 0), None);
    assert_eq!(world.committed("topic2", 0), Some(Offset(1)));
    world.restart();
    assert_eq!(world.committed("topic1", 1), None);
}

/// As many offsets as several steps take away: of all partitions of a topic, by groups that are no members.
fn commit_many(world: &mut World, topic: &str, groups: i32, partitions: i32) {
    for group in 0..groups {
        let mut request = commit_of("", -1, 0, 1);
        request.group = format!("many{group}");
        let one = CommitOffset {
            topic: topic.to_owned(),
            ..request.offsets[0].clone()
        };
        request.offsets = (0..partitions)
            .map(|partition| CommitOffset {
                partition,
                ..one.clone()
            })
            .collect();
        assert!(world.commit(request).is_ok());
    }
    world.most_records = 0;
}

#[test]
fn a_topic_that_many_have_read_ends_in_many_steps() {
    for made_anew in [false, true] {
        let mut world = World::new();
        assert!(world.commit(commit_of("", -1, 0, 1)).is_ok());
        commit_many(&mut world, "topic2", 3, 15_000);
        let before = world.log.len();
        world.delete_topics(&["topic2"]);
        assert!((1..=10_000).contains(&world.written_since(before).len()));
        // Nobody hears of the rest, even where the topic is there again.
        if made_anew {
            world.topics.gone.clear();
            world.topics.anew.insert("topic2".to_owned());
        }
        for group in ["many0", "many2"] {
            assert_eq!(world.committed_by(group, "topic2", 14_999), None);
        }
        let mut request = commit_of("", -1, 7, 5);
        request.group = "many1".to_owned();
        request.offsets[0].topic = "topic2".to_owned();
        assert!(world.commit(request).is_ok());
        world.pass(2);
        // In the middle of it a restart forgets nothing, and finds what is left.
        world.restart();
        world.pass(100);
        assert!(world.most_records <= 10_000, "{}", world.most_records);
        assert_eq!(world.committed("topic1", 0), Some(Offset(1)));
        let new = world.committed_by("many1", "topic2", 7);
        assert_eq!(new, made_anew.then_some(Offset(5)));
        let tombstones = world.written_since(before).iter().filter(|record| {
            matches!(record, Record::Offset { topic, value: None, .. } if topic == "topic2")
        });
        assert_eq!(tombstones.count(), 45_000 - usize::from(made_anew));
    }
}

#[test]
fn offsets_of_topics_that_went_unheard_go_when_they_are_loaded() {
    let mut world = World::new();
    let mut request = commit_of("", -1, 0, 1);
    for (topic, topic_id) in [("gone", TopicId([9; 16])), ("topic2", TopicId([9; 16]))] {
        request.offsets.push(CommitOffset {
            topic: topic.to_owned(),
            topic_id,
            ..request.offsets[0].clone()
        });
    }
    assert!(world.commit(request).is_ok());
    // Kafka's older records have no id: they are of whatever topic has the name.
    let without_ids = world.log.iter().filter_map(|record| match record.clone() {
        Record::Offset {
            group,
            topic,
            partition: 0,
            value: Some(value),
        } => Some(Record::Offset {
            group,
            topic,
            partition: 1,
            value: Some(OffsetRecord {
                topic_id: TopicId::ZERO,
                ..value
            }),
        }),
        _ => None,
    });
    let without_ids: Vec<_> = without_ids.collect();
    world.log.extend(without_ids);
    let before = world.log.len();
    world.restart();
    assert_eq!(world.written_since(before).len(), 3);
    assert_eq!(world.committed("topic1", 1), Some(Offset(1)));
    assert_eq!(world.committed("topic2", 1), Some(Offset(1)));
    assert_eq!(world.committed("gone", 1), None);
    assert_eq!(world.committed("topic1", 0), Some(Offset(1)));
    assert_eq!(world.committed("gone", 0), None);
    assert_eq!(
        world.committed("topic2", 0),
        None,
        "another topic has its name"
    );
}

#[test]
fn a_stale_member_cannot_commit_after_others_took_over() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    // The follower is gone for too long; the leader goes on alone.
    let again = loop {
        world.pass(i64::from(SESSION_MS / 2));
        if world.heartbeat(&members[0], generation).is_err() {
            break world.join(with_id(old_client(), &members[0]));
        }
    };
    let (_, generation_after) = world.settle(vec![again]);
    assert_eq!(generation_after, generation + 1);
    for stale in [generation, generation_after] {
        let result = world.commit(commit_of(&members[1], stale, 0, 1));
        assert_eq!(result, Err(GroupError::UnknownMemberId));
    }
    let result = world.commit(commit_of(&members[0], generation, 0, 1));
    assert_eq!(result, Err(GroupError::IllegalGeneration));
}
