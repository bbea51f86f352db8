//! DeleteGroups, ListGroups and DescribeGroups; and groups in large numbers.

use std::time::Duration;

use wiber_coordinator::{
    GroupError, JoinRequest, ListGroupsRequest, ListedGroup, Record, Request, Response,
};
use wiber_model::Monotonic;

use crate::harness::{GROUP, World, commit_of, new_client, old_client};

fn delete(world: &mut World) -> Result<(), GroupError> {
    let response = world.ask(Request::DeleteGroup {
        group: GROUP.to_owned(),
    });
    match response {
        Response::DeleteGroup(result) => result,
        other => panic!("{other:?}"),
    }
}

fn list(world: &mut World, states: &[&str], types: &[&str]) -> Vec<ListedGroup> {
    let response = world.ask(Request::ListGroups(ListGroupsRequest {
        states: states.iter().map(|state| (*state).to_owned()).collect(),
        types: types.iter().map(|kind| (*kind).to_owned()).collect(),
    }));
    match response {
        Response::ListGroups(listed) => listed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_group_can_be_deleted_with_its_offsets() {
    let mut world = World::new();
    assert!(matches!(
        delete(&mut world),
        Err(GroupError::GroupIdNotFound(_))
    ));
    let (members, generation) = world.stable(1);
    assert!(
        world
            .commit(commit_of(&members[0], generation, 0, 1))
            .is_ok()
    );
    assert_eq!(delete(&mut world), Err(GroupError::NonEmptyGroup));
    world.leave(&[(&members[0], None)]).unwrap();
    let before = world.log.len();
    assert_eq!(delete(&mut world), Ok(()));
    assert!(matches!(
        world.written_since(before),
        [
            Record::Offset { value: None, .. },
            Record::ClassicGroup { value: None, .. }
        ]
    ));
    assert_eq!(world.committed("topic1", 0), None);
    assert_eq!(world.state(), "Dead");
    world.restart();
    assert_eq!(world.state(), "Dead");
    assert_eq!(world.committed("topic1", 0), None);
}

#[test]
fn an_id_that_was_given_out_does_not_outlive_its_group() {
    let mut world = World::new();
    assert!(world.commit(commit_of("", -1, 0, 1)).is_ok());
    let to = world.join(new_client());
    assert_eq!(world.refused(to).1, GroupError::MemberIdRequired);
    assert_eq!(delete(&mut world), Ok(()));
    world.pass(60_000);
    assert_eq!(world.state(), "Dead");
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut world = World::new();
    let _ = world.stable(1);
    let mut simple = commit_of("", -1, 0, 1);
    simple.group = "simple".to_owned();
    assert!(world.commit(simple).is_ok());
    let _ = world.join(JoinRequest {
        group: "connect-group".to_owned(),
        protocol_type: "connect".to_owned(),
        ..old_client()
    });
    let all = list(&mut world, &[], &[]);
    let brief: Vec<_> = all
        .iter()
        .map(|g| (g.group.as_str(), g.protocol_type.as_str(), g.state, g.kind))
        .collect();
    assert_eq!(
        brief,
        [
            ("connect-group", "connect", "PreparingRebalance", "classic"),
            (GROUP, "consumer", "Stable", "classic"),
            ("simple", "", "Empty", "classic"),
        ]
    );
    let mut names = |states: &[&str], types: &[&str]| {
        let listed = list(&mut world, states, types);
        listed.into_iter().map(|g| g.group).collect::<Vec<_>>()
    };
    assert_eq!(names(&["stable"], &[]), [GROUP]);
    assert_eq!(names(&["EMPTY", "Stable"], &[]), [GROUP, "simple"]);
    assert_eq!(names(&["Assigning"], &[]), [""; 0]);
    assert_eq!(names(&[], &["Classic"]).len(), 3);
    assert_eq!(names(&[], &["consumer"]), [""; 0]);
    assert_eq!(names(&["Stable"], &["consumer"]), [""; 0]);
}

#[test]
fn groups_are_described() {
    let mut world = World::new();
    let describe = |world: &mut World, version| {
        let response = world.ask(Request::DescribeClassic {
            group: GROUP.to_owned(),
            version,
        });
        match response {
            Response::DescribeClassic(result) => result,
            other => panic!("{other:?}"),
        }
    };
    let dead = describe(&mut world, 5).unwrap();
    assert_eq!((dead.state, dead.members.len()), ("Dead", 0));
    assert!(matches!(
        describe(&mut world, 6),
        Err(GroupError::GroupIdNotFound(_))
    ));
    let to = world.join(old_client());
    let preparing = describe(&mut world, 6).unwrap();
    assert_eq!(preparing.state, "PreparingRebalance");
    assert_eq!(preparing.protocol, "");
    assert_eq!(preparing.members[0].metadata, "");
    world.pass(3_000);
    let (ids, _) = world.settle(vec![to]);
    let stable = describe(&mut world, 6).unwrap();
    assert_eq!(
        (
            stable.state,
            stable.protocol_type.as_str(),
            stable.protocol.as_str()
        ),
        ("Stable", "consumer", "range")
    );
    let member = &stable.members[0];
    assert_eq!(member.member_id, ids[0]);
    assert_eq!(member.client_id, "client");
    assert_eq!(member.client_host, "/127.0.0.1");
    assert_eq!(member.metadata, "topic1");
    assert_eq!(member.assignment, ids[0].as_bytes());
}

#[test]
#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the test measures how long it takes"
)]
fn ten_thousand_groups_load_quickly_and_cost_nothing_while_idle() {
    const GROUPS: usize = 10_000;
    /// Far more than it takes, also without optimisation on a busy machine.
    const ENOUGH: Duration = Duration::from_secs(10);
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    assert!(
        world
            .commit(commit_of(&members[0], generation, 0, 1))
            .is_ok()
    );
    let templates = world.log.clone();
    let records = (0..GROUPS).flat_map(|number| {
        templates.iter().cloned().map(move |mut record| {
            match &mut record {
                Record::ClassicGroup { group, .. } | Record::Offset { group, .. } => {
                    *group = format!("group-{number}");
                }
                other => panic!("{other:?}"),
            }
            record
        })
    });
    let records: Vec<Record> = records.collect();
    world.log = records;
    let begun = std::time::Instant::now();
    world.restart();
    assert!(begun.elapsed() < ENOUGH, "{:?}", begun.elapsed());
    let first = world.coordinator.next_deadline();
    assert!(first > world.now.monotonic && first < Monotonic::NEVER);
    assert_eq!(list(&mut world, &["Stable"], &[]).len(), GROUPS);
}
