//! Members that come, go, crash, pause, lose requests and answers, and change their minds, while the coordinator restarts and topics
//! come, grow and go: no partition ever has two members that believe to have it, and when peace returns all partitions are owned.

use std::collections::{BTreeMap, BTreeSet};

use wiber_coordinator::{
    Cluster, ConsumerHeartbeat, ConsumerHeartbeatRequest, GroupError, TopicPartitions,
};
use wiber_model::{Rng, TopicId};

use super::harness::{GROUP, World, caller};

const SEEDS: u64 = 150;
const STEPS: usize = 250;
const TOPICS: [&str; 5] = ["a", "ab", "b", "bc", "c"];
const REGEXES: [&str; 5] = ["", "a.*", "b|bc", "(a|c)", "none"];

/// Longer than the two limits below together.
const REBALANCE_MS: i32 = 100_000;

/// A member that heard nothing for this long, in milliseconds, may have been sent away: it gives up all by itself, as clients do.
const HEARD_LIMIT_MS: i64 = 44_000;

/// A member gives up what it was told to within this time, in milliseconds, or leaves.
const GIVE_UP_LIMIT_MS: i64 = 40_000;

/// A member of the consumer protocol, as a client has it.
#[derive(Clone)]
pub struct Consumer {
    pub id: String,
    instance: Option<String>,
    pub epoch: i32,
    pub topics: BTreeSet<String>,
    regex: String,
    assignor: Option<String>,
    /// What it believes to have.
    pub owned: TopicPartitions,
    /// What it was told to have, while it gives up what is not in that.
    told: Option<TopicPartitions>,
    /// What the coordinator knows it has, for all that it knows.
    said: TopicPartitions,
    heard_at: i64,
    told_at: i64,
    /// It does not know whether the coordinator has its last heartbeat: it tells everything.
    pub tells_all: bool,
    /// It says nothing, and does nothing with what it had.
    paused: bool,
    /// A static member that left for a while.
    away: bool,
}

impl Consumer {
    /// A client that is to join.
    pub fn new(id: String, now: i64) -> Consumer {
        Consumer {
            id,
            instance: None,
            epoch: 0,
            topics: BTreeSet::new(),
            regex: String::new(),
            assignor: None,
            owned: TopicPartitions::new(),
            told: None,
            said: TopicPartitions::new(),
            heard_at: now,
            told_at: 0,
            tells_all: true,
            paused: false,
            away: false,
        }
    }

    /// Gives everything up if by then it has heard nothing for too long, or taken too long to give up what it was told to.
    pub fn give_up_if_late(&mut self, then: i64) {
        let is_late = self.told.is_some() && then - self.told_at > GIVE_UP_LIMIT_MS;
        if is_late || then - self.heard_at > HEARD_LIMIT_MS {
            self.lose();
        }
    }

    pub fn request(&self, rng: &mut Rng) -> ConsumerHeartbeatRequest {
        let all = self.tells_all || self.epoch == 0;
        ConsumerHeartbeatRequest {
            group: GROUP.to_owned(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance.clone(),
            rebalance_timeout_ms: if all { REBALANCE_MS } else { -1 },
            topics: all.then(|| self.topics.iter().cloned().collect()),
            regex: all.then(|| self.regex.clone()),
            assignor: self.assignor.clone().filter(|_| all),
            owned: (all || self.owned != self.said || rng.one_in(2)).then(|| self.owned.clone()),
            version: 1,
            caller: caller(),
            ..ConsumerHeartbeatRequest::default()
        }
    }

    pub fn hear(&mut self, now: i64, answer: Result<ConsumerHeartbeat, GroupError>) {
        match answer {
            Ok(answer) => {
                self.heard_at = now;
                self.said = self.owned.clone();
                self.epoch = answer.member_epoch;
                self.tells_all = false;
                if let Some(assignment) = answer.assignment {
                    if self.told.is_none() {
                        self.told_at = now;
                    }
                    self.told = Some(assignment);
                    if self.to_give_up().is_empty() {
                        self.settle();
                    }
                }
            }
            Err(GroupError::UnreleasedInstanceId(_)) => self.lose(),
            Err(
                GroupError::FencedMemberEpoch(_)
                | GroupError::UnknownMemberId
                | GroupError::FencedInstanceId
                | GroupError::GroupIdNotFound(_),
            ) => self.lose(),
            Err(other) => panic!("{}: {other:?}", self.id),
        }
    }

    /// It is not a member any more, and joins anew.
    fn lose(&mut self) {
        self.epoch = 0;
        self.owned.clear();
        self.told = None;
        self.tells_all = true;
    }

    fn to_give_up(&self) -> Vec<(TopicId, i32)> {
        let told = self.told.as_ref().unwrap_or(&self.owned);
        let kept = |(topic, partition): &(TopicId, i32)| {
            told.get(topic).is_some_and(|told| told.contains(partition))
        };
        each(&self.owned).filter(|held| !kept(held)).collect()
    }

    /// It has given up what it was to, and takes what is new.
    pub fn settle(&mut self) {
        if let Some(told) = self.told.take() {
            self.owned = told;
        }
    }
}

pub fn each(partitions: &TopicPartitions) -> impl Iterator<Item = (TopicId, i32)> {
    partitions
        .iter()
        .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
}

struct Run {
    world: World,
    rng: Rng,
    members: Vec<Consumer>,
    made: usize,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut rng = Rng::new(seed);
        let interval_ms = [0, 0, 1000, 5000][rng.below(4) as usize];
        let world = World::with(&[("a", 4), ("b", 3)], |config| {
            config.consumer_assignment_interval_ms = interval_ms;
        });
        Run {
            world,
            rng,
            members: Vec::new(),
            made: 0,
        }
    }

