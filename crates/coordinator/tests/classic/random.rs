//! Members that come, go, die and come back at random, and a coordinator that is lost at any time.
//!
//! Invariant 16 holds all along: a partition has one owner in a generation, and a stale generation cannot commit. When the trouble is
//! over the group settles: all members that are there are in one generation and own every partition between them.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use wiber_coordinator::{
    ClassicDescription, CommitRequest, GroupError, HeartbeatRequest, JoinRequest, Joined, ReplyTo,
    Request, Response, SyncRequest, Synced,
};

use crate::harness::{GROUP, SESSION_MS, World, commit_of, new_client, old_client, protocols};

const CLIENTS: usize = 5;
const PARTITIONS: i32 = 7;

/// Longer than any timeout that the clients ask for, in milliseconds.
const LONG_ENOUGH_MS: i64 = 120_000;

/// How far a client is.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Away,
    Out,
    Joining(ReplyTo),
    Joined(Joined),
    Syncing(ReplyTo),
    In(Vec<i32>),
}

#[derive(Debug)]
struct Client {
    instance: Option<String>,
    id: String,
    generation: i32,
    phase: Phase,
}

#[derive(Debug, Clone)]
enum Op {
    /// The client does what it has to do next.
    Act(usize),
    /// All clients do so, this many times.
    Work(usize),
    Heartbeat(usize),
    Commit(usize),
    Leave(usize),
    /// It is lost, with all that it waits for.
    Die(usize),
    Return(usize),
    /// It is started anew.
    Bounce(usize),
    Pass(i64),
    /// The coordinator is lost, and of what nobody has heard of yet so much is left, in percent.
    Restart(usize),
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..CLIENTS).prop_map(Op::Act),
        2 => (1..15usize).prop_map(Op::Work),
        3 => (0..CLIENTS).prop_map(Op::Heartbeat),
        3 => (0..CLIENTS).prop_map(Op::Commit),
        1 => (0..CLIENTS).prop_map(Op::Leave),
        1 => (0..CLIENTS).prop_map(Op::Die),
        2 => (0..CLIENTS).prop_map(Op::Return),
        2 => (0..CLIENTS).prop_map(Op::Bounce),
        3 => (1..6_000i64).prop_map(Op::Pass),
        1 => (1_000..40_000i64).prop_map(Op::Pass),
        1 => prop_oneof![Just(100), 0..100usize].prop_map(Op::Restart),
    ]
}

struct Run {
    world: World,
    clients: Vec<Client>,
    /// Who owns a partition in a generation, as the members were told.
    owners: BTreeMap<(i32, i32), String>,
    /// The newest generation of which a member was told what it owns.
    newest: i32,
}

impl Run {
    fn new() -> Run {
        let clients = (0..CLIENTS).map(|number| Client {
            instance: (number < 2).then(|| format!("static{number}")),
            id: String::new(),
            generation: -1,
            phase: Phase::Out,
        });
        Run {
            world: World::new(),
            clients: clients.collect(),
            owners: BTreeMap::new(),
            newest: 0,
        }
    }

    fn perform(&mut self, op: Op) {
        match op {
            Op::Act(number) => self.act(number),
            Op::Work(rounds) => (0..rounds).for_each(|_| self.work(500)),
            Op::Heartbeat(number) => self.heartbeat(number),
            Op::Commit(number) => self.commit(number),
            Op::Leave(number) => self.leave(number),
            Op::Die(number) => self.clients[number].phase = Phase::Away,
            Op::Return(number) => self.come_back(number),
            Op::Bounce(number) => {
                self.clients[number].phase = Phase::Away;
                self.come_back(number);
                self.act(number);
            }
            Op::Pass(ms) => self.world.pass(ms),
            Op::Restart(percent) => self.restart(percent),
        }
    }

    fn work(&mut self, ms: i64) {
        for number in 0..CLIENTS {
            self.act(number);
        }
        self.world.pass(ms);
    }

