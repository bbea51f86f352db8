//! Requests of any kind in any order, with what nobody sane would say: the coordinator's invariants hold after each, and what it
//! wrote gives the same groups again.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use wiber_coordinator::{
    CommitOffset, CommitRequest, ConsumerHeartbeatRequest, DeleteOffsetsRequest,
    FetchOffsetsRequest, HeartbeatRequest, JoinRequest, LeaveRequest, LeavingMember,
    ListGroupsRequest, Request, Response, SyncRequest,
};
use wiber_model::{Offset, TopicId};

use crate::harness::World;

/// A request in which members are numbers: of those that were given ids, or strangers.
#[derive(Debug, Clone)]
enum Op {
    Send(Box<Request>, usize),
    Pass(i64),
    Restart(usize),
    DeleteTopic,
}

fn group() -> impl Strategy<Value = String> {
    prop_oneof![8 => Just("a"), 3 => Just("b"), 1 => Just("")].prop_map(str::to_owned)
}

fn instance() -> impl Strategy<Value = Option<String>> {
    prop_oneof![8 => Just(None), 2 => Just(Some("i".to_owned())), 1 => Just(Some("j".to_owned()))]
}

fn number() -> impl Strategy<Value = i32> {
    prop_oneof![10 => -2..6i32, 1 => Just(i32::MAX), 1 => Just(i32::MIN)]
}

fn timeout_ms() -> impl Strategy<Value = i32> {
    prop_oneof![16 => 6_000..20_000i32, 1 => number()]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![4 => Just("topic1"), 2 => Just("topic1,topic2"), 1 => Just("?"), 1 => Just("")]
        .prop_map(Bytes::from)
}

fn protocol_type() -> impl Strategy<Value = String> {
    prop_oneof![16 => Just("consumer"), 2 => Just("connect"), 1 => Just("")].prop_map(str::to_owned)
}

fn join() -> impl Strategy<Value = Request> {
    let names = prop_oneof![Just("range"), Just("roundrobin"), Just("sticky")];
    let odd = proptest::collection::vec((names.prop_map(str::to_owned), bytes()), 0..4);
    let protocols = prop_oneof![4 => Just(crate::harness::protocols(&["range"])), 1 => odd];
    let flags = (any::<bool>(), any::<bool>());
    (
        group(),
        instance(),
        timeout_ms(),
        timeout_ms(),
        protocol_type(),
        protocols,
        flags,
    )
        .prop_map(
            |(group, instance_id, session, rebalance, protocol_type, protocols, flags)| {
                Request::Join(JoinRequest {
                    group,
                    instance_id,
                    session_timeout_ms: session,
                    rebalance_timeout_ms: rebalance,
                    protocol_type,
                    protocols,
                    needs_known_member_id: flags.0,
                    supports_skipping_assignment: flags.1,
                    ..JoinRequest::default()
                })
            },
        )
}

fn sync() -> impl Strategy<Value = Request> {
    (group(), instance(), number(), bytes()).prop_map(|(group, instance_id, generation, bytes)| {
        Request::Sync(SyncRequest {
            group,
            generation,
            instance_id,
            assignments: vec![(String::new(), bytes)],
            ..SyncRequest::default()
        })
    })
}

fn commit() -> impl Strategy<Value = Request> {
    let retention = prop_oneof![Just(None), any::<i64>().prop_map(Some)];
    (group(), instance(), number(), retention, 2..11i16, number()).prop_map(
        |(group, instance_id, generation_or_epoch, retention_ms, version, partition)| {
            Request::CommitOffsets(CommitRequest {
                group,
                generation_or_epoch,
                instance_id,
                retention_ms,
                version,
                offsets: vec![CommitOffset {
                    topic: "topic1".to_owned(),
                    partition,
                    offset: Offset(i64::from(partition)),
                    ..CommitOffset::default()
                }],
                ..CommitRequest::default()
            })
        },
    )
}

fn consumer_heartbeat() -> impl Strategy<Value = Request> {
    let topics = proptest::option::of(Just(vec!["topic1".to_owned(), "none".to_owned()]));
    let owned = proptest::option::of((0..6i32).prop_map(|p| (TopicId([1; 16]), vec![p])));
    (group(), instance(), number(), timeout_ms(), topics, owned).prop_map(
        |(group, instance_id, member_epoch, rebalance_timeout_ms, topics, owned)| {
            Request::ConsumerHeartbeat(ConsumerHeartbeatRequest {
                group,
                member_epoch,
                instance_id,
                rebalance_timeout_ms,
                topics,
                owned: owned.map(|owned| [owned].into()),
                version: 1,
                ..ConsumerHeartbeatRequest::default()
            })
        },
    )
}

