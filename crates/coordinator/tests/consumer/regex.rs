//! Subscriptions by regular expression.

use wiber_coordinator::{
    ConsumerHeartbeat, ConsumerHeartbeatRequest, GroupError, Record, Request, TopicPartitions,
};

use super::harness::{GROUP, World, join, plain};

fn matching(member: &str, regex: &str) -> ConsumerHeartbeatRequest {
    let mut request = join(member, &[]);
    request.topics = None;
    request.regex = Some(regex.to_owned());
    request
}

/// A member joins, and its expression is resolved, as it is after an answer without the topics that match.
fn resolved(world: &mut World, member: &str, regex: &str) {
    let answer = world.beat(matching(member, regex)).unwrap();
    assert_eq!(answer.assignment, Some(TopicPartitions::new()));
    world.pass(0);
}

fn resolutions(world: &World) -> usize {
    let resolved =
        |record: &&Record| matches!(record, Record::ConsumerRegex { value: Some(_), .. });
    world.log.iter().filter(resolved).count()
}

#[test]
fn a_member_gets_the_topics_that_match() {
    let world = &mut World::new(&[("a1", 1), ("a2", 1), ("b", 1)]);
    let answer = world.beat(matching("m", "a.")).unwrap();
    assert_eq!(answer.member_epoch, 1);
    assert_eq!(answer.assignment, Some(TopicPartitions::new()));
    assert_eq!(resolutions(world), 0, "a heartbeat does not wait for that");
    world.pass(0);
    assert_eq!(resolutions(world), 1);
    assert_eq!(world.state(), "Assigning");
    let answer = world.beat(plain("m", 1)).unwrap();
    assert_eq!(answer.member_epoch, 2);
    assert_eq!(
        answer.assignment,
        Some(world.parts(&[("a1", &[0]), ("a2", &[0])]))
    );
    assert_eq!(
        world.describe().unwrap().members[0].regex.as_deref(),
        Some("a.")
    );
    // Names may come on top.
    let mut more = plain("m", 2);
    more.topics = Some(vec!["b".to_owned()]);
    let answer = world.beat(more).unwrap();
    let all = world.parts(&[("a1", &[0]), ("a2", &[0]), ("b", &[0])]);
    assert_eq!(answer.assignment, Some(all));
}

#[test]
fn names_are_assigned_before_what_an_expression_comes_to() {
    let world = &mut World::new(&[("a1", 1), ("b", 1)]);
    let mut request = matching("m", "a.");
    request.topics = Some(vec!["b".to_owned()]);
    let answer = world.beat(request).unwrap();
    assert_eq!(answer.assignment, Some(world.parts(&[("b", &[0])])));
    world.pass(0);
    let answer = world.beat(plain("m", 2)).unwrap();
    let both = world.parts(&[("a1", &[0]), ("b", &[0])]);
    assert_eq!(answer.assignment, Some(both));
}

#[test]
fn what_is_no_expression_is_refused() {
    let world = &mut World::new(&[("a", 1)]);
    let error = world.beat(matching("m", "[a")).unwrap_err();
    assert!(
        matches!(error, GroupError::InvalidRegularExpression(_)),
        "{error:?}"
    );
    assert!(world.log.is_empty());
    assert!(world.describe().is_err());
}

#[test]
fn new_topics_are_found_but_not_in_each_moment() {
    let world = &mut World::new(&[("a1", 1)]);
    resolved(world, "m", "a.");
    let one = world.parts(&[("a1", &[0])]);
    assert_eq!(world.beat(plain("m", 1)).unwrap().assignment, Some(one));
    world.set_topic("a2", 1);
    world.pass(10_000);
    world.beat(plain("m", 2)).unwrap();
    world.pass(0);
    assert_eq!(resolutions(world), 1, "resolved just now");
    world.pass(1);
    assert_eq!(world.beat(plain("m", 2)).unwrap().assignment, None);
    world.pass(0);
    assert_eq!(resolutions(world), 2);
    let both = world.parts(&[("a1", &[0]), ("a2", &[0])]);
    assert_eq!(world.beat(plain("m", 2)).unwrap().assignment, Some(both));
    world.pass(20_000);
    world.beat(plain("m", 3)).unwrap();
    world.pass(0);
    assert_eq!(resolutions(world), 2, "there are no new topics");
}

#[test]
fn expressions_are_resolved_anew_now_and_then_and_after_a_restart() {
    let world = &mut World::new(&[("a1", 1)]);
    resolved(world, "m", "a.");
    world.beat(plain("m", 1)).unwrap();
    for _ in 0..30 {
        world.pass(20_001);
        world.beat(plain("m", 2)).unwrap();
    }
    world.pass(0);
    assert_eq!(resolutions(world), 2, "once in ten minutes");
    assert_eq!(
        world.describe().unwrap().epoch,
        2,
        "what comes to the same is no reason for another epoch"
    );
    world.set_topic("b", 1);
    world.restart();
    world.pass(10_001);
    world.beat(plain("m", 2)).unwrap();
    world.pass(0);
    assert_eq!(resolutions(world), 3);
}

#[test]
fn an_expression_goes_with_its_last_member() {
    let world = &mut World::new(&[("a1", 1), ("b1", 1)]);
    let removed = |world: &World| {
        let is_removed =
            |record: &&Record| matches!(record, Record::ConsumerRegex { value: None, .. });
        world.log.iter().filter(is_removed).count()
    };
    resolved(world, "m1", "a.");
    world.beat(matching("m2", "a.")).unwrap();
    world.beat(plain("m1", -1)).unwrap();
    assert_eq!(removed(world), 0);
    world.pass(10_001);
    let mut other = plain("m2", 3);
    other.regex = Some("b.".to_owned());
    let answer = world.beat(other).unwrap();
    assert_eq!(removed(world), 1);
    world.pass(0);
    let answer = world.beat(plain("m2", answer.member_epoch)).unwrap();
    assert_eq!(answer.assignment, Some(world.parts(&[("b1", &[0])])));
    world.beat(plain("m2", -1)).unwrap();
    assert_eq!(removed(world), 2);
}

