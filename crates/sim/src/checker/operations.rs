//! What is done to topics while they are used: what was answered holds on every shard, and after every crash.

use std::collections::BTreeMap;

use wiber_broker::{Broker, Shard};
use wiber_model::{Offset, TopicId};
use wiber_protocol::ErrorCode;
use wiber_protocol::messages::{CreatePartitionsResponse, DeleteRecordsResponse};

use super::settings::Edits;
use super::{Checker, LogRules, Scene, error_name};
use crate::coverage::{Count, Coverage};
use crate::exchange::{Ask, Exchange, Place};
use crate::plan::SETTINGS;
use crate::story::About;

/// What a shard knows of topics.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// The metadata that it has applied.
    offset: u64,
    /// The settings of each topic, and how many partitions it has.
    topics: BTreeMap<TopicId, (BTreeMap<String, String>, i32)>,
}

impl View {
    fn of(shard: &Shard) -> View {
        let topics = shard.image().topics().map(|topic| {
            let partitions = topic.partitions.len() as i32;
            (topic.id, (topic.configs.clone(), partitions))
        });
        View {
            offset: shard.image().offset().0,
            topics: topics.collect(),
        }
    }
}

impl Checker {
    /// Looks what a shard knows, if that has changed.
    pub(super) fn learn(&mut self, number: u16, shard: &Shard, coverage: &mut Coverage) {
        let offset = shard.image().offset().0;
        if self.views.get(&number).map(|view| view.offset) == Some(offset) {
            return;
        }
        let view = View::of(shard);
        for log in shard.store().logs() {
            let id = log.id();
            self.meet(id, shard, coverage);
            let (Some((configs, _)), Some(partition)) =
                (view.topics.get(&id.topic), self.partitions.get_mut(&id))
            else {
                continue;
            };
            let rules = LogRules::of(configs);
            if rules.relaxed != partition.rules.relaxed {
                coverage.add(Count::DurabilityChanged);
            }
            partition.change_rules(rules);
        }
        for (id, (configs, partitions)) in &view.topics {
            let Some(topic) = self.topics.get_mut(id) else {
                continue;
            };
            topic.partitions_seen = topic.partitions_seen.max(*partitions);
            let has = |key: &str| configs.get(key).map(String::as_str);
            let stamps = has("message.timestamp.type") == Some("LogAppendTime");
            topic.append_time |= stamps;
            topic.create_time |= !stamps;
            topic.recompresses |= !matches!(has("compression.type"), None | Some("producer"));
        }
        self.views.insert(number, view);
        self.check_view(number);
    }

    /// Whether a shard knows what clients were told.
    fn check_view(&mut self, number: u16) {
        let mut wrong = Vec::new();
        let topics = self.views.get(&number).into_iter().flat_map(|v| &v.topics);
        for (id, (configs, partitions)) in topics {
            let Some(topic) = self.topics.get(id) else {
                continue;
            };
            if let Err(what) = topic.settings.check(configs) {
                wrong.push(format!("shard {number}, topic {}: {what}", topic.name));
            }
            if *partitions < topic.partitions {
                wrong.push(format!(
                    "shard {number} has {partitions} partitions of {}, and a client was told of {}",
                    topic.name, topic.partitions
                ));
            }
        }
        for what in wrong {
            self.fail(About::Broker, what);
        }
    }

    fn check_views(&mut self) {
        for number in self.views.keys().copied().collect::<Vec<_>>() {
            self.check_view(number);
        }
    }

    /// The broker was opened: what clients were told of is there, and what they did not hear of is as it was found.
    pub(super) fn check_views_after(&mut self, broker: &Broker, coverage: &mut Coverage) {
        for (number, shard) in (0..).zip(&broker.shards) {
            self.learn(number, shard, coverage);
        }
        let Some(view) = self.views.get(&0).cloned() else {
            return;
        };
        for (id, (configs, _)) in &view.topics {
            let Some(topic) = self.topics.get_mut(id) else {
                continue;
            };
            topic.settings.settle(configs);
            // Every shard has read all that there is.
            topic.partitions = topic.partitions.max(topic.partitions_told);
            let told = topic.partitions;
            let there = |index: &i32| {
                self.partitions.values().any(|partition| {
                    partition.present
                        && (partition.id.topic, partition.id.partition) == (*id, *index)
                })
            };
            if let Some(index) = (0..told).find(|index| !there(index)) {
                let what = format!(
                    "partition {index} of {} is gone after recovery",
                    self.topics[id].name
                );
                self.fail(About::Broker, what);
            }
        }
        self.check_views();
    }

    /// Notes what a request that came in may change.
    pub(super) fn note_operation(&mut self, exchange: &Exchange, shard: &Shard) {
        match &exchange.ask {
            Ask::AlterConfigs(_) | Ask::ReplaceConfigs(_) => {
                let Some((name, edits)) = edits(&exchange.ask) else {
                    return;
                };
                let id = shard.image().topic(&name).map(|topic| topic.id);
                if let Some(topic) = id.and_then(|id| self.topics.get_mut(&id)) {
                    topic.settings.asked(exchange.sent_ns, edits);
                }
            }
            Ask::DeleteRecords(request, _) => {
                let seen = exchange.seen.first().copied().flatten();
                let wanted = request.topics.iter().flat_map(|topic| &topic.partitions);
                let offset = wanted.map(|partition| partition.offset).next();
                let partition = seen.and_then(|seen| self.partitions.get_mut(&seen.partition));
                if let (Some(partition), Some(offset)) = (partition, offset) {
                    let wanted = (offset >= 0).then_some(Offset(offset));
                    partition.deletions.push(wanted);
                }
            }
            _ => {}
        }
    }

