//! What commands do, what they answer, and when.

use std::collections::{BTreeMap, BTreeSet};

use wiber_controller::{
    AssignmentError, ClusterImage, Command, CommandError, CommandResult, ConfigChange, ConfigEdit,
    ConfigOwner, LimitError, MAX_CONFIG_BYTES_PER_TOPIC, MAX_IN_FLIGHT_BYTES,
    MAX_PARTITIONS_PER_COMMAND, MetadataOffset, PRODUCER_ID_BLOCK, PartitionsSpec, Recovered,
    ReplicationFactorError, TopicSpec,
};
use wiber_model::{BrokerId, LeaderEpoch, PartitionId, TopicId};

use crate::node::{Disk, Node, assigned, topic};

#[test]
fn a_new_cluster_is_there_after_one_sync() {
    let mut node = Node::start(Disk::default(), 1);
    let registration = node.register(1);
    assert_eq!(
        node.answer(registration),
        None,
        "answered before it is durable"
    );
    node.sync_some(usize::MAX);
    assert_eq!(
        node.answer(registration),
        Some(&Ok(CommandResult::Registered))
    );
    let broker = node.shard.broker(BrokerId(1)).unwrap();
    assert_eq!(broker.epoch, node.shard.offset(), "R9");
    assert_eq!(broker.listeners[0].port, 9092);
    // What is left is the frame that says that the registration is committed.
    assert_eq!(node.in_flight(), 1);
    assert_eq!(node.sync(), 1);
}

#[test]
fn a_topic_is_published_before_it_is_answered() {
    let mut node = Node::new();
    let spec = TopicSpec {
        configs: vec![("retention.ms".to_owned(), "5".to_owned())],
        ..topic("t", 3)
    };
    let id = node.create(vec![spec]);
    assert_eq!(node.answer(id), None);
    assert!(
        node.shard.topic("t").is_none(),
        "published before it is committed"
    );
    node.sync_some(usize::MAX);
    let created = node.created(id)[0].clone().unwrap();
    assert_eq!((created.partitions, created.replication_factor), (3, 1));
    let state = node.shard.topic("t").unwrap();
    assert_eq!(state.id, created.id);
    assert_eq!(state.configs["retention.ms"], "5");
    assert_eq!(state.partitions.len(), 3);
    let partition = PartitionId {
        topic: created.id,
        partition: 2,
    };
    let partition = node.shard.partition(partition).unwrap();
    assert_eq!(partition.leader, BrokerId(1));
    assert_eq!(partition.leader_epoch, LeaderEpoch(0));
    assert_eq!(&*partition.isr, [BrokerId(1)]);
    assert_eq!(node.shard.partition_count(), 3);
}

#[test]
fn commands_under_way_see_each_other() {
    let mut node = Node::new();
    let first = node.create(vec![topic("t", 1)]);
    let second = node.create(vec![topic("t", 1)]);
    let allocate = [(); 2].map(|()| node.command(Command::AllocateProducerIds));
    assert!(node.answers.iter().all(|(id, ..)| *id < first));
    node.sync();
    assert!(node.created(first)[0].is_ok());
    assert_eq!(
        node.created(second)[0],
        Err(CommandError::TopicExists("t".to_owned()))
    );
    let block = |first| CommandResult::ProducerIds {
        first,
        count: PRODUCER_ID_BLOCK,
    };
    assert_eq!(node.answer(allocate[0]), Some(&Ok(block(0))));
    assert_eq!(node.answer(allocate[1]), Some(&Ok(block(1000))));
}

#[test]
fn a_refusal_waits_for_what_it_is_because_of() {
    let mut node = Node::new();
    let created = node.create(vec![topic("t", 1)]);
    let refused = node.create(vec![topic("t", 1)]);
    assert_eq!(node.answer(refused), None);
    node.sync_some(usize::MAX);
    let order: Vec<_> = node.answers.iter().map(|answer| answer.0).collect();
    assert_eq!(order[order.len() - 2..], [created, refused]);
    // With nothing under way, the answer comes at once.
    node.sync();
    let refused = node.create(vec![topic("t", 1)]);
    assert!(node.created(refused)[0].is_err());
    assert_eq!(node.in_flight(), 0);
}

