//! Clients of the classic protocol, for groups that change theirs.

use wiber_coordinator::{
    GroupError, HeartbeatRequest, JoinRequest, Joined, LeaveRequest, LeavingMember,
    NamedPartitions, ReplyTo, Request, Response, Subscription, SyncRequest,
};

use super::harness::{GROUP, World, caller, read_assignment, write_assignment, write_subscription};

/// The session timeout of classic members, in milliseconds.
pub const SESSION_MS: i32 = 40_000;

/// Their rebalance timeout, in milliseconds.
pub const REBALANCE_MS: i32 = 60_000;

/// The version of the embedded protocol that they speak.
const VERSION: i16 = 3;

/// A JoinGroup of a consumer.
pub fn classic_join(member: &str, topics: &[&str], owned: &NamedPartitions) -> JoinRequest {
    let subscription = Subscription {
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        owned: owned.clone(),
        ..Subscription::default()
    };
    let metadata = write_subscription(&subscription, VERSION);
    JoinRequest {
        group: GROUP.to_owned(),
        member_id: member.to_owned(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: "consumer".to_owned(),
        protocols: vec![
            ("range".to_owned(), metadata.clone()),
            ("roundrobin".to_owned(), metadata),
        ],
        needs_known_member_id: true,
        caller: caller(),
        ..JoinRequest::default()
    }
}

pub fn named(partitions: &[(&str, &[i32])]) -> NamedPartitions {
    let topics = partitions.iter();
    topics
        .map(|(topic, partitions)| ((*topic).to_owned(), partitions.to_vec()))
        .collect()
}

impl World {
    pub fn classic_join(&mut self, request: JoinRequest) -> ReplyTo {
        self.send(Request::Join(request))
    }

    /// The reply to a JoinGroup, if it came.
    pub fn joined(&mut self, to: ReplyTo) -> Option<(String, Result<Joined, GroupError>)> {
        match self.reply(to)? {
            Response::Join { result, member_id } => Some((member_id, result)),
            other => panic!("{other:?}"),
        }
    }

    /// A JoinGroup that is answered at once.
    pub fn join_now(&mut self, request: JoinRequest) -> (String, Result<Joined, GroupError>) {
        let to = self.classic_join(request);
        self.joined(to).expect("a reply at once")
    }

    pub fn classic_sync(
        &mut self,
        member: &str,
        generation: i32,
        assignments: &[(String, NamedPartitions)],
    ) -> ReplyTo {
        let assignments = assignments
            .iter()
            .map(|(id, partitions)| (id.clone(), write_assignment(partitions, VERSION)));
        self.send(Request::Sync(SyncRequest {
            group: GROUP.to_owned(),
            generation,
            member_id: member.to_owned(),
            protocol_type: Some("consumer".to_owned()),
            protocol: Some("range".to_owned()),
            assignments: assignments.collect(),
            ..SyncRequest::default()
        }))
    }

    /// The reply to a SyncGroup, if it came.
    pub fn synced(&mut self, to: ReplyTo) -> Option<Result<NamedPartitions, GroupError>> {
        match self.reply(to)? {
            Response::Sync(result) => Some(result.map(|synced| {
                let assignment = read_assignment(&synced.assignment);
                assignment.expect("an assignment").partitions
            })),
            other => panic!("{other:?}"),
        }
    }

    /// A SyncGroup that is answered at once.
    pub fn sync_now(
        &mut self,
        member: &str,
        generation: i32,
    ) -> Result<NamedPartitions, GroupError> {
        let to = self.classic_sync(member, generation, &[]);
        self.synced(to).expect("a reply at once")
    }

    pub fn classic_heartbeat(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        let request = HeartbeatRequest {
            group: GROUP.to_owned(),
            generation,
            member_id: member.to_owned(),
            instance_id: None,
        };
        match self.ask(Request::Heartbeat(request)) {
            Response::Heartbeat(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn classic_leave(
        &mut self,
        members: &[(&str, Option<&str>)],
    ) -> Vec<Result<(), GroupError>> {
        let members = members.iter().map(|(id, instance)| LeavingMember {
            member_id: (*id).to_owned(),
            instance_id: instance.map(str::to_owned),
            reason: None,
        });
        let request = LeaveRequest {
            group: GROUP.to_owned(),
            members: members.collect(),
        };
        match self.ask(Request::Leave(request)) {
            Response::Leave(Ok(left)) => left.into_iter().map(|left| left.result).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Makes the group a classic one of these members, each with these partitions; they are stable. Their ids and the generation.
    pub fn classic_group(
        &mut self,
        topics: &[&str],
        assigned: &[NamedPartitions],
    ) -> (Vec<String>, i32) {
        let mut ids = Vec::new();
        let mut waiting = Vec::new();
        for _ in assigned {
            let nothing = NamedPartitions::new();
            let (id, refused) = self.join_now(classic_join("", topics, &nothing));
            assert_eq!(refused, Err(GroupError::MemberIdRequired));
            waiting.push(self.classic_join(classic_join(&id, topics, &nothing)));
            ids.push(id);
        }
        self.pass(10_000);
        let mut generation = 0;
        let mut leader = String::new();
        for to in waiting {
            let joined = self.joined(to).expect("joined").1.expect("joined");
            (generation, leader) = (joined.generation, joined.leader);
        }
        let assignments: Vec<(String, NamedPartitions)> =
            ids.iter().cloned().zip(assigned.iter().cloned()).collect();
        let to = self.classic_sync(&leader, generation, &assignments);
        self.synced(to).expect("synced").expect("synced");
        for (id, partitions) in &assignments {
            assert_eq!(self.sync_now(id, generation).as_ref(), Ok(partitions));
        }
        (ids, generation)
    }
}