    fn act(&mut self, number: usize) {
        match self.clients[number].phase.clone() {
            Phase::Away => {}
            Phase::Out => {
                let request = self.join_request(number);
                let to = self.world.join(request);
                self.clients[number].phase = Phase::Joining(to);
            }
            Phase::Joining(to) => {
                if let Some(Response::Join { result, member_id }) = self.world.reply(to) {
                    self.join_answered(number, result, member_id);
                }
            }
            Phase::Joined(joined) => {
                let request = self.sync_request(number, &joined);
                let to = self.world.sync(request);
                self.clients[number].phase = Phase::Syncing(to);
            }
            Phase::Syncing(to) => {
                if let Some(Response::Sync(result)) = self.world.reply(to) {
                    self.sync_answered(number, result);
                }
            }
            Phase::In(_) => self.heartbeat(number),
        }
    }

    fn join_request(&self, number: usize) -> JoinRequest {
        let client = &self.clients[number];
        let names: &[&str] = if number.is_multiple_of(2) {
            &["range", "roundrobin"]
        } else {
            &["roundrobin", "range"]
        };
        let base = if number.is_multiple_of(3) {
            old_client()
        } else {
            new_client()
        };
        JoinRequest {
            member_id: client.id.clone(),
            instance_id: client.instance.clone(),
            protocols: protocols(names),
            // Rebalances end before the sessions of those who are away.
            rebalance_timeout_ms: SESSION_MS / 2,
            ..base
        }
    }

    fn join_answered(
        &mut self,
        number: usize,
        result: Result<Joined, GroupError>,
        member_id: String,
    ) {
        let client = &mut self.clients[number];
        match result {
            Ok(joined) => {
                client.id = member_id;
                client.generation = joined.generation;
                client.phase = Phase::Joined(joined);
            }
            Err(GroupError::MemberIdRequired) => {
                client.id = member_id;
                client.phase = Phase::Out;
            }
            Err(error) => self.lost(number, &error),
        }
    }

    /// The leader deals the partitions out in turn.
    fn sync_request(&self, number: usize, joined: &Joined) -> SyncRequest {
        let client = &self.clients[number];
        let members = &joined.members;
        let mut assignments: Vec<(String, Vec<u8>)> = members
            .iter()
            .map(|member| (member.member_id.clone(), Vec::new()))
            .collect();
        if !assignments.is_empty() && !joined.skip_assignment {
            for partition in 0..PARTITIONS {
                let turn = partition as usize % assignments.len();
                assignments[turn].1.push(partition as u8);
            }
        }
        SyncRequest {
            group: GROUP.to_owned(),
            generation: joined.generation,
            member_id: client.id.clone(),
            instance_id: client.instance.clone(),
            protocol_type: joined.protocol_type.clone(),
            protocol: joined.protocol.clone(),
            assignments: assignments
                .into_iter()
                .map(|(id, partitions)| (id, Bytes::from(partitions)))
                .collect(),
        }
    }

    fn sync_answered(&mut self, number: usize, result: Result<Synced, GroupError>) {
        let synced = match result {
            Ok(synced) => synced,
            Err(error) => return self.lost(number, &error),
        };
        let client = &mut self.clients[number];
        let owned: Vec<i32> = synced.assignment.iter().copied().map(i32::from).collect();
        // A static member stands for all that went by its name.
        let name = client.instance.as_ref().unwrap_or(&client.id);
        for partition in &owned {
            let before = self
                .owners
                .insert((client.generation, *partition), name.clone());
            assert!(
                before.as_ref().is_none_or(|before| before == name),
                "partition {partition} has one owner in generation {}: {before:?}, {name}",
                client.generation
            );
        }
        self.newest = self.newest.max(client.generation);
        client.phase = Phase::In(owned);
    }

    /// The client does what real ones do on an error: it joins again, as somebody new if nobody knows it.
    fn lost(&mut self, number: usize, error: &GroupError) {
        let client = &mut self.clients[number];
        client.phase = Phase::Out;
        match error {
            GroupError::RebalanceInProgress => {}
            GroupError::UnknownMemberId | GroupError::IllegalGeneration => {
                client.id = String::new();
                client.generation = -1;
            }
            GroupError::FencedInstanceId => {
                client.id = String::new();
                client.phase = Phase::Away;
            }
            other => panic!("{other:?}"),
        }
    }