#[test]
fn topics_of_a_command_succeed_and_fail_on_their_own() {
    let mut node = Node::new();
    let long = "n".repeat(250);
    let id = node.create(vec![
        topic("a.b", 1),
        topic("a_b", 1),
        topic("a.b", 1),
        topic("no/name", 1),
        topic(&long, 1),
        topic("z", 0),
        topic("c", 2),
    ]);
    node.sync();
    let results = node.created(id);
    assert!(results[0].is_ok());
    let collision = CommandError::Collision {
        name: "a_b".to_owned(),
        other: "a.b".to_owned(),
    };
    assert_eq!(results[1], Err(collision));
    assert_eq!(results[2], Err(CommandError::TopicExists("a.b".to_owned())));
    assert_eq!(
        results[3],
        Err(CommandError::InvalidName("no/name".to_owned()))
    );
    assert_eq!(results[4], Err(CommandError::InvalidName(long)));
    assert_eq!(results[5], Err(CommandError::InvalidPartitions(0)));
    assert!(results[6].is_ok());
    assert!(results[4].as_ref().unwrap_err().to_string().len() < 250);
    let names: Vec<_> = node
        .shard
        .topics()
        .map(|topic| topic.name.as_str())
        .collect();
    assert_eq!(names, ["a.b", "c"]);
    let first_after = |name: &str| {
        let behind = node.shard.topics_after(name).next();
        behind.map(|topic| topic.name.clone())
    };
    assert_eq!(first_after("").as_deref(), Some("a.b"));
    for known_or_not in ["a.b", "a_b", "b"] {
        assert_eq!(first_after(known_or_not).as_deref(), Some("c"));
    }
    assert_eq!(first_after("c"), None);
    // The collision outlasts the command, and ends with the topic.
    let id = node.create(vec![topic("a_b", 1)]);
    assert!(matches!(
        node.created(id)[0],
        Err(CommandError::Collision { .. })
    ));
    let ids = vec![node.shard.topic("a.b").unwrap().id];
    node.command(Command::DeleteTopics { ids });
    node.create_one(topic("a_b", 1));
    assert!(node.shard.topic("a.b").is_none());
}

#[test]
fn what_cannot_be_placed_is_told_why() {
    let mut node = Node::new();
    node.register(2);
    node.sync();
    let factor = |factor| TopicSpec {
        replication_factor: factor,
        ..topic("t", 1)
    };
    let cases: Vec<(TopicSpec, CommandError)> = vec![
        (topic("t", -1), CommandError::InvalidPartitions(-1)),
        (factor(0), ReplicationFactorError::NotPositive(0).into()),
        (factor(-1), ReplicationFactorError::NotPositive(-1).into()),
        (
            factor(3),
            ReplicationFactorError::TooFewBrokers {
                factor: 3,
                brokers: 2,
            }
            .into(),
        ),
        (
            assigned("t", &[(0, &[1]), (0, &[2])]),
            AssignmentError::Repeated(0).into(),
        ),
        (
            assigned("t", &[(0, &[1]), (2, &[2])]),
            AssignmentError::Gap {
                count: 2,
                missing: 1,
            }
            .into(),
        ),
        (
            assigned("t", &[(-1, &[1])]),
            AssignmentError::Gap {
                count: 1,
                missing: 0,
            }
            .into(),
        ),
        (assigned("t", &[(0, &[])]), AssignmentError::Empty(0).into()),
        (
            assigned("t", &[(0, &[1, 3])]),
            AssignmentError::UnknownBroker {
                partition: 0,
                broker: BrokerId(3),
            }
            .into(),
        ),
        (
            assigned("t", &[(0, &[2, 2])]),
            AssignmentError::RepeatedBroker {
                partition: 0,
                broker: BrokerId(2),
            }
            .into(),
        ),
        (
            assigned("t", &[(0, &[2, 1]), (1, &[1])]),
            AssignmentError::Uneven {
                partition: 1,
                replicas: 1,
                before: 2,
            }
            .into(),
        ),
    ];
    for (spec, error) in cases {
        let id = node.create(vec![spec]);
        assert_eq!(node.created(id), [Err(error)]);
    }
    let id = node.create_one(assigned("t", &[(1, &[1, 2]), (0, &[2, 1])]));
    let state = node.shard.topic_by_id(id).unwrap();
    let leaders: Vec<_> = state.partitions.iter().map(|p| p.leader.0).collect();
    assert_eq!(leaders, [2, 1]);
}