    /// An alteration was answered.
    pub(super) fn altered(&mut self, exchange: &Exchange, code: i16, scene: &mut Scene<'_>) {
        let at_ns = exchange.sent_ns;
        match ErrorCode::from_code(code) {
            Some(ErrorCode::None) => {
                scene.coverage.add(Count::SettingsAltered);
                for topic in self.topics.values_mut() {
                    topic.settings.changed(at_ns);
                }
                self.check_views();
            }
            // It went, or the answer comes too late: the change may still be made.
            Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::RequestTimedOut) => {}
            _ => {
                let what = format!("an alteration is answered {}", error_name(code));
                self.fail(About::Broker, what);
            }
        }
    }

    pub(super) fn grew(
        &mut self,
        exchange: &Exchange,
        response: &CreatePartitionsResponse,
        scene: &mut Scene<'_>,
    ) {
        let Ask::CreatePartitions(request) = &exchange.ask else {
            return;
        };
        for (wanted, result) in request.topics.iter().zip(&response.results) {
            match ErrorCode::from_code(result.error_code) {
                Some(ErrorCode::None) => {
                    scene.coverage.add(Count::PartitionsAdded);
                    // The answer may be about a topic that is gone by now, and another one has its name.
                    let mut grown = self.topics.values_mut().filter(|topic| {
                        topic.name == wanted.name && topic.partitions_seen >= wanted.count
                    });
                    match (grown.next(), grown.next()) {
                        (Some(topic), None) => {
                            topic.partitions = topic.partitions.max(wanted.count);
                        }
                        (Some(_), Some(_)) => {}
                        (None, _) => {
                            let what = format!(
                                "a client was told of {} partitions of {}, and no shard has as many",
                                wanted.count, wanted.name
                            );
                            self.fail(About::Broker, what);
                        }
                    }
                    self.check_views();
                }
                // An answer was lost, and the partitions are there all the same.
                Some(
                    ErrorCode::InvalidPartitions
                    | ErrorCode::UnknownTopicOrPartition
                    | ErrorCode::RequestTimedOut,
                ) => {}
                _ => {
                    let what = format!("CreatePartitions is answered {result:?}");
                    self.fail(About::Broker, what);
                }
            }
        }
    }

    pub(super) fn records_deleted(
        &mut self,
        exchange: &Exchange,
        place: &Place,
        response: &DeleteRecordsResponse,
        scene: &mut Scene<'_>,
    ) {
        let Ask::DeleteRecords(request, _) = &exchange.ask else {
            return;
        };
        let asked = request.topics.iter().flat_map(|topic| &topic.partitions);
        let answers = response.topics.iter().flat_map(|topic| &topic.partitions);
        let (Some(asked), Some(answer)) = (asked.last(), answers.last()) else {
            self.fail(About::Broker, format!("{response:?} says nothing"));
            return;
        };
        let seen = exchange.seen.first().copied().flatten();
        let id = seen.map_or(place.partition(), |seen| seen.partition);
        let about = About::Partition(id);
        let visible_end = seen.map_or(Offset::ZERO, |seen| seen.visible_end);
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {
                scene.coverage.add(Count::RecordsDeleted);
                let told = Offset(answer.low_watermark);
                let least = match asked.offset {
                    ..0 => visible_end,
                    offset => Offset(offset),
                };
                let Some(partition) = self.partitions.get_mut(&id).filter(|p| p.present) else {
                    return;
                };
                partition.promised_start = partition.promised_start.max(told);
                if told < least || told > partition.start {
                    let what = format!(
                        "records up to {least} were to be deleted, the answer is {told}, and the log starts at {}",
                        partition.start
                    );
                    self.fail(about, what);
                }
            }
            Some(ErrorCode::OffsetOutOfRange) => {
                let present = self.partitions.get(&id).is_some_and(|p| p.present);
                if present && (-1..=visible_end.0).contains(&asked.offset) {
                    let what = format!(
                        "records up to {} cannot be deleted, and the high watermark was {visible_end}",
                        asked.offset
                    );
                    self.fail(about, what);
                }
            }
            Some(ErrorCode::UnknownTopicOrPartition) => self.unknown(about, place, seen),
            // The newest value of each key stays.
            Some(ErrorCode::PolicyViolation)
                if self.partitions.get(&id).is_some_and(|p| p.is_compacted()) => {}
            _ => {
                let what = format!(
                    "DeleteRecords is answered {}",
                    error_name(answer.error_code)
                );
                self.fail(about, what);
            }
        }
    }
}

/// The topic that is to be altered, and what is to become of its settings.
fn edits(ask: &Ask) -> Option<(String, Edits)> {
    match ask {
        Ask::AlterConfigs(request) => {
            let resource = request.resources.first()?;
            let edits = resource.configs.iter().map(|config| {
                let value = config.value.as_ref().map(|value| value.to_string());
                (config.name.to_string(), value)
            });
            Some((resource.resource_name.to_string(), edits.collect()))
        }
        Ask::ReplaceConfigs(request) => {
            let resource = request.resources.first()?;
            let none = SETTINGS.iter().map(|key| ((*key).to_owned(), None));
            let mut edits: Edits = none.collect();
            for config in &resource.configs {
                let value = config.value.as_ref().map(|value| value.to_string());
                edits.insert(config.name.to_string(), value);
            }
            Some((resource.resource_name.to_string(), edits))
        }
        _ => None,
    }
}
