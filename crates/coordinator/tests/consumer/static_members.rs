//! Static members keep their places while they are away for a moment.

use wiber_coordinator::{GroupError, TopicPartitions};

use super::harness::{SESSION_MS, World, join, of_instance, owning, plain};

/// Two static members that share a topic of two partitions; both in epoch 3.
fn two_members() -> World {
    let mut world = World::new(&[("a", 2)]);
    world.beat(of_instance(join("m1", &["a"]), "i1")).unwrap();
    world.beat(of_instance(join("m2", &["a"]), "i2")).unwrap();
    let half = world.beat(of_instance(plain("m1", 2), "i1")).unwrap();
    let half = half.assignment.unwrap();
    world
        .beat(of_instance(owning("m1", 2, half), "i1"))
        .unwrap();
    world.beat(of_instance(plain("m2", 3), "i2")).unwrap();
    assert_eq!(world.state(), "Stable");
    world
}

#[test]
fn one_who_leaves_for_a_while_comes_back_to_what_it_had() {
    let world = &mut two_members();
    let answer = world.beat(of_instance(plain("m1", -2), "i1")).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (-2, None));
    let answer = world.beat(of_instance(join("m3", &["a"]), "i1")).unwrap();
    assert_eq!(
        (answer.member_epoch, answer.assignment),
        (3, Some(world.parts(&[("a", &[0])])))
    );
    assert_eq!(world.state(), "Stable");
    assert_eq!(
        world.describe().unwrap().epoch,
        3,
        "the group did not rebalance"
    );
    let old = world.beat(of_instance(plain("m1", 3), "i1"));
    assert_eq!(old, Err(GroupError::FencedInstanceId));
    assert_eq!(world.beat(plain("m1", 3)), Err(GroupError::UnknownMemberId));
}

#[test]
fn one_who_comes_back_with_another_subscription_rebalances_the_group() {
    let world = &mut two_members();
    world.set_topic("b", 1);
    world.beat(of_instance(plain("m1", -2), "i1")).unwrap();
    let answer = world.beat(of_instance(join("m3", &["b"]), "i1")).unwrap();
    assert_eq!(
        (answer.member_epoch, answer.assignment),
        (4, Some(world.parts(&[("b", &[0])])))
    );
    let answer = world.beat(of_instance(plain("m2", 3), "i2")).unwrap();
    assert_eq!(answer.assignment, Some(world.parts(&[("a", &[0, 1])])));
}

#[test]
fn a_place_that_is_taken_is_not_given_to_another() {
    let world = &mut two_members();
    let message = "Static member m3 with instance id i1 cannot join the group because the instance id is owned by m1 member.";
    let taken = Err(GroupError::UnreleasedInstanceId(message.to_owned()));
    assert_eq!(world.beat(of_instance(join("m3", &["a"]), "i1")), taken);
    let unknown = world.beat(of_instance(plain("m3", 3), "i9"));
    assert_eq!(unknown, Err(GroupError::UnknownMemberId));
    let fenced = world.beat(of_instance(plain("m2", -1), "i1"));
    assert_eq!(fenced, Err(GroupError::FencedInstanceId));
}

#[test]
fn one_who_stays_away_or_leaves_for_good_is_gone() {
    let world = &mut two_members();
    world.beat(of_instance(plain("m1", -2), "i1")).unwrap();
    world.beat(of_instance(plain("m2", -1), "i2")).unwrap();
    assert_eq!(world.describe().unwrap().members.len(), 1);
    world.pass(SESSION_MS + 1);
    assert_eq!(world.state(), "Empty");
    let answer = world.beat(of_instance(join("m1", &[]), "i1")).unwrap();
    assert_eq!(answer.assignment, Some(TopicPartitions::new()));
}

#[test]
fn one_who_is_away_holds_what_it_had() {
    let world = &mut two_members();
    world.beat(of_instance(plain("m1", -2), "i1")).unwrap();
    world.set_topic("a", 3);
    let answer = world.beat(of_instance(plain("m2", 3), "i2")).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (4, None));
    world.restart();
    let answer = world.beat(of_instance(join("m3", &["a"]), "i1")).unwrap();
    assert_eq!(answer.assignment, Some(world.parts(&[("a", &[0, 2])])));
    assert_eq!(world.describe().unwrap().epoch, 4);
}
