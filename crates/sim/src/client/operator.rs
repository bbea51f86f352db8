//! Changes topics while others use them: settings, partitions, log starts.

use std::collections::BTreeMap;

use wiber_model::Offset;
use wiber_protocol::Str;
use wiber_protocol::messages as m;

use super::Hands;
use crate::exchange::{Ask, Place};
use crate::plan::{SETTINGS, value_of};

/// No topic grows beyond so many partitions.
const PARTITIONS_MAX: i32 = 6;
/// A topic, as requests number the types of resources (`ConfigResource.Type`).
const TOPIC: i8 = 2;
/// What is to be done with a setting (`AlterConfigOp.OpType`).
const SET: i8 = 0;
const DELETE: i8 = 1;
/// Instead of an offset: the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// Changes a topic.
pub fn act(hands: &mut Hands<'_>) -> bool {
    let Some(place) = hands.some_place() else {
        return false;
    };
    match hands.rng.below(8) {
        0..=2 => alter(place.name, hands),
        3 => replace(place.name, hands),
        4 => return grow(&place, hands),
        _ => delete_records(place, hands),
    }
    true
}

/// Sets and deletes a few settings.
fn alter(topic: Str, hands: &mut Hands<'_>) {
    let mut configs: Vec<m::incremental_alter_configs::AlterableConfig> = Vec::new();
    for _ in 0..1 + hands.rng.below(3) {
        let key = SETTINGS[hands.rng.below(SETTINGS.len() as u64) as usize];
        if configs.iter().any(|config| &*config.name == key) {
            continue;
        }
        let value = (!hands.rng.one_in(3)).then(|| value_of(hands.rng, key));
        configs.push(m::incremental_alter_configs::AlterableConfig {
            name: key.into(),
            config_operation: if value.is_some() { SET } else { DELETE },
            value: value.map(Str::from),
        });
    }
    hands.tell(|| format!("alters {topic}: {configs:?}"));
    let request = m::IncrementalAlterConfigsRequest {
        resources: vec![m::incremental_alter_configs::AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: topic,
            configs,
        }],
        validate_only: false,
    };
    hands.send(Ask::AlterConfigs(request), 0);
}

/// Says what all settings are to be.
fn replace(topic: Str, hands: &mut Hands<'_>) {
    let mut configs = Vec::new();
    for key in SETTINGS {
        if hands.rng.one_in(3) {
            configs.push(m::alter_configs::AlterableConfig {
                name: (*key).into(),
                value: Some(value_of(hands.rng, key).into()),
            });
        }
    }
    // What is not named is set no more; whether a topic is compacted stays.
    let topics = hands.checker.topics.values();
    let told = topics.filter(|state| state.name == topic && !state.gone);
    let kept = told.flat_map(|state| state.settings.told());
    let kept: BTreeMap<_, _> = kept
        .filter(|(key, _)| !SETTINGS.contains(&key.as_str()))
        .collect();
    configs.extend(
        kept.into_iter()
            .map(|(key, value)| m::alter_configs::AlterableConfig {
                name: Str::from(key.as_str()),
                value: Some(Str::from(value.as_str())),
            }),
    );
    hands.tell(|| format!("replaces the settings of {topic}: {configs:?}"));
    let request = m::AlterConfigsRequest {
        resources: vec![m::alter_configs::AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: topic,
            configs,
        }],
        validate_only: false,
    };
    hands.send(Ask::ReplaceConfigs(request), 0);
}

/// Adds a partition or two.
fn grow(place: &Place, hands: &mut Hands<'_>) -> bool {
    let topic = hands.checker.topics.get(&place.topic);
    let has = topic.map_or(PARTITIONS_MAX, |topic| topic.partitions);
    let count = has + 1 + hands.rng.below(2) as i32;
    if count > PARTITIONS_MAX {
        return false;
    }
    hands.tell(|| format!("wants {count} partitions of {}", place.name));
    let request = m::CreatePartitionsRequest {
        topics: vec![m::create_partitions::CreatePartitionsTopic {
            name: place.name.clone(),
            count,
            assignments: None,
        }],
        timeout_ms: 1000,
        validate_only: false,
    };
    hands.send(Ask::CreatePartitions(request), 0);
    true
}

/// Deletes records up to some offset: within the log, at its end, or beyond it.
fn delete_records(place: Place, hands: &mut Hands<'_>) {
    let partition = hands.checker.partitions.get(&place.partition());
    let (start, end) = partition.map_or((0, 0), |log| (log.start.0, log.end.0));
    let offset = match hands.rng.below(8) {
        0 => HIGH_WATERMARK,
        1 => end + hands.rng.below(3) as i64,
        2 => hands.rng.below(start as u64 + 1) as i64,
        _ => start + hands.rng.below((end - start).max(0) as u64 + 1) as i64,
    };
    hands.tell(|| {
        format!(
            "deletes records of {} {} up to {}",
            place.name,
            place.index,
            Offset(offset)
        )
    });
    let request = m::DeleteRecordsRequest {
        topics: vec![m::delete_records::DeleteRecordsTopic {
            name: place.name.clone(),
            partitions: vec![m::delete_records::DeleteRecordsPartition {
                partition_index: place.index,
                offset,
            }],
        }],
        timeout_ms: 1000,
    };
    hands.send(Ask::DeleteRecords(request, place), 0);
}
