//! Consumer groups, where the broker joins them to the rest: the topic that holds them, the bytes of its records, and what the
//! coordinator may know of the cluster.
//!
//! A group belongs to a partition of `__consumer_offsets` by its id's hash, as in Kafka, and is kept by the shard that owns the
//! partition (`shard/groups.rs`).

mod embedded;
mod metadata;
mod records;

use wiber_coordinator::ConsumerProtocol;

pub(crate) use metadata::Metadata;
pub(crate) use records::{RecordError, encode, read};

/// The topic that holds groups and their offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// What consumers say through the opaque bytes of a classic group.
pub(crate) const CONSUMER_PROTOCOL: ConsumerProtocol = ConsumerProtocol {
    subscription: embedded::subscription,
    assignment: embedded::assignment,
    encode_assignment: embedded::encode_assignment,
};

/// The partition of the topic that a group belongs to: Java's hash of the id, so that the mapping is Kafka's
/// (`GroupCoordinator.partitionFor`).
pub(crate) fn partition_of(group: &str, partitions: i32) -> i32 {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // `Utils.abs`: the least number becomes 0.
    hash.checked_abs().unwrap_or(0) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_go_where_kafka_has_them() {
        // `"group".hashCode()` is 98629247 in Java, and so on.
        for (group, partition) in [
            ("", 0),
            ("group", 47),
            ("console-consumer-1", 24),
            ("grüppe", 12),
        ] {
            assert_eq!(partition_of(group, 50), partition, "{group:?}");
        }
        // "polygenelubricants" has the hash of the least number.
        assert_eq!(partition_of("polygenelubricants", 50), 0);
    }
}