#[test]
fn without_a_broker_nothing_is_placed() {
    let mut node = Node::start(Disk::default(), 1);
    let id = node.create(vec![topic("t", 1)]);
    node.sync();
    let error = ReplicationFactorError::TooFewBrokers {
        factor: 1,
        brokers: 0,
    };
    assert_eq!(node.created(id), [Err(error.into())]);
}

#[test]
fn replicas_and_leaders_are_spread_evenly() {
    let mut node = Node::new();
    for broker in 2..=5 {
        node.register(broker);
    }
    node.sync();
    let id = node.create_one(TopicSpec {
        replication_factor: 3,
        ..topic("t", 50)
    });
    let (mut leads, mut holds) = (BTreeMap::new(), BTreeMap::new());
    for partition in &node.shard.topic_by_id(id).unwrap().partitions {
        *leads.entry(partition.leader).or_insert(0) += 1;
        for broker in partition.replicas.iter() {
            *holds.entry(*broker).or_insert(0) += 1;
        }
    }
    assert_eq!(leads.into_values().collect::<Vec<_>>(), [10; 5]);
    assert_eq!(holds.into_values().collect::<Vec<_>>(), [30; 5]);
    // Topics of one partition are spread too.
    let mut leaders = BTreeSet::new();
    for i in 0..50 {
        let id = node.create_one(topic(&format!("single-{i}"), 1));
        leaders.insert(node.shard.topic_by_id(id).unwrap().partitions[0].leader);
    }
    assert_eq!(leaders.len(), 5);
}

#[test]
fn validation_changes_nothing() {
    let mut node = Node::new();
    let before = node.shard.clone();
    let id = node.command(Command::CreateTopics {
        topics: vec![topic("a", 4), topic("b", 0)],
        validate_only: true,
    });
    let results = node.created(id);
    assert_eq!(results[0].as_ref().unwrap().partitions, 4);
    assert_eq!(results[1], Err(CommandError::InvalidPartitions(0)));
    assert_eq!(node.in_flight(), 0);
    assert_eq!(node.shard, before);
    node.create_one(topic("a", 1));
}

