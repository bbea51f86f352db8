//! Classic groups: a leader among the members assigns, the coordinator knows who is in and passes the assignments on.

mod group;
mod heartbeat;
mod join;
mod leave;
mod member;
mod rebalance;
mod sync;

pub(crate) use group::{CONSUMER_PROTOCOL_TYPE, ClassicGroup, State};
pub(crate) use member::Member;

use crate::coordinator::ReplyTo;
use crate::error::GroupError;
use crate::groups::{Group, Groups};
use crate::record::{ClassicGroupRecord, RECORD_BYTES_MAX, STRING_BYTES_MAX};
use crate::request::{HeartbeatRequest, JoinRequest, LeaveRequest, SyncRequest};
use crate::response::{ClassicDescription, LeftMember, Response};
use crate::step::Step;

/// What the id of a new member has after its beginning: a dash and a UUID. In bytes.
const ID_SUFFIX_BYTES: usize = 37;

impl Groups {
    /// JoinGroup.
    pub(crate) fn join(&mut self, step: &mut Step<'_>, to: ReplyTo, mut request: JoinRequest) {
        let bounds = step.config.min_session_timeout_ms..=step.config.max_session_timeout_ms;
        let error = if request.group.is_empty() {
            Some(GroupError::InvalidGroupId)
        } else if !bounds.contains(&request.session_timeout_ms) {
            Some(GroupError::InvalidSessionTimeout)
        } else if request.stored_bytes() > RECORD_BYTES_MAX {
            Some(GroupError::RecordTooLarge)
        } else if request.member_id.is_empty()
            && request.id_prefix().len() + ID_SUFFIX_BYTES > STRING_BYTES_MAX
        {
            Some(GroupError::InvalidRequest(
                "the member's id would be too long: it begins with the client's id or the group.instance.id".to_owned(),
            ))
        } else {
            None
        };
        if let Some(error) = error {
            step.reply(to, group::refused(request.member_id, error));
            return;
        }
        request.protocols = member::each_once(request.protocols);
        match self.groups.get(&request.group) {
            Some(Group::Consumer(group)) if !group.is_empty() => {
                self.consumer_classic_join(step, to, request);
                return;
            }
            // Who has an id already cannot have it from the group that is empty.
            Some(Group::Consumer(_)) if request.member_id.is_empty() => {
                self.remove_group(step, &request.group);
            }
            Some(_) | None => {}
        }
        self.join_classic(step, to, &request);
    }

    fn join_classic(&mut self, step: &mut Step<'_>, to: ReplyTo, request: &JoinRequest) {
        let is_known = matches!(self.groups.get(&request.group), Some(Group::Classic(_)));
        if !is_known && !request.member_id.is_empty() {
            let error = GroupError::UnknownMemberId;
            step.reply(to, group::refused(request.member_id.clone(), error));
            return;
        }
        if !is_known {
            let group = ClassicGroup::new(request.group.clone(), Some(step.now.wall));
            step.append(group.record());
            self.groups
                .insert(request.group.clone(), Group::Classic(group));
        }
        if let Some(Group::Classic(group)) = self.groups.get_mut(&request.group) {
            group.join(step, &self.protocol, to, request);
        }
    }

    /// SyncGroup.
    pub(crate) fn sync(&mut self, step: &mut Step<'_>, to: ReplyTo, request: SyncRequest) {
        if request.group.is_empty() {
            step.reply(to, Response::Sync(Err(GroupError::InvalidGroupId)));
            return;
        }
        match self.groups.get_mut(&request.group) {
            Some(Group::Classic(group)) => group.sync(step, &self.protocol, to, request),
            Some(Group::Consumer(group)) if !group.is_empty() => {
                self.consumer_classic_sync(step, to, request);
            }
            _ => step.reply(to, Response::Sync(Err(GroupError::UnknownMemberId))),
        }
    }

