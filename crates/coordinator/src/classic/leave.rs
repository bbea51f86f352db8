//! LeaveGroup from a classic group.

use tracing::info;

use super::group::ClassicGroup;
use crate::cluster::ConsumerProtocol;
use crate::error::GroupError;
use crate::request::LeavingMember;
use crate::step::Step;

impl ClassicGroup {
    /// Members leave, or an operator removes static ones; the result of each, in their order.
    pub(super) fn leave(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        members: &[LeavingMember],
    ) -> Vec<Result<(), GroupError>> {
        let mut results = Vec::with_capacity(members.len());
        for member in members {
            let result = self.leaving(member);
            if let Ok(id) = &result {
                let reason = member.reason.as_deref().unwrap_or("it does not say why");
                info!(group = self.id, member = id, reason, "leaves");
                self.remove(step, id);
            }
            results.push(result.map(|_| ()));
        }
        if results.iter().any(Result::is_ok) {
            self.after_removal(step, reader, "members left");
        }
        results
    }

    /// The id of who leaves.
    fn leaving(&self, member: &LeavingMember) -> Result<String, GroupError> {
        let instance = member.instance_id.as_deref();
        if member.member_id.is_empty() {
            let id = instance.and_then(|instance| self.static_members.get(instance));
            return id.cloned().ok_or(GroupError::UnknownMemberId);
        }
        if !self.pending_joins.contains(&member.member_id) {
            self.check_member(&member.member_id, instance)?;
        }
        Ok(member.member_id.clone())
    }
}
