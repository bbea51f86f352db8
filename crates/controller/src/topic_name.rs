//! What a topic may be called, by Kafka's rules (`org.apache.kafka.common.internals.Topic`).

use std::borrow::Cow;

use wiber_model::limit::MAX_TOPIC_NAME_BYTES;

/// Whether `name` is 1 to 249 ASCII letters, digits, dots, underscores and dashes, and neither `.` nor `..`.
#[must_use]
pub fn is_valid_topic_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !matches!(name, "" | "." | "..")
        && name.len() <= MAX_TOPIC_NAME_BYTES
        && name.bytes().all(legal)
}

/// Kafka's name of the metadata log, which no topic can have.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether a topic of that name belongs to the brokers (`Topic.isInternal`): it is not made because a client names it.
#[must_use]
pub fn is_internal_topic(name: &str) -> bool {
    [
        "__consumer_offsets",
        "__transaction_state",
        "__share_group_state",
    ]
    .contains(&name)
}

/// Names with the same key may not both exist: in the names of Kafka's metrics a dot becomes an underscore.
#[must_use]
pub fn collision_key(name: &str) -> Cow<'_, str> {
    if name.contains('.') {
        Cow::Owned(name.replace('.', "_"))
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        let longest = "x".repeat(MAX_TOPIC_NAME_BYTES);
        for name in ["a", "a.b_c-D9", "...", "-", &longest] {
            assert!(is_valid_topic_name(name), "{name}");
        }
        let too_long = "x".repeat(MAX_TOPIC_NAME_BYTES + 1);
        for name in ["", ".", "..", "a b", "ä", "a/b", "a\0", &too_long] {
            assert!(!is_valid_topic_name(name), "{name}");
        }
    }

    #[test]
    fn dots_and_underscores_are_one() {
        assert_eq!(collision_key("a.b_c"), collision_key("a_b.c"));
        assert_ne!(collision_key("a-b"), collision_key("a_b"));
        assert!(matches!(collision_key("plain"), Cow::Borrowed("plain")));
    }
}