#[test]
fn a_member_may_change_to_names_and_to_an_expression_that_others_have() {
    let world = &mut World::new(&[("a1", 1), ("b1", 1)]);
    resolved(world, "m1", "a.");
    world.beat(plain("m1", 1)).unwrap();
    let answer = world.beat(join("m2", &["b1"])).unwrap();
    assert_eq!(answer.assignment, Some(world.parts(&[("b1", &[0])])));
    let mut change = plain("m2", 3);
    change.topics = Some(Vec::new());
    change.regex = Some("a.".to_owned());
    let answer = world.beat(change).unwrap();
    assert_eq!(
        answer.assignment,
        Some(TopicPartitions::new()),
        "b1 is to be given up"
    );
    let mut change = plain("m1", 2);
    change.topics = Some(vec!["b1".to_owned()]);
    change.regex = Some(String::new());
    let answer = world.beat(change).unwrap();
    assert_eq!(answer.assignment, Some(TopicPartitions::new()));
    assert_eq!(world.describe().unwrap().epoch, 5);
}

#[test]
fn a_clock_that_is_set_back_hides_no_topics() {
    let world = &mut World::new(&[("a1", 1)]);
    resolved(world, "m", "a.");
    world.set_clock_back(3_600_000);
    world.set_topic("a2", 1);
    world.beat(plain("m", 1)).unwrap();
    world.pass(0);
    let both = world.parts(&[("a1", &[0]), ("a2", &[0])]);
    assert_eq!(world.beat(plain("m", 2)).unwrap().assignment, Some(both));
}

#[test]
fn a_group_has_so_many_expressions_and_no_more() {
    let world = &mut World::new(&[("a", 1)]);
    for number in 0..100 {
        let member = format!("m{number}");
        world
            .beat(matching(&member, &format!("a{number}?")))
            .unwrap();
    }
    let stored = world.log.len();
    let error = world.beat(matching("late", "other")).unwrap_err();
    assert!(
        matches!(error, GroupError::InvalidRegularExpression(_)),
        "{error:?}"
    );
    assert_eq!(world.log.len(), stored);
    // One that the group has already costs nothing more.
    world.beat(matching("late", "a7?")).unwrap();
}

/// Topics `a00000` to `a29999`, thirty times as many as a step looks at.
fn many_topics() -> World {
    let mut world = World::new(&[]);
    world.validates = false;
    for number in 0..30_000 {
        world.set_topic(&format!("a{number:05}"), 1);
    }
    world
}

#[test]
fn many_topics_are_looked_at_in_many_steps() {
    let world = &mut many_topics();
    world.beat(matching("m", "a.*[02]")).unwrap();
    let begun = world.now.monotonic;
    world.pass(0);
    assert_eq!(
        resolutions(world),
        0,
        "a step looks at a part of the topics"
    );
    // What comes meanwhile in front of where the search stands is found the next time.
    world.set_topic("a000000", 1);
    world.beat(plain("m", 1)).unwrap();
    world.pass(40);
    assert_eq!(resolutions(world), 1);
    let assigned = |answer: ConsumerHeartbeat| answer.assignment.map_or(0, |topics| topics.len());
    assert_eq!(assigned(world.beat(plain("m", 1)).unwrap()), 6_000);
    assert!(world.now.monotonic.ms_since(begun) <= 40);
    world.pass(10_000);
    world.beat(plain("m", 2)).unwrap();
    world.pass(40);
    assert_eq!(assigned(world.beat(plain("m", 2)).unwrap()), 6_001);
}

#[test]
fn a_crash_while_expressions_are_resolved_loses_none() {
    let world = &mut many_topics();
    // One that is resolved by then, and one that the crash interrupts.
    world.beat(matching("m1", "a00000")).unwrap();
    world.beat(matching("m2", "a0000[1-9]")).unwrap();
    world.pass(40);
    assert_eq!(resolutions(world), 1);
    world.restart();
    for _ in 0..2 {
        for member in ["m1", "m2"] {
            let epoch = epoch_of(world, member);
            world.beat(plain(member, epoch)).unwrap();
        }
        world.pass(10_001);
    }
    for (member, topics) in [("m1", 1), ("m2", 9)] {
        let epoch = epoch_of(world, member);
        world.beat(plain(member, epoch)).unwrap();
        let description = world.describe().unwrap();
        let described = description.members.iter().find(|m| m.member_id == member);
        assert_eq!(described.unwrap().assignment.len(), topics, "{member}");
    }
}

fn epoch_of(world: &mut World, member: &str) -> i32 {
    let description = world.describe().unwrap();
    let mut members = description.members.iter();
    members.find(|m| m.member_id == member).unwrap().epoch
}

#[test]
fn a_group_that_goes_takes_its_expressions_along() {
    let world = &mut World::new(&[("a1", 1)]);
    world.beat(matching("m", "a.")).unwrap();
    world.beat(plain("m", -1)).unwrap();
    let group = GROUP.to_owned();
    world.ask(Request::DeleteGroup { group });
    world.pass(0);
    assert_eq!(resolutions(world), 0);
    // One that comes after it is resolved as any other is.
    resolved(world, "m", "a.");
    assert_eq!(resolutions(world), 1);
}
