//! Members of both protocols come and go in one group, which becomes one of the consumer protocol and a classic one again and again:
//! no partition ever has two members that believe to have it, and when peace returns all partitions are owned.

use std::collections::{BTreeMap, BTreeSet};

use wiber_coordinator::{
    Cluster, GroupError, Joined, ListGroupsRequest, NamedPartitions, ReplyTo, Request, Response,
};
use wiber_model::Rng;

use super::classic::{SESSION_MS, classic_join};
use super::harness::World;
use super::simulated::{Consumer, each};

const SEEDS: u64 = 100;
const STEPS: usize = 300;
const TOPICS: [&str; 3] = ["a", "b", "c"];

/// How far a client of the classic protocol has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// It is to join.
    Out,
    Joining(ReplyTo),
    Syncing(ReplyTo),
    Stable,
}

/// A client of the classic protocol with an eager assignor: it gives everything up before it joins.
struct Classic {
    id: String,
    generation: i32,
    topics: BTreeSet<String>,
    owned: NamedPartitions,
    phase: Phase,
    heard_at: i64,
    /// If it leads a classic group: how many partitions there were when it assigned.
    assigned: Option<i32>,
}

impl Classic {
    /// It has to join again.
    fn give_up(&mut self) {
        self.owned.clear();
        self.phase = Phase::Out;
        self.assigned = None;
    }

    fn forget(&mut self) {
        self.give_up();
        self.id.clear();
    }

    fn refused(&mut self, error: &GroupError) {
        match error {
            GroupError::RebalanceInProgress => self.give_up(),
            GroupError::UnknownMemberId | GroupError::IllegalGeneration => self.forget(),
            // It met the moment in which the group is full of others' protocols: it tries again.
            GroupError::InconsistentGroupProtocol => self.forget(),
            other => panic!("{}: {other:?}", self.id),
        }
    }

    /// Does the next thing that is to be done, if the request is not lost.
    fn act(&mut self, world: &mut World, is_lost: bool) {
        match self.phase {
            Phase::Out if is_lost => {}
            Phase::Out => {
                let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
                let request = classic_join(&self.id, &topics, &NamedPartitions::new());
                self.phase = Phase::Joining(world.classic_join(request));
                self.poll(world);
            }
            Phase::Joining(_) | Phase::Syncing(_) => self.poll(world),
            Phase::Stable if is_lost => {}
            Phase::Stable => {
                match world.classic_heartbeat(&self.id, self.generation) {
                    Ok(()) => self.heard_at = world.now.wall.0,
                    Err(error) => return self.refused(&error),
                }
                // A leader looks after new partitions.
                if self
                    .assigned
                    .is_some_and(|assigned| assigned != partitions(world))
                {
                    self.give_up();
                }
            }
        }
    }

    fn poll(&mut self, world: &mut World) {
        if let Phase::Joining(to) = self.phase {
            let Some((id, result)) = world.joined(to) else {
                return;
            };
            self.heard_at = world.now.wall.0;
            match result {
                Ok(joined) => {
                    self.id = id;
                    self.sync(world, &joined);
                }
                Err(GroupError::MemberIdRequired) => {
                    self.id = id;
                    self.phase = Phase::Out;
                }
                Err(error) => return self.refused(&error),
            }
        }
        if let Phase::Syncing(to) = self.phase {
            let Some(result) = world.synced(to) else {
                return;
            };
            self.heard_at = world.now.wall.0;
            match result {
                Ok(assignment) => {
                    self.owned = assignment;
                    self.phase = Phase::Stable;
                }
                Err(error) => self.refused(&error),
            }
        }
    }

    fn sync(&mut self, world: &mut World, joined: &Joined) {
        self.generation = joined.generation;
        let mut assignments = Vec::new();
        self.assigned = None;
        if joined.leader == self.id {
            assignments = assign(world, joined);
            self.assigned = Some(partitions(world));
        }
        self.phase = Phase::Syncing(world.classic_sync(&self.id, self.generation, &assignments));
    }
}

fn partitions(world: &World) -> i32 {
    let count = |name: &str| {
        let id = world.topics.topic_id(name);
        id.map_or(0, |id| world.topics.partitions(id))
    };
    TOPICS.iter().map(|name| count(name)).sum()
}

