//! The records of `__consumer_offsets`: between the coordinator's types and the bytes that Kafka gives them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::{Buf, Bytes};
use wiber_coordinator::{
    AssignedPartitions, ClassicGroupRecord, ClassicMemberRecord, ClassicProtocols,
    ConsumerMemberRecord, CurrentAssignmentRecord, OffsetRecord, Record, RegexRecord,
};
use wiber_model::{LeaderEpoch, Offset, TimestampMs, TopicId};
use wiber_protocol::internal::consumer_group as consumer;
use wiber_protocol::internal::group_metadata as classic;
use wiber_protocol::internal::offset_commit as offsets;
use wiber_protocol::internal::{decode_versioned, encode_numbered, encode_versioned};
use wiber_protocol::{DecodeError, EncodeError, Message, Str};

/// Keys of share groups and streams groups, which Kafka keeps in the same topic and Wiber does not have.
const KEYS_OF_OTHER_GROUPS: RangeInclusive<i16> = 9..=26;

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// It has no key, or one that does not even begin.
    #[error("the record has no key")]
    NoKey,
    /// Its key is of a kind that nobody knows.
    #[error("the record's key is of type {0}, which this release does not know")]
    UnknownKey(i16),
    /// Key or value is damaged.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// Key and value of a record; no value is a tombstone.
///
/// # Errors
/// If a string in it is longer than the format can say.
pub(crate) fn encode(record: &Record) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    match record {
        Record::Offset {
            group,
            topic,
            partition,
            value,
        } => {
            let key = offsets::OffsetCommitKey {
                group: group.as_str().into(),
                topic: topic.as_str().into(),
                partition: *partition,
            };
            Ok((
                encode_numbered(&key, offsets::KEY, 0)?,
                value.as_ref().map(encode_offset).transpose()?,
            ))
        }
        Record::ClassicGroup { group, value } => {
            let key = classic::GroupMetadataKey {
                group: group.as_str().into(),
            };
            Ok((
                encode_numbered(&key, classic::KEY, 0)?,
                value.as_ref().map(encode_classic).transpose()?,
            ))
        }
        Record::ConsumerGroup { group, value } => {
            let value = value.map(
                |(epoch, metadata_hash)| consumer::ConsumerGroupMetadataValue {
                    epoch,
                    metadata_hash,
                },
            );
            of_group(consumer::METADATA_KEY, group, value)
        }
        Record::ConsumerPartitionMetadata { group, value: _ } => {
            // Only its tombstone is ever written.
            of_group::<consumer::ConsumerGroupMetadataValue>(
                consumer::PARTITION_METADATA_KEY,
                group,
                None,
            )
        }
        Record::ConsumerMember {
            group,
            member,
            value,
        } => {
            let value = value.as_ref().map(member_value);
            of_element(consumer::MEMBER_METADATA_KEY, group, member, value)
        }
        Record::ConsumerTargetEpoch { group, value } => {
            let value =
                value.map(
                    |(epoch, at)| consumer::ConsumerGroupTargetAssignmentMetadataValue {
                        assignment_epoch: epoch,
                        assignment_timestamp: at.0,
                    },
                );
            of_group(consumer::TARGET_METADATA_KEY, group, value)
        }
        Record::ConsumerTarget {
            group,
            member,
            value,
        } => {
            let value = value.as_ref().map(|partitions| {
                let part = |(topic, partitions): (&TopicId, &Vec<i32>)| consumer::TopicPartitions {
                    topic_id: *topic,
                    partitions: partitions.clone(),
                };
                consumer::ConsumerGroupTargetAssignmentMemberValue {
                    topic_partitions: partitions.iter().map(part).collect(),
                }
            });
            of_element(consumer::TARGET_MEMBER_KEY, group, member, value)
        }
        Record::ConsumerCurrent {
            group,
            member,
            value,
        } => {
            let value = value.as_ref().map(current_value);
            of_element(consumer::CURRENT_ASSIGNMENT_KEY, group, member, value)
        }
        Record::ConsumerRegex {
            group,
            regex,
            value,
        } => {
            let value = value
                .as_ref()
                .map(|value| consumer::ConsumerGroupRegularExpressionValue {
                    topics: strs(&value.topics),
                    version: value.version,
                    timestamp: value.at.0,
                });
            of_element(consumer::REGULAR_EXPRESSION_KEY, group, regex, value)
        }
    }
}