    fn step(&mut self) {
        match self.rng.below(40) {
            0..3 => self.come(),
            3 => self.crash(),
            4 => self.leave(),
            5 => self.pause(),
            6 => self.change_mind(),
            7 => self.change_topics(),
            8 if self.rng.one_in(2) => self.world.restart(),
            8..12 => {
                let ms = self.rng.below(20_000) as i64;
                self.pass(ms);
            }
            12..18 => {
                let settled = self.pick();
                if let Some(member) = settled {
                    self.members[member].settle();
                }
            }
            _ => {
                if let Some(member) = self.pick() {
                    self.heartbeat(member, true);
                }
            }
        }
        self.check();
    }

    /// A member that is there.
    fn pick(&mut self) -> Option<usize> {
        if self.members.is_empty() {
            return None;
        }
        let member = self.rng.below(self.members.len() as u64) as usize;
        let is_there = !self.members[member].paused && !self.members[member].away;
        is_there.then_some(member)
    }

    fn come(&mut self) {
        // A static member comes back under another id; or somebody new comes.
        if let Some(member) = self.members.iter().position(|m| m.away) {
            self.made += 1;
            self.members[member].id = format!("m{}", self.made);
            self.members[member].away = false;
            self.heartbeat(member, true);
            return;
        }
        if self.members.len() >= 6 {
            return;
        }
        self.made += 1;
        let mut consumer = Consumer::new(format!("m{}", self.made), self.world.now.wall.0);
        consumer.instance = self.rng.one_in(3).then(|| format!("i{}", self.made));
        subscribe(&mut self.rng, &mut consumer);
        self.members.push(consumer);
        self.heartbeat(self.members.len() - 1, true);
    }

    fn crash(&mut self) {
        if let Some(member) = self.pick() {
            self.members.remove(member);
        }
    }

    fn leave(&mut self) {
        let Some(member) = self.pick() else {
            return;
        };
        let consumer = &mut self.members[member];
        if consumer.epoch == 0 {
            return;
        }
        let for_a_while = consumer.instance.is_some() && self.rng.one_in(2);
        let mut request = consumer.request(&mut self.rng);
        request.member_epoch = if for_a_while { -2 } else { -1 };
        consumer.lose();
        consumer.away = for_a_while;
        if !for_a_while {
            self.members.remove(member);
        }
        if !self.rng.one_in(5) {
            let _ = self.world.beat(request);
        }
    }

    fn pause(&mut self) {
        if let Some(member) = self.pick() {
            self.members[member].paused = true;
        } else if let Some(paused) = self.members.iter().position(|m| m.paused) {
            self.wake(paused);
        }
    }

    /// A member goes on; what it had it has only if the coordinator says so.
    fn wake(&mut self, member: usize) {
        self.heartbeat(member, false);
        self.members[member].paused = false;
    }

    fn change_mind(&mut self) {
        if let Some(member) = self.pick() {
            let consumer = &mut self.members[member];
            subscribe(&mut self.rng, consumer);
            consumer.tells_all = true;
        }
    }

    fn change_topics(&mut self) {
        let name = TOPICS[self.rng.below(TOPICS.len() as u64) as usize];
        let id = self.world.topics.topic_id(name);
        match id {
            Some(_) if self.rng.one_in(3) => self.world.delete_topic(name),
            Some(id) => {
                let partitions = self.world.topics.partitions(id);
                self.world.set_topic(name, (partitions + 1).min(7));
            }
            None => self.world.set_topic(name, 1 + self.rng.below(4) as i32),
        }
    }