/// What the leader of a classic group assigns: each topic's partitions in turn to those who subscribe to it.
fn assign(world: &World, joined: &Joined) -> Vec<(String, NamedPartitions)> {
    let subscribes = |metadata: &[u8], topic: &str| {
        let text = std::str::from_utf8(metadata).unwrap();
        let topics = text.split(';').nth(1).unwrap();
        topics.split(',').any(|name| name == topic)
    };
    let mut all: BTreeMap<String, NamedPartitions> = BTreeMap::new();
    for member in &joined.members {
        all.insert(member.member_id.clone(), NamedPartitions::new());
    }
    for topic in TOPICS {
        let subscribers: Vec<&String> = joined
            .members
            .iter()
            .filter(|member| subscribes(&member.metadata, topic))
            .map(|member| &member.member_id)
            .collect();
        let Some(id) = world.topics.topic_id(topic) else {
            continue;
        };
        for partition in 0..world.topics.partitions(id) {
            let Some(count) = partition.checked_rem(subscribers.len() as i32) else {
                break;
            };
            let owner = all.get_mut(subscribers[count as usize]).unwrap();
            owner.entry(topic.to_owned()).or_default().push(partition);
        }
    }
    all.into_iter().collect()
}

struct Run {
    world: World,
    rng: Rng,
    classics: Vec<Classic>,
    consumers: Vec<Consumer>,
    made: usize,
    /// How often the group changed its protocol.
    conversions: usize,
    kind: &'static str,
}

impl Run {
    fn new(seed: u64) -> Run {
        Run {
            world: World::new(&[("a", 4), ("b", 3)]),
            rng: Rng::new(seed),
            classics: Vec::new(),
            consumers: Vec::new(),
            made: 0,
            conversions: 0,
            kind: "",
        }
    }

    fn step(&mut self) {
        match self.rng.below(32) {
            0..2 => self.come_classic(),
            2..4 => self.come_consumer(),
            4 => self.go_classic(),
            5..7 => self.go_consumer(),
            7 if self.rng.one_in(3) => self.restart(),
            8 if self.rng.one_in(2) => self.grow(),
            9..12 => {
                for _ in 0..self.rng.below(5) {
                    self.round();
                }
            }
            12..16 => {
                for consumer in &mut self.consumers {
                    consumer.settle();
                }
            }
            16..24 if !self.classics.is_empty() => {
                let classic = self.rng.below(self.classics.len() as u64) as usize;
                let is_lost = self.rng.one_in(8);
                self.classics[classic].act(&mut self.world, is_lost);
            }
            _ if !self.consumers.is_empty() => {
                let consumer = self.rng.below(self.consumers.len() as u64) as usize;
                self.heartbeat(consumer, true);
            }
            _ => {}
        }
        self.check();
    }

    fn subscription(&mut self) -> BTreeSet<String> {
        let chosen = TOPICS.iter().filter(|_| !self.rng.one_in(3));
        chosen.map(|topic| (*topic).to_owned()).collect()
    }

    fn come_classic(&mut self) {
        if self.classics.len() < 3 {
            let topics = self.subscription();
            self.classics.push(Classic {
                id: String::new(),
                generation: -1,
                topics,
                owned: NamedPartitions::new(),
                phase: Phase::Out,
                heard_at: self.world.now.wall.0,
                assigned: None,
            });
        }
    }

    fn come_consumer(&mut self) {
        if self.consumers.len() < 2 {
            self.made += 1;
            let mut consumer = Consumer::new(format!("m{}", self.made), self.world.now.wall.0);
            consumer.topics = self.subscription();
            self.consumers.push(consumer);
        }
    }

    /// A classic member leaves, or crashes.
    fn go_classic(&mut self) {
        if let Some(classic) = self.classics.pop()
            && !classic.id.is_empty()
            && self.rng.one_in(2)
        {
            self.world.classic_leave(&[(&classic.id, None)]);
        }
    }

    fn go_consumer(&mut self) {
        if let Some(consumer) = self.consumers.pop()
            && consumer.epoch > 0
            && !self.rng.one_in(4)
        {
            let mut request = consumer.request(&mut self.rng);
            request.member_epoch = -1;
            let _ = self.world.beat(request);
        }
    }

    fn grow(&mut self) {
        let name = TOPICS[self.rng.below(TOPICS.len() as u64) as usize];
        let id = self.world.topics.topic_id(name);
        let partitions = id.map_or(0, |id| self.world.topics.partitions(id));
        self.world.set_topic(name, (partitions + 1).min(6));
    }