/// Asks for partitions of one topic. Returns the answer, once all is durable.
fn add(
    node: &mut Node,
    name: &str,
    count: i32,
    assignments: Option<&[&[i32]]>,
    validate_only: bool,
) -> Result<(), CommandError> {
    let brokers = |ids: &&[i32]| ids.iter().copied().map(BrokerId).collect();
    let spec = PartitionsSpec {
        count,
        assignments: assignments.map(|lists| lists.iter().map(brokers).collect()),
    };
    let id = node.command(Command::CreatePartitions {
        topics: BTreeMap::from([(name.to_owned(), spec)]),
        validate_only,
    });
    node.sync();
    match node.answer(id) {
        Some(Ok(CommandResult::PartitionsCreated(results))) => results[name].clone(),
        Some(Err(error)) => Err(error.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn partitions_are_added_behind_those_that_are_there() {
    let mut node = Node::new();
    node.register(2);
    let id = node.create_one(assigned("t", &[(0, &[2, 1]), (1, &[1, 2])]));
    node.register(2);
    node.sync();
    let before = node.shard.topic_by_id(id).unwrap().clone();
    let total = node.shard.partition_count();
    assert_eq!(add(&mut node, "t", 4, None, true), Ok(()));
    assert_eq!(node.shard.topic_by_id(id), Some(&before));
    assert_eq!(
        add(&mut node, "t", 4, Some(&[&[1, 2], &[2, 1]]), false),
        Ok(())
    );
    assert_eq!(add(&mut node, "t", 6, None, false), Ok(()));
    let after = node.shard.topic_by_id(id).unwrap();
    assert_eq!(after.partitions[..2], before.partitions[..]);
    let leaders: Vec<_> = after.partitions[2..4].iter().map(|p| p.leader.0).collect();
    assert_eq!(leaders, [1, 2]);
    for partition in &after.partitions[2..] {
        assert_eq!(partition.replicas.len(), 2, "as those before them");
        assert_eq!(partition.leader_epoch, LeaderEpoch(0));
    }
    assert_eq!(node.shard.partition_count(), total + 4);
}

#[test]
fn partitions_that_cannot_be_added_are_told_why() {
    let mut node = Node::new();
    let id = node.create_one(topic("t", 3));
    for wanted in [3, 2, 0, -1, i32::MIN] {
        let error = CommandError::NoIncrease {
            name: "t".to_owned(),
            has: 3,
            wanted,
        };
        assert_eq!(add(&mut node, "t", wanted, None, false), Err(error));
    }
    let unknown = Err(CommandError::UnknownTopicName);
    assert_eq!(add(&mut node, "u", 4, None, false), unknown);
    let (partition, broker) = (4, BrokerId(9));
    for (assignments, error) in [
        (
            &[&[1][..]][..],
            AssignmentError::Count {
                added: 2,
                assigned: 1,
            },
        ),
        (&[&[1], &[]], AssignmentError::Empty(partition)),
        (
            &[&[1], &[9]],
            AssignmentError::UnknownBroker { partition, broker },
        ),
        (
            &[&[1], &[1, 1]],
            AssignmentError::RepeatedBroker {
                partition,
                broker: BrokerId(1),
            },
        ),
    ] {
        let answer = add(&mut node, "t", 5, Some(assignments), false);
        assert_eq!(answer, Err(error.into()));
    }
    node.register(2);
    let uneven = AssignmentError::Uneven {
        partition: 3,
        replicas: 2,
        before: 1,
    };
    let answer = add(&mut node, "t", 4, Some(&[&[1, 2]]), false);
    assert_eq!(answer, Err(uneven.into()));
    for wanted in [MAX_PARTITIONS_PER_COMMAND as i32 + 4, i32::MAX] {
        let error = LimitError::PartitionsPerCommand(wanted as usize - 3);
        assert_eq!(add(&mut node, "t", wanted, None, false), Err(error.into()));
    }
    assert_eq!(node.shard.topic_by_id(id).unwrap().partitions.len(), 3);
}

#[test]
fn deletion_is_by_id_and_once() {
    let mut node = Node::new();
    let a = node.create_one(topic("a", 2));
    let b = node.create_one(topic("b", 1));
    let nobody = TopicId([9; 16]);
    let id = node.command(Command::DeleteTopics {
        ids: vec![a, nobody, a],
    });
    let late = node.command(Command::DeleteTopics { ids: vec![a] });
    node.sync();
    let unknown = |id| (id, Err(CommandError::UnknownTopic(id)));
    let results = vec![(a, Ok(())), unknown(nobody), unknown(a)];
    assert_eq!(
        node.answer(id),
        Some(&Ok(CommandResult::TopicsDeleted(results)))
    );
    let results = vec![unknown(a)];
    assert_eq!(
        node.answer(late),
        Some(&Ok(CommandResult::TopicsDeleted(results)))
    );
    assert!(node.shard.topic("a").is_none() && node.shard.topic_by_id(a).is_none());
    assert_eq!(node.shard.topic("b").unwrap().id, b);
    assert_eq!(node.shard.partition_count(), 1);
    assert_ne!(node.create_one(topic("a", 1)), a, "an id came back");
}

#[test]
fn a_broker_that_starts_again_begins_new_epochs_where_it_leads() {
    let mut node = Node::new();
    node.register(2);
    let id = node.create_one(assigned("t", &[(0, &[1, 2]), (1, &[2, 1])]));
    let first = node.shard.broker(BrokerId(1)).unwrap().epoch;
    let registration = node.register(1);
    node.sync();
    assert_eq!(
        node.answer(registration),
        Some(&Ok(CommandResult::Registered))
    );
    assert!(node.shard.broker(BrokerId(1)).unwrap().epoch > first);
    let partitions = &node.shard.topic_by_id(id).unwrap().partitions;
    let epochs = partitions
        .iter()
        .map(|p| (p.leader_epoch.0, p.partition_epoch));
    assert_eq!(epochs.collect::<Vec<_>>(), [(1, 1), (0, 0)]);
}

#[test]
fn limits_are_kept() {
    let mut node = Node::new();
    let most = MAX_PARTITIONS_PER_COMMAND;
    let id = node.create(vec![topic("a", most as i32), topic("b", 1)]);
    let error: CommandError = LimitError::PartitionsPerCommand(most + 1).into();
    assert_eq!(node.answer(id), Some(&Err(error)));
    node.create_one(topic("a", most as i32));
    let id = node.create(vec![topic("b", i32::MAX), topic("c", i32::MAX)]);
    assert!(matches!(node.answer(id), Some(Err(CommandError::Limit(_)))));

    let value = "v".repeat(MAX_CONFIG_BYTES_PER_TOPIC - 2);
    let with = |value: &str| TopicSpec {
        configs: vec![
            ("k".to_owned(), value.to_owned()),
            ("l".to_owned(), String::new()),
        ],
        ..topic("configured", 1)
    };
    let id = node.create(vec![with(&format!("{value}v"))]);
    let error = LimitError::ConfigBytes(MAX_CONFIG_BYTES_PER_TOPIC + 1);
    assert_eq!(node.created(id), [Err(error.into())]);
    let id = node.create_one(with(&value));
    assert_eq!(node.shard.topic_by_id(id).unwrap().configs["k"], value);

    let topics = (0..300).map(|i| TopicSpec {
        name: format!("large-{i}"),
        ..with(&value)
    });
    let id = node.create(topics.collect());
    let Some(Err(CommandError::Limit(LimitError::EntryBytes(bytes)))) = node.answer(id) else {
        panic!("{:?}", node.answer(id));
    };
    assert!(*bytes > 300 * value.len());
    assert_eq!(node.shard.topic_count(), 2);
}

#[test]
fn what_is_in_flight_is_bounded() {
    let mut node = Node::new();
    let value = "v".repeat(MAX_CONFIG_BYTES_PER_TOPIC - 1);
    let mut commands = Vec::new();
    for batch in 0.. {
        let topics = (0..200).map(|i| TopicSpec {
            configs: vec![("k".to_owned(), value.clone())],
            ..topic(&format!("{batch}-{i}"), 1)
        });
        commands.push(node.create(topics.collect()));
        let bytes: usize = node.disk.frames.iter().map(bytes::Bytes::len).sum();
        assert!(bytes < MAX_IN_FLIGHT_BYTES + 1024 * 1024);
        if batch * 200 * value.len() > MAX_IN_FLIGHT_BYTES {
            break;
        }
    }
    node.sync();
    let refused = commands.pop().unwrap();
    assert_eq!(node.answer(refused), Some(&Err(CommandError::Busy)));
    assert!(node.created(commands[0]).iter().all(Result::is_ok));
    // What was refused left nothing behind, and there is room again.
    let left = node.shard.topic_count();
    node.create_one(topic("room", 1));
    assert_eq!(node.shard.topic_count(), left + 1);
    assert!(node.shard.offset() > MetadataOffset(0));
}

#[test]
fn settings_are_changed_on_what_the_changes_before_them_made() {
    fn check(configs: &BTreeMap<String, String>) -> Result<(), String> {
        match configs.get("list") {
            Some(list) if list.len() > 7 => Err("too long".to_owned()),
            _ => Ok(()),
        }
    }
    let mut node = Node::new();
    node.controller.set_config_check(check);
    let id = ConfigOwner::Topic(node.create_one(topic("t", 1)));
    let append = |element: &str| {
        let edit = ConfigEdit::Append {
            elements: element.to_owned(),
            default: "a".to_owned(),
        };
        ConfigChange::Edit(BTreeMap::from([("list".to_owned(), edit)]))
    };
    let alter = |node: &mut Node, id: &ConfigOwner, change, validate_only| {
        node.command(Command::AlterConfigs {
            changes: vec![(id.clone(), change)],
            validate_only,
        })
    };
    let tried = alter(&mut node, &id, append("x"), true);
    let changes = ["b", "c"].map(|element| alter(&mut node, &id, append(element), false));
    let refused = alter(&mut node, &id, append("d,e"), false);
    assert_eq!(
        node.answer(changes[0]),
        None,
        "answered before it is durable"
    );
    node.sync();
    let altered = |result| {
        let owner = id.clone();
        Some(Ok(CommandResult::ConfigsAltered(vec![(owner, result)])))
    };
    for command in [tried, changes[0], changes[1]] {
        assert_eq!(node.answer(command).cloned(), altered(Ok(())));
    }
    let error = CommandError::InvalidConfig("too long".to_owned());
    assert_eq!(node.answer(refused).cloned(), altered(Err(error)));
    assert_eq!(node.shard.topic("t").unwrap().configs["list"], "a,b,c");

    let large = ConfigChange::Replace(BTreeMap::from([(
        "k".to_owned(),
        "v".repeat(MAX_CONFIG_BYTES_PER_TOPIC),
    )]));
    let large = alter(&mut node, &id, large, false);
    let gone_id = TopicId([9; 16]);
    let gone = ConfigOwner::Topic(gone_id);
    let unknown = alter(&mut node, &gone, append("b"), false);
    let replace = alter(
        &mut node,
        &id,
        ConfigChange::Replace(BTreeMap::new()),
        false,
    );
    node.sync();
    let error = LimitError::ConfigBytes(MAX_CONFIG_BYTES_PER_TOPIC + 1);
    assert_eq!(node.answer(large).cloned(), altered(Err(error.into())));
    let error = CommandError::UnknownTopic(gone_id);
    assert_eq!(
        node.answer(unknown).cloned(),
        Some(Ok(CommandResult::ConfigsAltered(vec![(gone, Err(error))])))
    );
    assert_eq!(node.answer(replace).cloned(), altered(Ok(())));
    assert!(node.shard.topic("t").unwrap().configs.is_empty());
}

#[test]
fn brokers_and_groups_have_settings_that_survive_a_restart() {
    let mut node = Node::new();
    let set = |value: &str| {
        let edit = ConfigEdit::Set(value.to_owned());
        ConfigChange::Edit(BTreeMap::from([("k".to_owned(), edit)]))
    };
    let one = || ConfigOwner::Broker(BrokerId(1));
    let (all, group) = (ConfigOwner::AllBrokers, ConfigOwner::Group("g".to_owned()));
    let changes = vec![
        (one(), set("1")),
        (all.clone(), set("2")),
        (one(), set("again")),
        (group.clone(), set("3")),
    ];
    let command = node.command(Command::AlterConfigs {
        changes,
        validate_only: false,
    });
    node.sync();
    let results = vec![
        (one(), Ok(())),
        (all.clone(), Ok(())),
        (group.clone(), Ok(())),
    ];
    assert_eq!(
        node.answer(command).cloned(),
        Some(Ok(CommandResult::ConfigsAltered(results)))
    );
    let has = |image: &ClusterImage, broker: Option<BrokerId>| {
        let value = image.broker_configs(broker).get("k");
        value.map(String::as_str).unwrap_or_default().to_owned()
    };
    let own = Some(BrokerId(1));
    assert_eq!(
        (has(&node.shard, own), has(&node.shard, None)),
        ("1".to_owned(), "2".to_owned())
    );
    assert!(node.shard.broker_configs(Some(BrokerId(2))).is_empty());
    let from_frames = Recovered::new(None, node.disk.frames.clone()).unwrap();
    assert_eq!(has(from_frames.image(), own), "1");
    let section = node.controller.checkpoint_section();
    let from_section = Recovered::new(Some(section), Vec::new()).unwrap();
    assert_eq!(has(from_section.image(), None), "2");
    for image in [from_frames.image(), from_section.image(), &node.shard] {
        assert_eq!(
            image.group_configs("g").get("k").map(String::as_str),
            Some("3")
        );
        assert_eq!(image.groups_with_configs().collect::<Vec<_>>(), ["g"]);
    }

    let gone = ConfigChange::Replace(BTreeMap::new());
    let changes = vec![(one(), gone.clone()), (all, gone.clone()), (group, gone)];
    node.command(Command::AlterConfigs {
        changes,
        validate_only: false,
    });
    node.sync();
    assert!(node.shard.broker_configs(own).is_empty());
    assert!(node.shard.broker_configs(None).is_empty());
    assert!(node.shard.group_configs("g").is_empty());
}