    /// Time passes, in which whoever is not paused lets itself be heard.
    fn pass(&mut self, ms: i64) {
        for _ in 0..(ms / 5_000) {
            self.wait(5_000);
            for member in 0..self.members.len() {
                if !self.members[member].paused && !self.members[member].away {
                    self.heartbeat(member, true);
                    self.check();
                }
            }
        }
        self.wait(ms % 5_000);
    }

    /// Time passes, and nobody says anything. Who has been out of touch for too long gives up.
    fn wait(&mut self, ms: i64) {
        let then = self.world.now.wall.0 + ms;
        for member in self.members.iter_mut().filter(|m| !m.paused && !m.away) {
            member.give_up_if_late(then);
        }
        self.world.pass(ms);
    }

    fn heartbeat(&mut self, member: usize, may_fail: bool) {
        let fate = if may_fail { self.rng.below(12) } else { 11 };
        let mut request = self.members[member].request(&mut self.rng);
        self.members[member].tells_all = true;
        if fate == 0 {
            return;
        }
        if fate == 1 || fate == 2 {
            // The answer is lost; and perhaps the member tries again at once.
            let _ = self.world.beat(request);
            if fate == 1 {
                return;
            }
            request = self.members[member].request(&mut self.rng);
        }
        let answer = self.world.beat(request);
        if self.members[member].paused && answer.is_err() {
            self.members[member].lose();
        }
        let now = self.world.now.wall.0;
        self.members[member].hear(now, answer);
    }

    fn check(&self) {
        let mut owners: BTreeMap<(TopicId, i32), &str> = BTreeMap::new();
        for member in self.members.iter().filter(|m| !m.paused) {
            for held in each(&member.owned) {
                if let Some(other) = owners.insert(held, &member.id) {
                    panic!("{held:?} has two owners, {other} and {}", member.id);
                }
            }
        }
    }

    /// Nothing fails any more: everybody is heard, and does what it is told.
    fn heal(&mut self) {
        for member in 0..self.members.len() {
            if self.members[member].paused {
                self.wake(member);
            }
            if self.members[member].away {
                self.made += 1;
                self.members[member].id = format!("m{}", self.made);
                self.members[member].away = false;
            }
        }
        for _ in 0..30 {
            for member in 0..self.members.len() {
                self.heartbeat(member, false);
                self.members[member].settle();
                self.check();
            }
            self.wait(5_000);
        }
    }

    /// Every partition that anybody subscribes to is owned by one who does.
    fn check_settled(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let description = self.world.describe().expect("the group is there");
        assert_eq!(description.state, "Stable", "{description:#?}");
        assert_eq!(description.members.len(), self.members.len());
        let mut wanted: BTreeSet<(TopicId, i32)> = BTreeSet::new();
        let names = self.world.topic_names();
        for member in &self.members {
            let pattern = match member.regex.as_str() {
                "a.*" => &["a", "ab"][..],
                "b|bc" => &["b", "bc"],
                "(a|c)" => &["a", "c"],
                _ => &[],
            };
            let subscribed: BTreeSet<TopicId> = names
                .iter()
                .filter(|name| member.topics.contains(*name) || pattern.contains(&name.as_str()))
                .filter_map(|name| self.world.topics.topic_id(name))
                .collect();
            for (topic, _) in each(&member.owned) {
                assert!(
                    subscribed.contains(&topic),
                    "{} has what it wants",
                    member.id
                );
            }
            for topic in subscribed {
                let partitions = self.world.topics.partitions(topic);
                wanted.extend((0..partitions).map(|partition| (topic, partition)));
            }
        }
        let owned: BTreeSet<(TopicId, i32)> =
            self.members.iter().flat_map(|m| each(&m.owned)).collect();
        assert_eq!(owned, wanted);
        // What is in the log is all that there is to know.
        let before = self.world.describe();
        self.world.restart();
        assert_eq!(self.world.describe(), before);
    }
}

fn subscribe(rng: &mut Rng, consumer: &mut Consumer) {
    consumer.topics.clear();
    if rng.one_in(3) {
        consumer.regex = REGEXES[rng.below(REGEXES.len() as u64) as usize].to_owned();
    } else {
        consumer.regex = String::new();
        for topic in TOPICS {
            if !rng.one_in(3) {
                consumer.topics.insert(topic.to_owned());
            }
        }
    }
    let assignor = [None, Some("uniform"), Some("range")][rng.below(3) as usize];
    consumer.assignor = assignor.map(str::to_owned);
}

#[test]
fn a_partition_never_has_two_owners_and_in_the_end_it_has_one() {
    for seed in 0..SEEDS {
        let result = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            for _ in 0..STEPS {
                run.step();
            }
            run.heal();
            run.check_settled();
        });
        if let Err(panic) = result {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
