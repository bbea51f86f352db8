//! Creates the topics of a run, and deletes some of them and creates them again.

use wiber_protocol::Str;
use wiber_protocol::messages as m;

use super::{Client, Connection, Hands, Phase, TopicPlan};
use crate::checker::Checker;
use crate::coverage::Count;
use crate::exchange::{Answer, Ask, Exchange};

/// See the module.
#[derive(Debug)]
pub struct Admin {
    connection: Connection,
    topics: Vec<TopicPlan>,
    /// It rests so long between requests, in microseconds.
    pause_us: u64,
    /// A topic that is to go, until the broker says that it is gone.
    deleting: Option<Str>,
    busy: bool,
}

impl Admin {
    /// An admin of these topics.
    pub fn new(topics: Vec<TopicPlan>, pause_us: u64) -> Admin {
        Admin {
            connection: Connection::default(),
            topics,
            pause_us,
            deleting: None,
            busy: false,
        }
    }

    fn act(&mut self, hands: &mut Hands<'_>) {
        if let Some(name) = self.deleting.clone() {
            self.delete(name, hands);
            return;
        }
        let live: Vec<Str> = hands
            .checker
            .live_topics()
            .map(|(_, topic)| topic.name.clone())
            .collect();
        let missing: Vec<_> = self
            .topics
            .iter()
            .filter(|topic| !live.contains(&topic.name))
            .cloned()
            .collect();
        if !missing.is_empty() {
            self.create(missing, hands);
            return;
        }
        let restless: Vec<_> = self.topics.iter().filter(|topic| topic.restless).collect();
        if hands.phase == Phase::Chaos && !restless.is_empty() && hands.rng.one_in(4) {
            let index = hands.rng.below(restless.len() as u64) as usize;
            let name = restless[index].name.clone();
            self.delete(name, hands);
        }
    }

    fn create(&mut self, missing: Vec<TopicPlan>, hands: &mut Hands<'_>) {
        self.busy = true;
        // A topic without settings may as well come into being by being asked about.
        if missing.iter().all(|topic| topic.configs.is_empty()) && hands.rng.one_in(2) {
            let topics = missing
                .iter()
                .map(|topic| m::metadata::MetadataRequestTopic {
                    name: Some(topic.name.clone()),
                    ..Default::default()
                });
            let request = m::MetadataRequest {
                topics: Some(topics.collect()),
                ..Default::default()
            };
            hands.coverage.add(Count::TopicsAutoCreated);
            hands.send(Ask::Metadata(request), 4);
            return;
        }
        let topic = |plan: &TopicPlan| m::create_topics::CreatableTopic {
            name: plan.name.clone(),
            num_partitions: plan.partitions,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: plan
                .configs
                .iter()
                .map(|(name, value)| m::create_topics::CreatableTopicConfig {
                    name: name.as_str().into(),
                    value: Some(value.as_str().into()),
                })
                .collect(),
        };
        let request = m::CreateTopicsRequest {
            topics: missing.iter().map(topic).collect(),
            ..Default::default()
        };
        hands.tell(|| {
            format!(
                "creates {:?}",
                missing.iter().map(|topic| &*topic.name).collect::<Vec<_>>()
            )
        });
        hands.send(Ask::CreateTopics(request), 0);
    }

    fn delete(&mut self, name: Str, hands: &mut Hands<'_>) {
        const FIRST_WITH_STATES: i16 = 6;
        hands.tell(|| format!("deletes {name}"));
        hands.checker.doom(&name);
        self.deleting = Some(name.clone());
        self.busy = true;
        let mut request = m::DeleteTopicsRequest {
            timeout_ms: 1000,
            ..Default::default()
        };
        if hands.rng.one_in(2) {
            request.topic_names.push(name);
            let below = hands.rng.below((FIRST_WITH_STATES - 1) as u64) as i16;
            hands.send_version(Ask::DeleteTopics(request), 1 + below);
        } else {
            let name = Some(name);
            request.topics.push(m::delete_topics::DeleteTopicState {
                name,
                ..Default::default()
            });
            hands.send(Ask::DeleteTopics(request), FIRST_WITH_STATES);
        }
    }
}

impl Client for Admin {
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn wake(&mut self, hands: &mut Hands<'_>) -> u64 {
        if self.connection.is_usable(hands) && !self.busy {
            self.act(hands);
        }
        let anything_there = hands.checker.live_topics().next().is_some();
        if anything_there { self.pause_us } else { 200 }
    }

    fn answered(&mut self, exchange: &Exchange, answer: &Answer, hands: &mut Hands<'_>) {
        self.busy = false;
        if let (Ask::DeleteTopics(_), Answer::DeleteTopics(response)) = (&exchange.ask, answer) {
            const UNKNOWN_TOPIC: i16 = 3;
            let done = |code: i16| code == 0 || code == UNKNOWN_TOPIC;
            if response
                .responses
                .iter()
                .all(|topic| done(topic.error_code))
            {
                hands.coverage.add(Count::TopicsDeleted);
                self.deleting = None;
            }
        }
    }

    fn lost(&mut self, _hands: &mut Hands<'_>) {
        self.busy = false;
    }

    fn unfinished(&self, checker: &Checker) -> Option<String> {
        if self.deleting.is_some() {
            return Some("a topic is being deleted".to_owned());
        }
        let live = |topic: &TopicPlan| {
            checker
                .live_topics()
                .any(|(_, known)| known.name == topic.name)
        };
        let missing = self.topics.iter().find(|topic| !live(topic))?;
        Some(format!("topic {} is not created", missing.name))
    }
}
