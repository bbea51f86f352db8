//! Looks at groups while they work, and deletes offsets and groups that nobody uses.

use wiber_protocol::messages as m;

use super::Hands;
use crate::exchange::Ask;

/// Lists, describes or deletes a group, or offsets of one.
pub fn act(hands: &mut Hands<'_>) -> bool {
    let names = hands.checker.groups.names();
    let index = hands.rng.below(names.len().max(1) as u64) as usize;
    let Some(group) = names.into_iter().nth(index) else {
        return false;
    };
    let ask = match hands.rng.below(6) {
        0 => Ask::ListGroups(m::ListGroupsRequest::default()),
        1 | 2 => {
            let groups = vec![group];
            let include_authorized_operations = false;
            Ask::DescribeGroups(m::DescribeGroupsRequest {
                groups,
                include_authorized_operations,
            })
        }
        3 => {
            hands.tell(|| format!("wants {group} deleted"));
            let groups_names = vec![group];
            Ask::DeleteGroups(m::DeleteGroupsRequest { groups_names })
        }
        _ => {
            let Some(place) = hands.some_place() else {
                return false;
            };
            hands.tell(|| {
                format!(
                    "wants what {group} committed for {} {} deleted",
                    place.name, place.index
                )
            });
            let part = m::offset_delete::OffsetDeleteRequestPartition {
                partition_index: place.index,
            };
            Ask::OffsetDelete(m::OffsetDeleteRequest {
                group_id: group,
                topics: vec![m::offset_delete::OffsetDeleteRequestTopic {
                    name: place.name,
                    partitions: vec![part],
                }],
            })
        }
    };
    hands.send(ask, 0);
    true
}