/// Reads a record; none if it belongs to a kind of group that is not kept here.
///
/// # Errors
/// If the bytes are not a record of this topic.
pub(crate) fn read(
    key: Option<Bytes>,
    value: Option<Bytes>,
) -> Result<Option<Record>, RecordError> {
    let mut key = key.ok_or(RecordError::NoKey)?;
    let number = key.try_get_i16().map_err(|_| RecordError::NoKey)?;
    let record = match number {
        offsets::LEGACY_KEY | offsets::KEY => {
            let key = offsets::OffsetCommitKey::decode(key, 0)?;
            Record::Offset {
                group: key.group.into(),
                topic: key.topic.into(),
                partition: key.partition,
                value: versioned(value)?.map(offset_record),
            }
        }
        classic::KEY => Record::ClassicGroup {
            group: classic::GroupMetadataKey::decode(key, 0)?.group.into(),
            value: versioned(value)?.map(classic_record),
        },
        consumer::METADATA_KEY => Record::ConsumerGroup {
            group: group_of(key)?,
            value: versioned(value)?.map(|value: consumer::ConsumerGroupMetadataValue| {
                (value.epoch, value.metadata_hash)
            }),
        },
        consumer::PARTITION_METADATA_KEY => Record::ConsumerPartitionMetadata {
            group: group_of(key)?,
            value: value.map(|_| ()),
        },
        consumer::MEMBER_METADATA_KEY => {
            let (group, member) = element_of(key)?;
            Record::ConsumerMember {
                group,
                member,
                value: versioned(value)?.map(member_record),
            }
        }
        consumer::TARGET_METADATA_KEY => Record::ConsumerTargetEpoch {
            group: group_of(key)?,
            value: versioned(value)?.map(
                |value: consumer::ConsumerGroupTargetAssignmentMetadataValue| {
                    let at = TimestampMs(value.assignment_timestamp);
                    (value.assignment_epoch, at)
                },
            ),
        },
        consumer::TARGET_MEMBER_KEY => {
            let (group, member) = element_of(key)?;
            Record::ConsumerTarget {
                group,
                member,
                value: versioned(value)?.map(
                    |value: consumer::ConsumerGroupTargetAssignmentMemberValue| {
                        let part =
                            |part: consumer::TopicPartitions| (part.topic_id, part.partitions);
                        value.topic_partitions.into_iter().map(part).collect()
                    },
                ),
            }
        }
        consumer::CURRENT_ASSIGNMENT_KEY => {
            let (group, member) = element_of(key)?;
            Record::ConsumerCurrent {
                group,
                member,
                value: versioned(value)?.map(current_record),
            }
        }
        consumer::REGULAR_EXPRESSION_KEY => {
            let (group, regex) = element_of(key)?;
            Record::ConsumerRegex {
                group,
                regex,
                value: versioned(value)?.map(
                    |value: consumer::ConsumerGroupRegularExpressionValue| RegexRecord {
                        topics: strings(&value.topics),
                        version: value.version,
                        at: TimestampMs(value.timestamp),
                    },
                ),
            }
        }
        other if KEYS_OF_OTHER_GROUPS.contains(&other) => return Ok(None),
        other => return Err(RecordError::UnknownKey(other)),
    };
    Ok(Some(record))
}

fn of_group<M: Message>(
    number: i16,
    group: &str,
    value: Option<M>,
) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    let key = consumer::ConsumerGroupKey {
        group_id: group.into(),
    };
    Ok((encode_numbered(&key, number, 0)?, written(value)?))
}

fn of_element<M: Message>(
    number: i16,
    group: &str,
    element: &str,
    value: Option<M>,
) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    let key = consumer::ConsumerGroupElementKey {
        group_id: group.into(),
        element: element.into(),
    };
    Ok((encode_numbered(&key, number, 0)?, written(value)?))
}

