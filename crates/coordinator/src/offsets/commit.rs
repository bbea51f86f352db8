//! OffsetCommit.

use wiber_model::mutant::{self, Mutant};
use wiber_model::{TimestampMs, TopicId};

use crate::classic::{ClassicGroup, State};
use crate::consumer::ConsumerGroup;
use crate::error::GroupError;
use crate::groups::{Group, Groups, not_found};
use crate::record::{OffsetRecord, RECORD_BYTES_MAX, Record};
use crate::request::{CommitOffset, CommitRequest};
use crate::step::Step;

/// The first version of OffsetCommit that has a code for a group that is not there.
const VERSION_WITH_NOT_FOUND: i16 = 9;

impl Groups {
    /// OffsetCommit: the result of each offset, in their order.
    pub(crate) fn commit(
        &mut self,
        step: &mut Step<'_>,
        request: CommitRequest,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.groups.get(&request.group) {
            Some(Group::Classic(group)) => may_commit_classic(step, group, &request)?,
            Some(Group::Consumer(group)) => may_commit_consumer(step, group, &request)?,
            // Who is no member may keep its offsets here all the same: the group comes to be with the first of them.
            None if request.generation_or_epoch < 0 => {}
            None if request.version >= VERSION_WITH_NOT_FOUND => {
                return Err(not_found(&request.group));
            }
            None => return Err(GroupError::IllegalGeneration),
        }
        let now = step.now.wall;
        let expires_at = request
            .retention_ms
            .map(|retention_ms| TimestampMs(now.0.saturating_add(retention_ms)));
        let mut results = Vec::with_capacity(request.offsets.len());
        for offset in request.offsets {
            if is_too_large(step, &offset) {
                results.push(Err(GroupError::OffsetMetadataTooLarge));
                continue;
            }
            let value = OffsetRecord {
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                topic_id: topic_id(step, &offset),
                metadata: offset.metadata,
                committed_at: now,
                expires_at,
            };
            let record = Record::Offset {
                group: request.group.clone(),
                topic: offset.topic,
                partition: offset.partition,
                value: Some(value),
            };
            self.emit(step, record);
            results.push(Ok(()));
        }
        Ok(results)
    }
}

/// Whether a commit may be made to a classic group. A member's commit counts as a sign of life.
fn may_commit_classic(
    step: &mut Step<'_>,
    group: &ClassicGroup,
    request: &CommitRequest,
) -> Result<(), GroupError> {
    let instance = request.instance_id.as_deref();
    let by_nobody = request.member_id.is_empty() && instance.is_none();
    if request.generation_or_epoch < 0 && group.state() == State::Empty {
        return Ok(());
    }
    if request.generation_or_epoch < 0 && by_nobody {
        return Err(GroupError::UnknownMemberId);
    }
    group.check_member(&request.member_id, instance)?;
    let current = request.generation_or_epoch == group.generation();
    if !current && !mutant::active(Mutant::StaleGenerationCommits) {
        return Err(GroupError::IllegalGeneration);
    }
    match group.state() {
        // The member knows of the generation, but not yet what it has in it.
        State::CompletingRebalance => Err(GroupError::RebalanceInProgress),
        State::Stable | State::PreparingRebalance => {
            group.extend_session(step, &request.member_id);
            Ok(())
        }
        State::Empty => Ok(()),
    }
}

/// Whether a commit may be made to a group of the consumer protocol.
fn may_commit_consumer(
    step: &Step<'_>,
    group: &ConsumerGroup,
    request: &CommitRequest,
) -> Result<(), GroupError> {
    if mutant::active(Mutant::StaleEpochCommits) {
        return Ok(());
    }
    let (member, epoch) = (&request.member_id, request.generation_or_epoch);
    group.may_commit(member, epoch, request.version)?;
    for offset in &request.offsets {
        if !is_too_large(step, offset) {
            let topic = topic_id(step, offset);
            group.may_commit_partition(member, epoch, topic, offset.partition)?;
        }
    }
    Ok(())
}

/// Whether the metadata of a commit are larger than allowed. Kafka counts Java's characters, units of UTF-16.
fn is_too_large(step: &Step<'_>, offset: &CommitOffset) -> bool {
    let max = usize::try_from(step.config.offset_metadata_max_bytes).unwrap_or(0);
    let bytes = offset.metadata.len();
    bytes > RECORD_BYTES_MAX || bytes > max && offset.metadata.encode_utf16().count() > max
}

/// The id of the topic that is committed for, also where the request has only its name.
fn topic_id(step: &Step<'_>, offset: &CommitOffset) -> TopicId {
    if offset.topic_id == TopicId::ZERO {
        step.cluster
            .topic_id(&offset.topic)
            .unwrap_or(TopicId::ZERO)
    } else {
        offset.topic_id
    }
}
