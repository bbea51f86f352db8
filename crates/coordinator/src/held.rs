//! What the groups of a coordinator hold in memory: it has a bound, and whoever would have it passed is to come again later.
//!
//! It is counted, in bytes, and about: what clients bring (ids, names, metadata, subscriptions) and what is made of it (assignments, and what
//! regular expressions came to). Committed offsets are not in it: they are bounded by what is stored, and expire.

use std::collections::BTreeMap;

use wiber_model::TopicId;

use crate::error::GroupError;
use crate::groups::{Group, Groups};
use crate::request::{
    CommitRequest, ConsumerHeartbeatRequest, JoinRequest, Request, SyncRequest, told_bytes,
};
use crate::response::Response;

/// The most bytes that the groups of a coordinator may hold, without their offsets: a quarter of a million members of usual size, which
/// subscribe to a few topics.
pub(crate) const HELD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What a group takes besides what is in it.
const GROUP_BYTES: usize = 512;
/// What a member takes besides what it told: its places in maps and among timers.
pub(crate) const MEMBER_BYTES: usize = 512;
/// In how many places the names of a member stand: as keys, in itself, and in its timers.
pub(crate) const NAMES_HELD: usize = 4;

/// What a string in a map or a list takes.
pub(crate) fn name_bytes(name: &str) -> usize {
    const STRING_BYTES: usize = 48;
    name.len() + STRING_BYTES
}

/// What partitions by topic take, if each takes so much.
pub(crate) fn partitions_bytes(counts: impl Iterator<Item = usize>, each: usize) -> usize {
    const TOPIC_BYTES: usize = 64;
    counts.map(|count| TOPIC_BYTES + count * each).sum()
}

/// What a target assignment takes.
pub(crate) fn target_bytes(target: &BTreeMap<TopicId, Vec<i32>>) -> usize {
    partitions_bytes(target.values().map(Vec::len), size_of::<i32>())
}

impl Request {
    /// The group that it may change.
    pub(crate) fn changes(&self) -> Option<&String> {
        match self {
            Request::Join(request) => Some(&request.group),
            Request::Sync(request) => Some(&request.group),
            Request::Heartbeat(request) => Some(&request.group),
            Request::Leave(request) => Some(&request.group),
            Request::CommitOffsets(request) => Some(&request.group),
            Request::ConsumerHeartbeat(request) => Some(&request.group),
            Request::DeleteGroup { group } => Some(group),
            // A group without members goes with its last offset only when it is looked for.
            Request::DeleteOffsets(_)
            | Request::FetchOffsets(_)
            | Request::ListGroups(_)
            | Request::DescribeClassic { .. }
            | Request::DescribeConsumer { .. } => None,
        }
    }

    /// The answer if it cannot be taken. Only those can be refused that have groups grow.
    pub(crate) fn refused(self, error: GroupError) -> Option<Response> {
        Some(match self {
            Request::Join(request) => Response::Join {
                result: Err(error),
                member_id: request.member_id,
            },
            Request::Sync(_) => Response::Sync(Err(error)),
            Request::CommitOffsets(_) => Response::CommitOffsets(Err(error)),
            Request::ConsumerHeartbeat(_) => Response::ConsumerHeartbeat(Err(error)),
            _ => return None,
        })
    }
}

impl Group {
    fn held_bytes(&self, id: &str) -> usize {
        let members = match self {
            Group::Classic(group) => group.held_bytes(),
            Group::Consumer(group) => group.held_bytes(),
        };
        GROUP_BYTES + NAMES_HELD * id.len() + members
    }
}

impl Groups {
    /// What all groups hold, by a look at each.
    pub(crate) fn held_bytes(&self) -> usize {
        let groups = self.groups.iter();
        groups.map(|(id, group)| group.held_bytes(id)).sum()
    }

    /// What a group holds; nothing, if it is not there.
    pub(crate) fn held_by(&self, id: &str) -> usize {
        let group = self.groups.get(id);
        group.map_or(0, |group| group.held_bytes(id))
    }

    /// By how much a request has the groups grow, at most. By nothing, if it tells nothing new: who is in can go on.
    pub(crate) fn grows_by(&self, request: &Request) -> usize {
        match request {
            Request::Join(request) => self.grows_by_join(request),
            Request::Sync(request) => self.grows_by_sync(request),
            Request::CommitOffsets(request) => self.grows_by_commit(request),
            Request::ConsumerHeartbeat(request) => self.grows_by_heartbeat(request),
            _ => 0,
        }
    }

    fn grows_by_join(&self, request: &JoinRequest) -> usize {
        let (id, instance) = (&request.member_id, request.instance_id.as_deref());
        let before = match self.groups.get(&request.group) {
            None => None,
            Some(Group::Classic(group)) => group.told_by(id, instance),
            Some(Group::Consumer(group)) => group.told_by(id, instance),
        };
        let told = told_bytes(&request.protocols);
        match before {
            Some(before) => told.saturating_sub(before),
            None => {
                let names = NAMES_HELD * (id.len() + request.id_prefix().len());
                self.grows_by_group(&request.group) + MEMBER_BYTES + names + told
            }
        }
    }

    fn grows_by_sync(&self, request: &SyncRequest) -> usize {
        let assigned = request.assignments.iter();
        let assigned: usize = assigned.map(|(_, assignment)| assignment.len()).sum();
        let before = match self.groups.get(&request.group) {
            Some(Group::Classic(group)) => group.assigned_bytes(),
            // Its members are assigned nothing by others.
            None | Some(Group::Consumer(_)) => return 0,
        };
        assigned.saturating_sub(before)
    }

    fn grows_by_commit(&self, request: &CommitRequest) -> usize {
        self.grows_by_group(&request.group)
    }

    fn grows_by_group(&self, group: &str) -> usize {
        match self.groups.contains_key(group) {
            true => 0,
            false => GROUP_BYTES + NAMES_HELD * group.len(),
        }
    }

    fn grows_by_heartbeat(&self, request: &ConsumerHeartbeatRequest) -> usize {
        let group = match self.groups.get(&request.group) {
            Some(Group::Consumer(group)) => Some(group),
            _ => None,
        };
        let Some(member) = group.and_then(|group| group.members.get(&*request.member_id)) else {
            return match request.member_epoch {
                // Others are refused, or leave.
                ..0 => 0,
                _ => {
                    let names = NAMES_HELD * request.member_id.len();
                    let member = MEMBER_BYTES + names + request.stored_bytes();
                    self.grows_by_group(&request.group) + member
                }
            };
        };
        let same_topics = request
            .topics
            .as_ref()
            .is_none_or(|topics| topics.iter().all(|name| member.topics.contains(name)));
        let same_regex = request
            .regex
            .as_ref()
            .is_none_or(|regex| *regex == member.regex);
        match same_topics && same_regex {
            true => 0,
            false => request.stored_bytes(),
        }
    }
}
