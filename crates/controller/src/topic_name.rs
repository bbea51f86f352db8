//! What a topic may be called, by Kafka's rules (`org.apache.kafka.common.internals.Topic`).

use wiber_model::limit::MAX_TOPIC_NAME_BYTES;

/// Whether `name` is 1 to 249 ASCII letters, digits, dots, underscores and dashes, and neither `.` nor `..`.
#[must_use]
pub fn is_valid_topic_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !matches!(name, "" | "." | "..")
        && name.len() <= MAX_TOPIC_NAME_BYTES
        && name.bytes().all(legal)
}

/// Names with the same key may not both exist: metrics cannot tell `.` from `_`.
#[must_use]
pub fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        for name in ["a", "a.b_c-D9", "...", &"x".repeat(249)] {
            assert!(is_valid_topic_name(name), "{name}");
        }
        for name in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
            assert!(!is_valid_topic_name(name), "{name}");
        }
        assert_eq!(collision_key("a.b"), collision_key("a_b"));
    }
}
