//! The protocol that consumers of a classic group speak among themselves: between the coordinator's types and bytes.

use bytes::Bytes;
use wiber_coordinator::{Assignment, NamedPartitions, Subscription};
use wiber_protocol::internal::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartitions,
};
use wiber_protocol::internal::{decode_lenient, encode_versioned};
use wiber_protocol::{Message, Str};

/// Reads a member's metadata, and their version.
pub(super) fn subscription(bytes: &Bytes) -> Option<(Subscription, i16)> {
    let (message, version) = decode_lenient::<ConsumerProtocolSubscription>(bytes.clone()).ok()?;
    let subscription = Subscription {
        topics: message.topics.iter().map(Str::to_string).collect(),
        owned: by_topic(&message.owned_partitions),
        rack: message.rack_id.map(String::from),
    };
    Some((subscription, version))
}

/// Reads a member's assignment.
pub(super) fn assignment(bytes: &Bytes) -> Option<Assignment> {
    let (message, _) = decode_lenient::<ConsumerProtocolAssignment>(bytes.clone()).ok()?;
    Some(Assignment {
        partitions: by_topic(&message.assigned_partitions),
        has_user_data: message.user_data.is_some_and(|data| !data.is_empty()),
    })
}

/// Writes a member's assignment: in the newest version, where the member speaks a newer one.
pub(super) fn encode_assignment(assignment: &NamedPartitions, version: i16) -> Bytes {
    let message = ConsumerProtocolAssignment {
        assigned_partitions: partitions(assignment),
        user_data: None,
    };
    let version = version.min(ConsumerProtocolAssignment::VERSIONS.max);
    encode_versioned(&message, version).unwrap_or_default()
}

fn by_topic(partitions: &[TopicPartitions]) -> NamedPartitions {
    let mut topics = NamedPartitions::new();
    for part in partitions {
        let topic = topics.entry(part.topic.to_string()).or_default();
        topic.extend(&part.partitions);
    }
    topics
}

fn partitions(topics: &NamedPartitions) -> Vec<TopicPartitions> {
    let part = |(topic, partitions): (&String, &Vec<i32>)| TopicPartitions {
        topic: topic.as_str().into(),
        partitions: partitions.clone(),
    };
    topics.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_speaks_a_newer_version_gets_its_assignment() {
        let partitions = NamedPartitions::from([("topic".to_owned(), vec![0, 2])]);
        for version in [0, 3, 4, i16::MAX] {
            let bytes = encode_assignment(&partitions, version);
            let read = assignment(&bytes).expect("an assignment");
            assert_eq!(read.partitions, partitions, "version {version}");
        }
    }
}
