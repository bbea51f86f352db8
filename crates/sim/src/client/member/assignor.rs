//! What a leader of a classic group does: it deals the partitions out, by ranges, and in the cooperative way nothing that another
//! member still has.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use wiber_protocol::Str;
use wiber_protocol::internal::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartitions,
};
use wiber_protocol::internal::{decode_lenient, encode_versioned};

use crate::exchange::Place;

/// Partitions by the names of their topics.
pub(crate) type Shares = BTreeSet<(Str, i32)>;

/// What a member tells its leader, in one of the versions there are.
pub(super) fn subscription(topics: &BTreeSet<Str>, owned: &Shares, generation: i32) -> Bytes {
    const VERSION: i16 = 3;
    let message = ConsumerProtocolSubscription {
        topics: topics.iter().cloned().collect(),
        user_data: None,
        owned_partitions: by_topic(owned),
        generation_id: generation,
        rack_id: None,
    };
    encode_versioned(&message, VERSION).unwrap_or_default()
}

/// What a member told that it subscribes to.
pub(crate) fn subscribed(metadata: &Bytes) -> BTreeSet<Str> {
    let told = decode_lenient::<ConsumerProtocolSubscription>(metadata.clone());
    told.map_or_else(
        |_| BTreeSet::new(),
        |(told, _)| told.topics.into_iter().collect(),
    )
}

/// What a member told that it has.
pub(crate) fn owned(metadata: &Bytes) -> Shares {
    let told = decode_lenient::<ConsumerProtocolSubscription>(metadata.clone());
    told.map_or_else(
        |_| Shares::new(),
        |(told, _)| shares(&told.owned_partitions),
    )
}

/// What the leader assigned to a member.
pub(crate) fn assigned(bytes: &Bytes) -> Shares {
    let Ok((message, _)) = decode_lenient::<ConsumerProtocolAssignment>(bytes.clone()) else {
        return Shares::new();
    };
    shares(&message.assigned_partitions)
}

/// Deals `places` out to members, by what they told.
pub(super) fn assign(
    members: &[(Str, Bytes)],
    places: &[Place],
    cooperative: bool,
) -> Vec<(Str, Bytes)> {
    const VERSION: i16 = 0;
    let mut told: Vec<_> = members
        .iter()
        .filter_map(|(id, metadata)| {
            let (told, _) =
                decode_lenient::<ConsumerProtocolSubscription>(metadata.clone()).ok()?;
            Some((id.clone(), told))
        })
        .collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    let mut dealt: BTreeMap<Str, Shares> = BTreeMap::new();
    let names: BTreeSet<_> = places.iter().map(|place| place.name.clone()).collect();
    for name in names {
        let wanting: Vec<_> = told
            .iter()
            .filter(|(_, told)| told.topics.contains(&name))
            .map(|(id, _)| id)
            .collect();
        let count = places.iter().filter(|place| place.name == name).count();
        for index in 0..count {
            let Some(id) = wanting.get(index * wanting.len() / count.max(1)) else {
                continue;
            };
            let share = (name.clone(), index as i32);
            let has = |told: &ConsumerProtocolSubscription| {
                shares(&told.owned_partitions).contains(&share)
            };
            let held_back =
                cooperative && told.iter().any(|(other, told)| other != *id && has(told));
            if !held_back {
                dealt.entry((*id).clone()).or_default().insert(share);
            }
        }
    }
    let assignment = |id: &Str| {
        let message = ConsumerProtocolAssignment {
            assigned_partitions: by_topic(dealt.get(id).unwrap_or(&Shares::new())),
            user_data: None,
        };
        encode_versioned(&message, VERSION).unwrap_or_default()
    };
    told.iter()
        .map(|(id, _)| (id.clone(), assignment(id)))
        .collect()
}

fn by_topic(shares: &Shares) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<Str, Vec<i32>> = BTreeMap::new();
    for (topic, index) in shares {
        topics.entry(topic.clone()).or_default().push(*index);
    }
    topics
        .into_iter()
        .map(|(topic, partitions)| TopicPartitions { topic, partitions })
        .collect()
}

fn shares(parts: &[TopicPartitions]) -> Shares {
    let indexes = |part: &TopicPartitions| {
        let topic = part.topic.clone();
        let indexes = part.partitions.clone();
        indexes.into_iter().map(move |index| (topic.clone(), index))
    };
    parts.iter().flat_map(indexes).collect()
}