fn other() -> impl Strategy<Value = Request> {
    let partitions = || vec![("topic1".to_owned(), 1)];
    prop_oneof![
        (group(), instance(), number()).prop_map(|(group, instance_id, generation)| {
            Request::Heartbeat(HeartbeatRequest {
                group,
                generation,
                instance_id,
                ..HeartbeatRequest::default()
            })
        }),
        (group(), instance()).prop_map(|(group, instance_id)| {
            let member = LeavingMember {
                instance_id,
                ..LeavingMember::default()
            };
            Request::Leave(LeaveRequest {
                group,
                members: vec![member.clone(), member],
            })
        }),
        (group(), number()).prop_map(|(group, member_epoch)| {
            Request::FetchOffsets(FetchOffsetsRequest {
                group,
                member_id: Some(String::new()),
                member_epoch,
                partitions: None,
            })
        }),
        group().prop_map(move |group| {
            Request::DeleteOffsets(DeleteOffsetsRequest {
                group,
                partitions: partitions(),
            })
        }),
        group().prop_map(|group| Request::DeleteGroup { group }),
        group().prop_map(|group| Request::DescribeConsumer { group }),
        Just(Request::ListGroups(ListGroupsRequest::default())),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let request = prop_oneof![6 => join(), 4 => sync(), 2 => commit(), 3 => consumer_heartbeat(), 4 => other()];
    prop_oneof![
        16 => (request, 0..6usize).prop_map(|(request, member)| Op::Send(Box::new(request), member)),
        3 => (1..8_000i64).prop_map(Op::Pass),
        1 => (8_000..1_000_000i64).prop_map(Op::Pass),
        1 => (0..=100usize).prop_map(Op::Restart),
        1 => Just(Op::DeleteTopic),
    ]
}

/// Puts a member that was given an id, a stranger or nobody in.
fn with_member(request: &mut Request, ids: &[String], number: usize) {
    let id = match number {
        0 => String::new(),
        1 => "stranger".to_owned(),
        _ if ids.is_empty() => String::new(),
        _ => ids[ids.len().saturating_sub(number - 1)].clone(),
    };
    match request {
        Request::Join(join) => join.member_id = id,
        Request::Sync(sync) => {
            for (member, _) in &mut sync.assignments {
                member.clone_from(&id);
            }
            sync.member_id = id;
        }
        Request::Heartbeat(heartbeat) => heartbeat.member_id = id,
        Request::CommitOffsets(commit) => commit.member_id = id,
        Request::ConsumerHeartbeat(heartbeat) => heartbeat.member_id = id,
        Request::FetchOffsets(fetch) => fetch.member_id = Some(id),
        Request::Leave(leave) => {
            for member in &mut leave.members {
                member.member_id.clone_from(&id);
            }
        }
        _ => {}
    }
}

fn run(ops: Vec<Op>) {
    let mut world = World::new();
    let mut ids = Vec::new();
    let mut sent = BTreeSet::new();
    for op in ops {
        match op {
            Op::Send(mut request, number) => {
                with_member(&mut request, &ids, number);
                sent.insert(world.send(*request));
            }
            Op::Pass(ms) => world.pass(ms),
            Op::Restart(percent) => {
                sent.clear();
                world.restart_with(percent);
            }
            Op::DeleteTopic => world.delete_topics(&["topic1"]),
        }
        sent.retain(|to| match world.reply(*to) {
            None => true,
            Some(response) => {
                let id = match response {
                    Response::Join { member_id, .. } => member_id,
                    Response::ConsumerHeartbeat(Ok(answer)) => answer.member_id,
                    _ => String::new(),
                };
                if !id.is_empty() && !ids.contains(&id) {
                    ids.push(id);
                }
                false
            }
        });
    }
    // Long after the last sign of life nobody is left, and nobody waits.
    world.pass(2 * 24 * 60 * 60 * 1000);
    let Response::ListGroups(groups) = world.ask(Request::ListGroups(ListGroupsRequest::default()))
    else {
        panic!("not a list");
    };
    assert!(
        groups.iter().all(|group| group.state == "Empty"),
        "{groups:?}"
    );
    assert!(world.unanswered.is_empty(), "{:?}", world.unanswered);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_that_is_asked_breaks_a_group(ops in proptest::collection::vec(any_op(), 1..120)) {
        run(ops);
    }
}
