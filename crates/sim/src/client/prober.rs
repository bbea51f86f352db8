//! Asks for offsets, ends of epochs and metadata, again and again.

use wiber_protocol::messages as m;

use super::{Hands, list_offsets};
use crate::exchange::Ask;

/// Since this version each special timestamp of ListOffsets is served.
const FIRST_WITH_ALL_SPECIALS: i16 = 8;

/// Asks for something that one of the partitions, or the broker, has to tell.
pub fn ask(hands: &mut Hands<'_>) -> bool {
    let Some(place) = hands.some_place() else {
        return false;
    };
    let partition = hands.checker.partitions.get(&place.partition());
    let epoch = partition.map_or(0, |partition| partition.epoch.0).max(0);
    // Now and then it believes in an epoch: the right one, or one too old or too new.
    let believed = match hands.rng.below(4) {
        0 => epoch - 1 + hands.rng.below(3) as i32,
        _ => -1,
    };
    match hands.rng.below(8) {
        0 => {
            let request = m::MetadataRequest {
                topics: None,
                ..Default::default()
            };
            hands.send(Ask::Metadata(request), 1);
        }
        1 => hands.send(Ask::ApiVersions(api_versions()), 0),
        2 | 3 => {
            let request = m::OffsetForLeaderEpochRequest {
                replica_id: -1,
                topics: vec![m::offset_for_leader_epoch::OffsetForLeaderTopic {
                    topic: place.name.clone(),
                    partitions: vec![m::offset_for_leader_epoch::OffsetForLeaderPartition {
                        partition: place.index,
                        leader_epoch: hands.rng.below(epoch as u64 + 2) as i32,
                        ..Default::default()
                    }],
                }],
            };
            hands.send(Ask::EpochEnds(request, vec![place]), 0);
        }
        4 | 5 => {
            let special = -1 - hands.rng.below(4) as i64;
            hands.send(
                list_offsets(vec![(place, special)], believed),
                FIRST_WITH_ALL_SPECIALS,
            );
        }
        _ => {
            let times = partition.map(|p| {
                p.log
                    .iter()
                    .flat_map(|entry| entry.timestamps.iter().copied())
                    .collect()
            });
            let times: Vec<i64> = times.unwrap_or_default();
            let index = hands.rng.below(times.len().max(1) as u64) as usize;
            let time =
                times.get(index).copied().unwrap_or(hands.wall.0) + hands.rng.below(3) as i64 - 1;
            hands.send(list_offsets(vec![(place, time.max(0))], believed), 0);
        }
    }
    true
}

fn api_versions() -> m::ApiVersionsRequest {
    m::ApiVersionsRequest {
        client_software_name: "sim".into(),
        client_software_version: "1".into(),
    }
}