    fn restart(&mut self) {
        self.world.restart();
        for classic in &mut self.classics {
            if matches!(classic.phase, Phase::Joining(_) | Phase::Syncing(_)) {
                classic.give_up();
            }
        }
    }

    /// Some time passes, and everybody lets itself be heard.
    fn round(&mut self) {
        let then = self.world.now.wall.0 + 5_000;
        for consumer in &mut self.consumers {
            consumer.give_up_if_late(then);
        }
        for classic in &mut self.classics {
            if classic.phase == Phase::Stable && then - classic.heard_at >= i64::from(SESSION_MS) {
                classic.forget();
            }
        }
        self.world.pass(5_000);
        for classic in 0..self.classics.len() {
            let is_lost = self.rng.one_in(8);
            self.classics[classic].act(&mut self.world, is_lost);
            self.check();
        }
        for consumer in 0..self.consumers.len() {
            self.heartbeat(consumer, true);
            self.check();
        }
    }

    fn heartbeat(&mut self, consumer: usize, may_fail: bool) {
        let fate = if may_fail { self.rng.below(10) } else { 9 };
        let request = self.consumers[consumer].request(&mut self.rng);
        self.consumers[consumer].tells_all = true;
        if fate > 0 {
            let answer = self.world.beat(request);
            if fate > 1 {
                let now = self.world.now.wall.0;
                self.consumers[consumer].hear(now, answer);
            }
        }
    }

    fn check(&mut self) {
        let mut owners: BTreeMap<(String, i32), String> = BTreeMap::new();
        let mut own = |topic: &str, partition: i32, owner: &str| {
            let other = owners.insert((topic.to_owned(), partition), owner.to_owned());
            assert_eq!(other, None, "{topic}-{partition} is {owner}'s, too");
        };
        for consumer in &self.consumers {
            for (topic, partition) in each(&consumer.owned) {
                let name = self.world.topics.topic_name(topic).unwrap();
                own(name, partition, &consumer.id);
            }
        }
        for classic in &self.classics {
            for (topic, partitions) in &classic.owned {
                for partition in partitions {
                    own(topic, *partition, &classic.id);
                }
            }
        }
        let groups = self
            .world
            .ask(Request::ListGroups(ListGroupsRequest::default()));
        let Response::ListGroups(groups) = groups else {
            panic!("{groups:?}");
        };
        let kind = groups.first().map_or("", |group| group.kind);
        self.conversions += usize::from(kind != self.kind);
        self.kind = kind;
    }

    /// Nothing fails any more.
    fn heal(&mut self) {
        for _ in 0..40 {
            for classic in 0..self.classics.len() {
                self.classics[classic].act(&mut self.world, false);
                self.check();
            }
            for consumer in 0..self.consumers.len() {
                self.heartbeat(consumer, false);
                self.consumers[consumer].settle();
                self.check();
            }
            self.world.pass(5_000);
        }
    }

    fn check_settled(&self) {
        let mut wanted: BTreeSet<(String, i32)> = BTreeSet::new();
        let mut owned: BTreeSet<(String, i32)> = BTreeSet::new();
        let mut want = |topics: &BTreeSet<String>| {
            for topic in topics {
                if let Some(id) = self.world.topics.topic_id(topic) {
                    let partitions = self.world.topics.partitions(id);
                    wanted.extend((0..partitions).map(|partition| (topic.clone(), partition)));
                }
            }
        };
        for consumer in &self.consumers {
            want(&consumer.topics);
            let name = |topic| self.world.topics.topic_name(topic).unwrap().to_owned();
            owned.extend(each(&consumer.owned).map(|(topic, partition)| (name(topic), partition)));
        }
        for classic in &self.classics {
            assert_eq!(classic.phase, Phase::Stable, "{}", classic.id);
            want(&classic.topics);
            for (topic, partitions) in &classic.owned {
                owned.extend(
                    partitions
                        .iter()
                        .map(|partition| (topic.clone(), *partition)),
                );
            }
        }
        assert_eq!(owned, wanted);
    }
}

#[test]
fn a_group_that_changes_its_protocol_keeps_one_owner_for_each_partition() {
    let mut conversions = 0;
    for seed in 0..SEEDS {
        let result = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            for _ in 0..STEPS {
                run.step();
            }
            run.heal();
            run.check_settled();
            run.conversions
        });
        match result {
            Ok(count) => conversions += count,
            Err(panic) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(
        conversions > 5 * SEEDS as usize,
        "{conversions} conversions"
    );
}
