//! Classic groups: a leader among the members assigns, the coordinator knows who is in and passes the assignments on.

mod group;

pub(crate) use group::ClassicGroup;

use crate::groups::{Group, Groups};
use crate::record::ClassicGroupRecord;

impl Groups {
    /// Folds a `GroupMetadata` record in: the group as of its last rebalance.
    pub(crate) fn replay_classic(&mut self, group: String, value: Option<ClassicGroupRecord>) {
        match value {
            Some(value) => {
                let restored = ClassicGroup::restore(value);
                self.groups.insert(group, Group::Classic(restored));
            }
            None => {
                self.groups.remove(&group);
            }
        }
    }
}
