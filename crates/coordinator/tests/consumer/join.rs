//! Members come, tell what has changed, and go.

use wiber_coordinator::{
    ConsumerHeartbeatRequest, GroupError, Record, Request, Response, TopicPartitions,
};

use super::harness::{GROUP, SESSION_MS, World, join, of_instance, owning, plain};

fn refused(world: &mut World, request: ConsumerHeartbeatRequest) -> String {
    let written = world.log.len();
    let error = world.beat(request).expect_err("refused");
    assert_eq!(world.log.len(), written, "what is refused leaves no trace");
    match error {
        GroupError::InvalidRequest(message) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_that_makes_no_sense_is_refused() {
    let world = &mut World::new(&[("a", 2)]);
    let with = |change: fn(&mut ConsumerHeartbeatRequest)| {
        let mut request = join("m", &["a"]);
        change(&mut request);
        request
    };
    let cases = [
        (
            with(|r| r.group = " ".to_owned()),
            "GroupId can't be empty.",
        ),
        (with(|r| r.member_id.clear()), "MemberId can't be empty."),
        (
            with(|r| r.instance_id = Some(String::new())),
            "InstanceId can't be empty.",
        ),
        (
            with(|r| r.rack_id = Some(String::new())),
            "RackId can't be empty.",
        ),
        (
            with(|r| r.rebalance_timeout_ms = -1),
            "RebalanceTimeoutMs must be provided in first request.",
        ),
        (
            with(|r| r.owned = None),
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            with(|r| r.topics = None),
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
        (plain("m", -2), "InstanceId can't be null."),
        (plain("m", -3), "MemberEpoch is invalid."),
        (with(|r| (r.version, r.member_epoch) = (0, 1)), ""),
    ];
    for (request, message) in cases {
        if message.is_empty() {
            assert!(matches!(
                world.beat(request),
                Err(GroupError::GroupIdNotFound(_))
            ));
        } else {
            assert_eq!(refused(world, request), message);
        }
    }
    // It is not one that joins.
    assert!(matches!(
        world.beat(plain("m", 0)),
        Err(GroupError::FencedMemberEpoch(_))
    ));
    let mut old = plain("", 5);
    old.version = 0;
    assert_eq!(refused(world, old), "MemberId can't be empty.");
    let mut request = join("m", &["a"]);
    request.owned = Some(world.parts(&[("a", &[0])]));
    assert_eq!(
        refused(world, request),
        "TopicPartitions must be empty when (re-)joining."
    );
}

#[test]
fn an_assignor_that_is_not_there_is_refused() {
    let world = &mut World::new(&[("a", 2)]);
    let mut request = join("m", &["a"]);
    request.assignor = Some("sticky".to_owned());
    let message =
        "ServerAssignor sticky is not supported. Supported assignors: uniform, range.".to_owned();
    assert_eq!(
        world.beat(request),
        Err(GroupError::UnsupportedAssignor(message))
    );
}

#[test]
fn the_first_member_gets_everything_at_once() {
    let world = &mut World::new(&[("a", 2), ("b", 1)]);
    let answer = world.beat(join("m", &["a", "b", "absent"])).unwrap();
    assert_eq!(answer.member_id, "m");
    assert_eq!(answer.member_epoch, 2);
    assert_eq!(answer.heartbeat_interval_ms, 5_000);
    let all = world.parts(&[("a", &[0, 1]), ("b", &[0])]);
    assert_eq!(answer.assignment, Some(all.clone()));
    assert_eq!(world.state(), "Stable");
    let described = world.describe().unwrap();
    assert_eq!((described.epoch, described.assignment_epoch), (2, 2));
    assert_eq!(described.assignor, "uniform");
    let member = &described.members[0];
    assert_eq!(member.topics, ["a", "absent", "b"]);
    assert_eq!(member.regex.as_deref(), Some(""));
    assert_eq!((&member.assignment, &member.target), (&all, &all));
    assert_eq!(member.client_host, "/127.0.0.1");
    assert!(!member.is_classic);

    // The records stand in an order in which each can be folded in.
    let kinds: Vec<&str> = world.log.iter().map(kind).collect();
    assert_eq!(
        kinds,
        ["member", "group", "target", "target epoch", "current"]
    );
}

fn kind(record: &Record) -> &'static str {
    match record {
        Record::ConsumerMember { .. } => "member",
        Record::ConsumerGroup { .. } => "group",
        Record::ConsumerTarget { .. } => "target",
        Record::ConsumerTargetEpoch { .. } => "target epoch",
        Record::ConsumerCurrent { .. } => "current",
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_assignment_is_told_when_it_changes_or_when_all_is_told() {
    let world = &mut World::new(&[("a", 2)]);
    let epoch = world.beat(join("m", &["a"])).unwrap().member_epoch;
    let written = world.log.len();
    assert_eq!(world.beat(plain("m", epoch)).unwrap().assignment, None);
    let all = world.parts(&[("a", &[0, 1])]);
    assert_eq!(
        world
            .beat(owning("m", epoch, all.clone()))
            .unwrap()
            .assignment,
        None
    );
    let mut full = join("m", &["a"]);
    full.member_epoch = epoch;
    full.owned = Some(all.clone());
    assert_eq!(world.beat(full).unwrap().assignment, Some(all.clone()));
    assert_eq!(world.log.len(), written, "nothing is new");
    // One that joins again in the same process has what it had.
    let answer = world.beat(join("m", &["a"])).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (epoch, Some(all)));
}

#[test]
fn a_second_member_waits_until_the_first_has_given_up() {
    let world = &mut World::new(&[("a", 4)]);
    world.beat(join("m1", &["a"])).unwrap();
    let second = world.beat(join("m2", &["a"])).unwrap();
    assert_eq!(
        (second.member_epoch, second.assignment),
        (3, Some(TopicPartitions::new()))
    );
    assert_eq!(world.state(), "Reconciling");

    let first = world.beat(plain("m1", 2)).unwrap();
    let half = world.parts(&[("a", &[0, 1])]);
    assert_eq!(
        (first.member_epoch, first.assignment),
        (2, Some(half.clone()))
    );
    assert_eq!(
        world.beat(plain("m2", 3)).unwrap().assignment,
        None,
        "not given up yet"
    );
    let described = world.describe().unwrap();
    let all = world.parts(&[("a", &[0, 1, 2, 3])]);
    assert_eq!(
        described.members[0].assignment, all,
        "what is to be given up counts"
    );

    let first = world.beat(owning("m1", 2, half)).unwrap();
    assert_eq!((first.member_epoch, first.assignment), (3, None));
    let second = world.beat(plain("m2", 3)).unwrap();
    let rest = world.parts(&[("a", &[2, 3])]);
    assert_eq!((second.member_epoch, second.assignment), (3, Some(rest)));
    assert_eq!(world.state(), "Stable");
}

#[test]
fn who_leaves_is_gone_at_once() {
    let world = &mut World::new(&[("a", 2)]);
    world.beat(join("m1", &["a"])).unwrap();
    world.beat(join("m2", &["a"])).unwrap();
    let answer = world.beat(plain("m1", -1)).unwrap();
    assert_eq!((answer.member_id.as_str(), answer.member_epoch), ("m1", -1));
    assert_eq!(answer.heartbeat_interval_ms, 0);
    assert_eq!(world.beat(plain("m1", 2)), Err(GroupError::UnknownMemberId));
    assert_eq!(
        world.beat(plain("m1", -1)),
        Err(GroupError::UnknownMemberId)
    );
    assert_eq!(world.state(), "Assigning");
    let all = world.parts(&[("a", &[0, 1])]);
    assert_eq!(world.beat(plain("m2", 3)).unwrap().assignment, Some(all));
    world.beat(plain("m2", -1)).unwrap();
    assert_eq!(world.state(), "Empty");
    assert!(matches!(
        world.beat(plain("m", 1)),
        Err(GroupError::UnknownMemberId)
    ));
}

#[test]
fn who_is_silent_for_its_session_timeout_is_gone() {
    let world = &mut World::new(&[("a", 2)]);
    world.beat(join("m1", &["a"])).unwrap();
    world.beat(join("m2", &["a"])).unwrap();
    world.pass(SESSION_MS - 1);
    world.beat(plain("m2", 3)).unwrap();
    world.pass(2);
    assert_eq!(world.beat(plain("m1", 2)), Err(GroupError::UnknownMemberId));
    world.beat(plain("m2", 3)).unwrap();
    // A group may have timeouts of its own.
    world.topics.overrides.session_timeout_ms = Some(60_000);
    world.topics.overrides.heartbeat_interval_ms = Some(7_000);
    let answer = world.beat(plain("m2", 4)).unwrap();
    assert_eq!(answer.heartbeat_interval_ms, 7_000);
    world.pass(59_999);
    assert_eq!(world.state(), "Stable");
    world.pass(2);
    assert_eq!(world.state(), "Empty");
}

#[test]
fn sessions_begin_anew_with_the_coordinator() {
    let world = &mut World::new(&[("a", 2)]);
    world.beat(join("m1", &["a"])).unwrap();
    world.pass(SESSION_MS - 1);
    world.restart();
    world.pass(SESSION_MS - 1);
    assert_eq!(world.state(), "Stable");
    world.pass(2);
    assert_eq!(world.state(), "Empty");
}

#[test]
fn who_does_not_give_up_in_time_is_gone() {
    let world = &mut World::new(&[("a", 2)]);
    world.beat(join("m1", &["a"])).unwrap();
    world.beat(join("m2", &["a"])).unwrap();
    let half = world.beat(plain("m1", 2)).unwrap().assignment;
    for _ in 0..3 {
        world.pass(9_000);
        world.beat(plain("m1", 2)).unwrap();
        world.beat(plain("m2", 3)).unwrap();
    }
    // A new coordinator gives it as long again.
    world.restart();
    for _ in 0..3 {
        world.pass(9_000);
        world.beat(plain("m1", 2)).unwrap();
        world.beat(plain("m2", 3)).unwrap();
    }
    world.pass(3_001);
    let request = owning("m1", 2, half.unwrap());
    assert_eq!(world.beat(request), Err(GroupError::UnknownMemberId));
    let all = world.parts(&[("a", &[0, 1])]);
    assert_eq!(world.beat(plain("m2", 3)).unwrap().assignment, Some(all));
}

#[test]
fn what_a_member_no_longer_subscribes_to_it_gives_up() {
    let world = &mut World::new(&[("a", 2), ("b", 2)]);
    world.beat(join("m1", &["a", "b"])).unwrap();
    let mut change = plain("m1", 2);
    change.topics = Some(vec!["b".to_owned()]);
    let answer = world.beat(change).unwrap();
    let rest = world.parts(&[("b", &[0, 1])]);
    assert_eq!(
        (answer.member_epoch, answer.assignment),
        (2, Some(rest.clone()))
    );
    let answer = world.beat(owning("m1", 2, rest)).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (3, None));
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_group_has_no_more_members_than_it_may() {
    let world = &mut World::with(&[("a", 2)], |config| config.consumer_max_size = 2);
    world.beat(join("m1", &["a"])).unwrap();
    world.beat(join("m2", &["a"])).unwrap();
    let message = "The consumer group has reached its maximum capacity of 2 members.".to_owned();
    let full = Err(GroupError::GroupMaxSizeReached(message));
    assert_eq!(world.beat(join("m3", &["a"])), full);
    assert_eq!(world.beat(of_instance(join("m3", &["a"]), "i")), full);
    world.beat(join("m2", &["a"])).unwrap();
}

#[test]
fn a_member_without_an_id_is_given_one_in_version_0() {
    let world = &mut World::new(&[("a", 2)]);
    let mut request = join("", &["a"]);
    request.version = 0;
    let first = world.beat(request.clone()).unwrap().member_id;
    let second = world.beat(request).unwrap().member_id;
    assert_eq!(first.len(), 22);
    assert_ne!(first, second);
    world.beat(plain(&first, 2)).unwrap();
}

#[test]
fn the_assignor_with_the_most_votes_is_taken() {
    let world = &mut World::new(&[("a", 2), ("b", 2)]);
    let vote = |member: &str, assignor: &str| {
        let mut request = join(member, &["a", "b"]);
        request.assignor = Some(assignor.to_owned());
        request
    };
    world.beat(vote("m1", "range")).unwrap();
    assert_eq!(world.describe().unwrap().assignor, "range");
    world.beat(join("m2", &["a", "b"])).unwrap();
    assert_eq!(world.describe().unwrap().assignor, "range");
    let both = world.parts(&[("a", &[0]), ("b", &[0])]);
    assert_eq!(world.describe().unwrap().members[0].target, both);
    world.beat(vote("m3", "uniform")).unwrap();
    world.beat(vote("m4", "uniform")).unwrap();
    assert_eq!(world.describe().unwrap().assignor, "uniform");
}

#[test]
fn assignments_are_made_at_intervals() {
    let world = &mut World::with(&[("a", 2)], |config| {
        config.consumer_assignment_interval_ms = 1_000;
    });
    assert_eq!(
        world.beat(join("m1", &["a"])).unwrap().member_epoch,
        2,
        "the first at once"
    );
    world.pass(500);
    let answer = world.beat(join("m2", &["a"])).unwrap();
    assert_eq!(
        (answer.member_epoch, answer.assignment),
        (2, Some(TopicPartitions::new()))
    );
    assert_eq!(world.state(), "Assigning");
    assert_eq!(world.describe().unwrap().epoch, 3);
    world.pass(499);
    assert_eq!(world.beat(plain("m1", 2)).unwrap().assignment, None);
    world.pass(1);
    let half = world.parts(&[("a", &[0])]);
    assert_eq!(world.beat(plain("m1", 2)).unwrap().assignment, Some(half));
    // A group may have an interval of its own.
    world.topics.overrides.assignment_interval_ms = Some(0);
    world.beat(join("m3", &["a"])).unwrap();
    assert_eq!(world.state(), "Reconciling");
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_waiting() {
    let world = &mut World::with(&[("a", 2)], |config| {
        config.consumer_assignment_interval_ms = 1_000;
    });
    world.beat(join("m1", &["a"])).unwrap();
    world.set_clock_back(3_600_000);
    world.beat(join("m2", &["a"])).unwrap();
    assert_eq!(world.state(), "Reconciling");
}

#[test]
fn topics_that_come_grow_and_go_are_assigned_with_the_next_heartbeat() {
    let world = &mut World::new(&[("a", 1)]);
    world.beat(join("m", &["a", "b"])).unwrap();
    world.set_topic("a", 2);
    let grown = world.parts(&[("a", &[0, 1])]);
    let answer = world.beat(plain("m", 2)).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (3, Some(grown)));
    world.set_topic("b", 1);
    let both = world.parts(&[("a", &[0, 1]), ("b", &[0])]);
    assert_eq!(
        world.beat(plain("m", 3)).unwrap().assignment,
        Some(both.clone())
    );
    world.set_topic("c", 1);
    assert_eq!(
        world.beat(plain("m", 4)).unwrap().member_epoch,
        4,
        "not subscribed to"
    );
    world.delete_topic("a");
    let rest = world.parts(&[("b", &[0])]);
    let answer = world.beat(owning("m", 4, both)).unwrap();
    assert_eq!(answer.assignment, Some(rest.clone()));
    assert_eq!(world.beat(owning("m", 4, rest)).unwrap().member_epoch, 5);
    // What changed while nobody led the partition is found, too.
    world.set_topic("b", 2);
    world.restart();
    let grown = world.parts(&[("b", &[0, 1])]);
    assert_eq!(world.beat(plain("m", 5)).unwrap().assignment, Some(grown));
}

#[test]
fn a_group_that_is_not_there_is_told_to_be() {
    let world = &mut World::new(&[("a", 1)]);
    let not_found = |message: &str| GroupError::GroupIdNotFound(message.to_owned());
    let error = world.beat(plain("m", 1)).unwrap_err();
    assert_eq!(error, not_found("Consumer group group not found."));
    let error = world.beat(plain("m", -1)).unwrap_err();
    assert_eq!(error, not_found("Group group not found."));
    assert_eq!(
        world.describe().unwrap_err(),
        not_found("Group group not found.")
    );
    world.set(|config| config.consumer_protocol = false);
    let error = world.beat(join("m", &["a"])).unwrap_err();
    assert!(
        matches!(error, GroupError::UnsupportedVersion(_)),
        "{error:?}"
    );
}

#[test]
fn a_member_that_subscribes_to_nothing_is_a_member() {
    let world = &mut World::new(&[("a", 1)]);
    let answer = world.beat(join("m", &[])).unwrap();
    assert_eq!(
        (answer.member_epoch, answer.assignment),
        (1, Some(TopicPartitions::new()))
    );
    assert_eq!(world.state(), "Stable");
}

#[test]
fn only_an_empty_group_can_be_deleted_and_then_nothing_is_left_of_it() {
    let world = &mut World::new(&[("a", 1)]);
    world.beat(join("m", &["a"])).unwrap();
    let delete = |world: &mut World| {
        let group = GROUP.to_owned();
        match world.ask(Request::DeleteGroup { group }) {
            Response::DeleteGroup(result) => result,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(delete(world), Err(GroupError::NonEmptyGroup));
    world.beat(plain("m", -1)).unwrap();
    assert_eq!(delete(world), Ok(()));
    assert!(world.describe().is_err());
    world.restart();
    assert!(world.describe().is_err());
}