fn written<M: Message>(value: Option<M>) -> Result<Option<Bytes>, EncodeError> {
    value
        .map(|value| encode_versioned(&value, consumer::VALUE_VERSION))
        .transpose()
}

fn versioned<M: Message>(value: Option<Bytes>) -> Result<Option<M>, DecodeError> {
    value
        .map(|value| Ok(decode_versioned::<M>(value)?.0))
        .transpose()
}

fn group_of(key: Bytes) -> Result<String, DecodeError> {
    Ok(consumer::ConsumerGroupKey::decode(key, 0)?.group_id.into())
}

fn element_of(key: Bytes) -> Result<(String, String), DecodeError> {
    let key = consumer::ConsumerGroupElementKey::decode(key, 0)?;
    Ok((key.group_id.into(), key.element.into()))
}

fn strs(strings: &[String]) -> Vec<Str> {
    strings
        .iter()
        .map(|string| string.as_str().into())
        .collect()
}

fn strings(strs: &[Str]) -> Vec<String> {
    strs.iter().map(Str::to_string).collect()
}

fn encode_offset(value: &OffsetRecord) -> Result<Bytes, EncodeError> {
    // As Kafka chooses it: the oldest version that can say all (`GroupCoordinatorRecordHelpers.newOffsetCommitRecord`).
    let version = if value.expires_at.is_some() {
        offsets::EXPIRING_VERSION
    } else if value.topic_id != TopicId::ZERO {
        offsets::TOPIC_ID_VERSION
    } else {
        offsets::VALUE_VERSION
    };
    let message = offsets::OffsetCommitValue {
        offset: value.offset.0,
        leader_epoch: value.leader_epoch.0,
        metadata: value.metadata.as_str().into(),
        commit_timestamp: value.committed_at.0,
        expire_timestamp: value.expires_at.unwrap_or(TimestampMs::NONE).0,
        topic_id: value.topic_id,
    };
    encode_versioned(&message, version)
}

fn offset_record(value: offsets::OffsetCommitValue) -> OffsetRecord {
    OffsetRecord {
        offset: Offset(value.offset),
        leader_epoch: LeaderEpoch(value.leader_epoch),
        metadata: value.metadata.into(),
        committed_at: TimestampMs(value.commit_timestamp),
        expires_at: Some(TimestampMs(value.expire_timestamp)).filter(|at| *at != TimestampMs::NONE),
        topic_id: value.topic_id,
    }
}

