//! OffsetDelete and DeleteGroups.

use crate::classic::State;
use crate::error::GroupError;
use crate::groups::{Group, Groups, not_found};
use crate::record::Record;
use crate::request::DeleteOffsetsRequest;
use crate::step::Step;

impl Groups {
    /// OffsetDelete: the result of each partition, in their order.
    pub(crate) fn delete_offsets(
        &mut self,
        step: &mut Step<'_>,
        request: DeleteOffsetsRequest,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if request.group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let group = self.groups.get(&request.group);
        match group {
            None => return Err(not_found(&request.group)),
            // What members other than consumers use, nobody knows.
            Some(Group::Classic(group))
                if group.state() != State::Empty && !group.is_of_consumers() =>
            {
                return Err(GroupError::NonEmptyGroup);
            }
            Some(_) => {}
        }
        let mut results = Vec::with_capacity(request.partitions.len());
        for (topic, partition) in request.partitions {
            let group = self.groups.get(&request.group);
            if group.is_some_and(|group| group.is_subscribed(&topic)) {
                results.push(Err(GroupError::GroupSubscribedToTopic));
                continue;
            }
            if self
                .offsets
                .get(&request.group, &topic, partition)
                .is_some()
            {
                self.emit(step, tombstone(&request.group, topic, partition));
            }
            results.push(Ok(()));
        }
        Ok(results)
    }

    /// DeleteGroups, of one group: its offsets go with it.
    pub(crate) fn delete_group(&mut self, step: &mut Step<'_>, id: &str) -> Result<(), GroupError> {
        let group = self.groups.get(id).ok_or_else(|| not_found(id))?;
        if !group.is_empty() {
            return Err(GroupError::NonEmptyGroup);
        }
        let offsets = self.offsets.group(id);
        let partitions = offsets
            .into_iter()
            .flatten()
            .flat_map(|(topic, committed)| {
                committed
                    .keys()
                    .map(|partition| (topic.clone(), *partition))
            });
        let partitions: Vec<(String, i32)> = partitions.collect();
        for (topic, partition) in partitions {
            self.emit(step, tombstone(id, topic, partition));
        }
        self.remove_group(step, id);
        Ok(())
    }
}

/// The record that takes an offset away.
pub(super) fn tombstone(group: &str, topic: String, partition: i32) -> Record {
    Record::Offset {
        group: group.to_owned(),
        topic,
        partition,
        value: None,
    }
}
