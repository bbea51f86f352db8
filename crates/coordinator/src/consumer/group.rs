//! A group of the consumer protocol.

use crate::error::GroupError;
use crate::record::Record;

/// A group of the consumer protocol.
#[derive(Debug, Default)]
pub(crate) struct ConsumerGroup {}

impl ConsumerGroup {
    /// Kafka's word for the group's state.
    pub(crate) fn state(&self) -> &'static str {
        "Empty"
    }

    /// Whether the group has no members.
    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    /// Whether a member is subscribed to a topic.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        let _ = topic;
        false
    }

    /// Whether a commit by a member of this epoch is fine; `epoch` is negative for one from outside the group.
    ///
    /// # Errors
    /// As Kafka's `ConsumerGroup.validateOffsetCommit`.
    pub(crate) fn may_commit(
        &self,
        member: &str,
        instance: Option<&str>,
        epoch: i32,
        version: i16,
    ) -> Result<(), GroupError> {
        let _ = (member, instance, epoch, version);
        Ok(())
    }

    /// Whether a member of this epoch may read what is committed.
    ///
    /// # Errors
    /// As Kafka's `ConsumerGroup.validateOffsetFetch`.
    pub(crate) fn may_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), GroupError> {
        let _ = (member, epoch);
        Ok(())
    }

    /// The tombstones of all that is stored of the group, in the order in which Kafka writes them.
    pub(crate) fn tombstones(&self, group: &str, records: &mut Vec<Record>) {
        let _ = (group, records);
    }

    /// Checks the group's invariants.
    pub(crate) fn validate(&self, group: &str) {
        let _ = group;
    }
}
