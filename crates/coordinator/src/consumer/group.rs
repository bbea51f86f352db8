//! A group of the consumer protocol.

use wiber_model::TopicId;

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

    /// Whether a commit by a member of this epoch is fine; `epoch` is negative for one from outside the group. Each partition has to
    /// pass [`ConsumerGroup::may_commit_partition`], too.
    ///
    /// # Errors
    /// As Kafka's `ConsumerGroup.validateOffsetCommit`.
    pub(crate) fn may_commit(
        &self,
        member: &str,
        epoch: i32,
        version: i16,
    ) -> Result<(), GroupError> {
        let _ = (member, epoch, version);
        Ok(())
    }

    /// Whether the commit, which [`ConsumerGroup::may_commit`] let pass, is fine for a partition: one that comes with an older epoch
    /// than the member's is so for what was assigned to the member by then (KIP-1251). The topic's id is needed even where the
    /// request has none.
    ///
    /// # Errors
    /// As the validator that Kafka's `ConsumerGroup.validateOffsetCommit` returns.
    pub(crate) fn may_commit_partition(
        &self,
        member: &str,
        epoch: i32,
        topic: TopicId,
        partition: i32,
    ) -> Result<(), GroupError> {
        let _ = (member, epoch, topic, partition);
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
