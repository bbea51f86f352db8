//! The bounds that more than one crate must agree on; a limit of one crate alone stands in that crate. Each name ends in its unit.

/// The largest request or response frame, as Kafka's `socket.request.max.bytes`.
pub const MAX_FRAME_BYTES: usize = 100 * 1024 * 1024;

/// The largest record batch that a topic may be configured to take; `max.message.bytes` cannot go beyond it, and a WAL
/// extent always has room for one.
pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Kafka's default of `max.message.bytes`: 1 MiB and the overhead of a batch.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 1024 * 1024 + 12;

/// The largest payload that a compressed batch may unfold to.
pub const MAX_DECOMPRESSED_BATCH_BYTES: u64 = 1024 * 1024 * 1024;

/// The longest topic name, as in Kafka.
pub const MAX_TOPIC_NAME_BYTES: usize = 249;

/// The most partitions of one topic that a request may ask for.
pub const MAX_PARTITIONS_PER_TOPIC: i32 = 10_000;
