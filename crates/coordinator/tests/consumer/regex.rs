//! Subscriptions by regular expression.

use wiber_coordinator::{ConsumerHeartbeatRequest, GroupError, Record, TopicPartitions};

use super::harness::{World, join, plain};

fn matching(member: &str, regex: &str) -> ConsumerHeartbeatRequest {
    let mut request = join(member, &[]);
    request.topics = None;
    request.regex = Some(regex.to_owned());
    request
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
    world.beat(matching("m", "a.")).unwrap();
    world.set_topic("a2", 1);
    world.pass(10_000);
    assert_eq!(
        world.beat(plain("m", 2)).unwrap().assignment,
        None,
        "resolved just now"
    );
    world.pass(1);
    let both = world.parts(&[("a1", &[0]), ("a2", &[0])]);
    assert_eq!(world.beat(plain("m", 2)).unwrap().assignment, Some(both));
    assert_eq!(resolutions(world), 2);
    world.pass(20_000);
    world.beat(plain("m", 3)).unwrap();
    assert_eq!(resolutions(world), 2, "there are no new topics");
}

#[test]
fn expressions_are_resolved_anew_now_and_then_and_after_a_restart() {
    let world = &mut World::new(&[("a1", 1)]);
    world.beat(matching("m", "a.")).unwrap();
    for _ in 0..30 {
        world.pass(20_001);
        world.beat(plain("m", 2)).unwrap();
    }
    assert_eq!(resolutions(world), 2, "once in ten minutes");
    world.set_topic("b", 1);
    world.restart();
    world.pass(10_001);
    world.beat(plain("m", 2)).unwrap();
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
    world.beat(matching("m1", "a.")).unwrap();
    world.beat(matching("m2", "a.")).unwrap();
    world.beat(plain("m1", -1)).unwrap();
    assert_eq!(removed(world), 0);
    world.pass(10_001);
    let mut other = plain("m2", 3);
    other.regex = Some("b.".to_owned());
    let answer = world.beat(other).unwrap();
    assert_eq!(removed(world), 1);
    assert_eq!(answer.assignment, Some(world.parts(&[("b1", &[0])])));
    world.beat(plain("m2", -1)).unwrap();
    assert_eq!(removed(world), 2);
}

#[test]
fn a_member_may_change_to_names_and_to_an_expression_that_others_have() {
    let world = &mut World::new(&[("a1", 1), ("b1", 1)]);
    world.beat(matching("m1", "a.")).unwrap();
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
    world.beat(matching("m", "a.")).unwrap();
    world.set_clock_back(3_600_000);
    world.set_topic("a2", 1);
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
