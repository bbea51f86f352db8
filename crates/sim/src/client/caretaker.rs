//! Looks at groups while they work, and deletes offsets and groups that nobody uses.

use wiber_protocol::messages as m;

use super::{Client, Connection, Hands, Phase};
use crate::checker::Checker;
use crate::exchange::{Answer, Ask, Exchange};

/// See the module.
#[derive(Debug)]
pub struct Caretaker {
    connection: Connection,
    pause_us: u64,
    busy: bool,
}

impl Caretaker {
    /// A caretaker that rests so long between requests.
    pub fn new(pause_us: u64) -> Caretaker {
        Caretaker {
            connection: Connection::default(),
            pause_us,
            busy: false,
        }
    }

    fn act(hands: &mut Hands<'_>) -> bool {
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
}

impl Client for Caretaker {
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn wake(&mut self, hands: &mut Hands<'_>) -> u64 {
        let acts = hands.phase == Phase::Chaos && !self.busy;
        if acts && self.connection.is_usable(hands) {
            self.busy = Caretaker::act(hands);
        }
        self.pause_us
    }

    fn answered(&mut self, _: &Exchange, _: &Answer, _: &mut Hands<'_>) {
        self.busy = false;
    }

    fn lost(&mut self, _: &mut Hands<'_>) {
        self.busy = false;
    }

    fn unfinished(&self, _: &Checker) -> Option<String> {
        None
    }
}