fn encode_classic(value: &ClassicGroupRecord) -> Result<Bytes, EncodeError> {
    let member = |member: &ClassicMemberRecord| classic::MemberMetadata {
        member_id: member.member_id.as_str().into(),
        group_instance_id: member.instance_id.as_deref().map(Str::from),
        client_id: member.client_id.as_str().into(),
        client_host: member.client_host.as_str().into(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.subscription.clone(),
        assignment: member.assignment.clone(),
    };
    let message = classic::GroupMetadataValue {
        protocol_type: value.protocol_type.as_str().into(),
        generation: value.generation,
        protocol: value.protocol.as_deref().map(Str::from),
        leader: value.leader.as_deref().map(Str::from),
        current_state_timestamp: value.state_since.0,
        members: value.members.iter().map(member).collect(),
    };
    encode_versioned(&message, classic::VALUE_VERSION)
}

fn classic_record(value: classic::GroupMetadataValue) -> ClassicGroupRecord {
    let member = |member: classic::MemberMetadata| ClassicMemberRecord {
        member_id: member.member_id.into(),
        instance_id: member.group_instance_id.map(String::from),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        rebalance_timeout_ms: match member.rebalance_timeout {
            // Version 0 does not have it.
            0 => member.session_timeout,
            timeout => timeout,
        },
        session_timeout_ms: member.session_timeout,
        subscription: Bytes::copy_from_slice(&member.subscription),
        assignment: Bytes::copy_from_slice(&member.assignment),
    };
    ClassicGroupRecord {
        protocol_type: value.protocol_type.into(),
        generation: value.generation,
        protocol: value.protocol.map(String::from),
        leader: value.leader.map(String::from),
        state_since: TimestampMs(value.current_state_timestamp),
        members: value.members.into_iter().map(member).collect(),
    }
}

fn member_value(value: &ConsumerMemberRecord) -> consumer::ConsumerGroupMemberMetadataValue {
    let classic = |classic: &ClassicProtocols| consumer::ClassicMemberMetadata {
        session_timeout_ms: classic.session_timeout_ms,
        supported_protocols: classic
            .protocols
            .iter()
            .map(|(name, metadata)| consumer::ClassicProtocol {
                name: name.as_str().into(),
                metadata: metadata.clone(),
            })
            .collect(),
    };
    consumer::ConsumerGroupMemberMetadataValue {
        instance_id: value.instance_id.as_deref().map(Str::from),
        rack_id: value.rack_id.as_deref().map(Str::from),
        client_id: value.client_id.as_str().into(),
        client_host: value.client_host.as_str().into(),
        subscribed_topic_names: strs(&value.topics),
        subscribed_topic_regex: value.regex.as_deref().map(Str::from),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        server_assignor: value.assignor.as_deref().map(Str::from),
        classic_member_metadata: value.classic.as_ref().map(classic),
    }
}

fn member_record(value: consumer::ConsumerGroupMemberMetadataValue) -> ConsumerMemberRecord {
    let protocol = |protocol: consumer::ClassicProtocol| {
        let metadata = Bytes::copy_from_slice(&protocol.metadata);
        (protocol.name.into(), metadata)
    };
    ConsumerMemberRecord {
        instance_id: value.instance_id.map(String::from),
        rack_id: value.rack_id.map(String::from),
        client_id: value.client_id.into(),
        client_host: value.client_host.into(),
        topics: strings(&value.subscribed_topic_names),
        regex: value.subscribed_topic_regex.map(String::from),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        assignor: value.server_assignor.map(String::from),
        classic: value
            .classic_member_metadata
            .map(|classic| ClassicProtocols {
                session_timeout_ms: classic.session_timeout_ms,
                protocols: classic
                    .supported_protocols
                    .into_iter()
                    .map(protocol)
                    .collect(),
            }),
    }
}

fn current_value(
    value: &CurrentAssignmentRecord,
) -> consumer::ConsumerGroupCurrentMemberAssignmentValue {
    let all = |partitions: &AssignedPartitions| {
        let part =
            |(topic, partitions): (&TopicId, &BTreeMap<i32, i32>)| consumer::AssignedPartitions {
                topic_id: *topic,
                partitions: partitions.keys().copied().collect(),
                assignment_epochs: Some(partitions.values().copied().collect()),
            };
        partitions.iter().map(part).collect()
    };
    consumer::ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: value.epoch,
        previous_member_epoch: value.previous_epoch,
        state: value.state,
        assigned_partitions: all(&value.assigned),
        partitions_pending_revocation: all(&value.revoking),
    }
}

fn current_record(
    value: consumer::ConsumerGroupCurrentMemberAssignmentValue,
) -> CurrentAssignmentRecord {
    let unknown = value.member_epoch.max(0);
    let all = |partitions: Vec<consumer::AssignedPartitions>| {
        let part = |part: consumer::AssignedPartitions| {
            let epochs = part
                .assignment_epochs
                .filter(|epochs| epochs.len() == part.partitions.len())
                .unwrap_or_else(|| vec![unknown; part.partitions.len()]);
            let partitions = part.partitions.into_iter().zip(epochs).collect();
            (part.topic_id, partitions)
        };
        partitions.into_iter().map(part).collect()
    };
    CurrentAssignmentRecord {
        epoch: value.member_epoch,
        previous_epoch: value.previous_member_epoch,
        state: value.state,
        assigned: all(value.assigned_partitions),
        revoking: all(value.partitions_pending_revocation),
    }
}