    /// Heartbeat.
    pub(crate) fn heartbeat(
        &mut self,
        step: &mut Step<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(), GroupError> {
        if request.group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        match self.groups.get_mut(&request.group) {
            Some(Group::Classic(group)) => group.heartbeat(step, request),
            Some(Group::Consumer(_)) => self.consumer_classic_heartbeat(step, request),
            None => Err(GroupError::UnknownMemberId),
        }
    }

    /// LeaveGroup.
    pub(crate) fn leave(
        &mut self,
        step: &mut Step<'_>,
        request: LeaveRequest,
    ) -> Result<Vec<LeftMember>, GroupError> {
        if request.group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let members = request.members;
        let results = match self.groups.get_mut(&request.group) {
            Some(Group::Classic(group)) => group.leave(step, &self.protocol, &members),
            Some(Group::Consumer(_)) => self.consumer_classic_leave(step, &request.group, &members),
            None => vec![Err(GroupError::UnknownMemberId); members.len()],
        };
        let left = members.into_iter().zip(results);
        let left = left.map(|(member, result)| LeftMember {
            member_id: member.member_id,
            instance_id: member.instance_id,
            result,
        });
        Ok(left.collect())
    }

    /// DescribeGroups, of one group.
    pub(crate) fn describe_classic(
        &self,
        group: &str,
        version: i16,
    ) -> Result<ClassicDescription, GroupError> {
        /// The first version that has a code for a group that is not there.
        const VERSION_WITH_NOT_FOUND: i16 = 6;
        let error = match self.groups.get(group) {
            Some(Group::Classic(group)) => return Ok(group.describe()),
            Some(Group::Consumer(_)) => format!("Group {group} is not a classic group."),
            None => format!("Group {group} not found."),
        };
        if version >= VERSION_WITH_NOT_FOUND {
            return Err(GroupError::GroupIdNotFound(error));
        }
        Ok(ClassicDescription {
            state: "Dead",
            ..ClassicDescription::default()
        })
    }

    /// A member of a classic group was silent for too long.
    pub(crate) fn classic_session_timed_out(
        &mut self,
        step: &mut Step<'_>,
        group: &str,
        member: &str,
    ) {
        if let Some(Group::Classic(group)) = self.groups.get_mut(group) {
            group.session_timed_out(step, &self.protocol, member);
        }
    }

    /// The members of a classic group had their time to join.
    pub(crate) fn classic_join_timed_out(&mut self, step: &mut Step<'_>, group: &str) {
        if let Some(Group::Classic(group)) = self.groups.get_mut(group) {
            group.join_timed_out(step, &self.protocol);
        }
    }

    /// The members of a classic group had their time to sync.
    pub(crate) fn classic_sync_timed_out(&mut self, step: &mut Step<'_>, group: &str) {
        if let Some(Group::Classic(group)) = self.groups.get_mut(group) {
            group.sync_timed_out(step, &self.protocol);
        }
    }

    /// All records were replayed: sessions begin anew, groups that were to rebalance do, and those that are too large, so that members
    /// can commit before they are sent away.
    pub(crate) fn classic_loaded(&mut self, step: &mut Step<'_>) {
        let max = usize::try_from(step.config.max_size).unwrap_or(0);
        for group in self.groups.values_mut() {
            let Group::Classic(group) = group else {
                continue;
            };
            for id in group.members().keys() {
                group.extend_session(step, id);
            }
            if group.members().len() > max {
                group.prepare_rebalance(step, &self.protocol, "the group is too large");
            } else if group.state() == State::PreparingRebalance {
                group.prepare_rebalance(step, &self.protocol, "it was to rebalance");
            }
        }
    }

    /// Folds a `GroupMetadata` record in: the group as of its last rebalance.
    pub(crate) fn replay_classic(&mut self, group: String, value: Option<ClassicGroupRecord>) {
        match value {
            Some(value) => {
                let restored = ClassicGroup::restore(group.clone(), value, &self.protocol);
                self.groups.insert(group, Group::Classic(restored));
            }
            None => {
                self.groups.remove(&group);
            }
        }
    }

    /// Makes the group that keeps the offsets of those who commit without being members, if there is no group yet.
    pub(crate) fn ensure_simple(&mut self, group: &str) {
        if !self.groups.contains_key(group) {
            let simple = ClassicGroup::new(group.to_owned(), None);
            self.groups.insert(group.to_owned(), Group::Classic(simple));
        }
    }
}