    fn heartbeat(&mut self, number: usize) {
        let client = &self.clients[number];
        if !matches!(client.phase, Phase::In(_) | Phase::Joined(_)) {
            return;
        }
        let response = self.world.ask(Request::Heartbeat(HeartbeatRequest {
            group: GROUP.to_owned(),
            generation: client.generation,
            member_id: client.id.clone(),
            instance_id: client.instance.clone(),
        }));
        let Response::Heartbeat(result) = response else {
            panic!("{response:?}");
        };
        if let Err(error) = result {
            self.lost(number, &error);
        }
    }

    fn commit(&mut self, number: usize) {
        let client = &self.clients[number];
        // One that is away may have a last word: a zombie.
        if client.id.is_empty() || client.generation < 0 {
            return;
        }
        let generation = client.generation;
        let result = self.world.commit(CommitRequest {
            instance_id: client.instance.clone(),
            ..commit_of(&client.id, generation, 0, 1)
        });
        assert!(
            result.is_err() || generation >= self.newest,
            "generation {generation} is stale, {} is in use",
            self.newest
        );
    }

    fn leave(&mut self, number: usize) {
        let client = &self.clients[number];
        let (id, instance) = (client.id.clone(), client.instance.clone());
        let _ = self.world.leave(&[(&id, instance.as_deref())]);
        let client = &mut self.clients[number];
        client.phase = Phase::Away;
        client.id = String::new();
    }

    fn come_back(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if client.phase == Phase::Away {
            client.phase = Phase::Out;
            client.id = String::new();
            client.generation = -1;
        }
    }

    fn restart(&mut self, percent: usize) {
        if percent == 100 {
            // Nothing is lost: what is durable is what a stable group is.
            let before = self.describe();
            self.world.restart();
            if before.state == "Stable" || before.state == "Empty" {
                assert_eq!(before, self.describe());
            }
        } else {
            self.world.restart_with(percent);
        }
        for number in 0..CLIENTS {
            if matches!(
                self.clients[number].phase,
                Phase::Joining(_) | Phase::Syncing(_)
            ) {
                // The connection broke.
                self.clients[number].phase = Phase::Out;
            }
        }
    }

    fn describe(&mut self) -> ClassicDescription {
        let response = self.world.ask(Request::DescribeClassic {
            group: GROUP.to_owned(),
            version: 5,
        });
        match response {
            Response::DescribeClassic(Ok(description)) => description,
            other => panic!("{other:?}"),
        }
    }

    /// The trouble is over: everybody comes back and does its work.
    fn settle(&mut self) {
        let mut passed_ms = 0;
        let step_ms = i64::from(SESSION_MS) / 10;
        while !self.is_settled() {
            assert!(
                passed_ms < LONG_ENOUGH_MS,
                "the group settles: {:?}",
                self.clients
            );
            (0..CLIENTS).for_each(|number| self.come_back(number));
            self.work(step_ms);
            passed_ms += step_ms;
        }
        assert!(
            self.world.unanswered.is_empty(),
            "in a stable group nobody waits: {:?}",
            self.world.unanswered
        );
    }

    fn is_settled(&mut self) -> bool {
        let generation = self.clients[0].generation;
        let mut owned: Vec<i32> = Vec::new();
        for client in &self.clients {
            match &client.phase {
                Phase::In(partitions) if client.generation == generation => {
                    owned.extend(partitions);
                }
                _ => return false,
            }
        }
        owned.sort_unstable();
        owned == (0..PARTITIONS).collect::<Vec<_>>() && self.describe().state == "Stable"
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn one_owner_in_each_generation_and_always_settled_in_the_end(
        ops in proptest::collection::vec(any_op(), 1..150),
    ) {
        let mut run = Run::new();
        for op in ops {
            run.perform(op);
        }
        run.settle();
    }
}
