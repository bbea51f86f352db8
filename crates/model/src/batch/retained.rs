//! What compaction makes of a batch: the same place in the log, with some of its records (KIP-534).

use bytes::{Bytes, BytesMut};

use super::{
    ATTRIBUTES_AT, BASE_TIMESTAMP_AT, Batch, COMPRESSION_BITS, COUNT_AT, CRC_AT, CRC_START,
    Compression, DELETE_HORIZON_BIT, HEADER_BYTES, LAST_OFFSET_DELTA_AT, LEADER_EPOCH_AT,
    LENGTH_AT, LOG_OVERHEAD_BYTES, MAX_TIMESTAMP_AT, PRODUCER_ID_AT, crc32c,
};
use crate::TimestampMs;

/// The records of a batch that stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retained {
    /// How many they are.
    pub count: i32,
    /// What their timestamp deltas count from.
    pub base_timestamp: TimestampMs,
    /// The largest timestamp among them.
    pub max_timestamp: TimestampMs,
    /// Whether the base timestamp is the time from which tombstones may go.
    pub delete_horizon: bool,
    /// How their bytes are compressed.
    pub compression: Compression,
}

impl Batch {
    /// The time from which tombstones in the batch may be removed; none if the batch was never compacted with one (KIP-534).
    #[must_use]
    pub fn delete_horizon(&self) -> Option<TimestampMs> {
        (self.attributes() & DELETE_HORIZON_BIT != 0).then(|| self.base_timestamp())
    }

    /// The same batch with the records in `payload` alone. Offsets, epochs and sequences stay, those of the last record too, so
    /// that what comes next follows it as before.
    #[must_use]
    pub fn retaining(&self, kept: Retained, payload: &[u8]) -> Batch {
        let mut attributes =
            self.attributes() & !(COMPRESSION_BITS | DELETE_HORIZON_BIT) | kept.compression.code();
        if kept.delete_horizon {
            attributes |= DELETE_HORIZON_BIT;
        }
        let size = HEADER_BYTES + payload.len();
        let mut out = BytesMut::with_capacity(size);
        out.extend_from_slice(&self.0[..HEADER_BYTES]);
        out.extend_from_slice(payload);
        let length = (size - LOG_OVERHEAD_BYTES) as i32;
        out[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&length.to_be_bytes());
        out[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&attributes.to_be_bytes());
        out[BASE_TIMESTAMP_AT..MAX_TIMESTAMP_AT]
            .copy_from_slice(&kept.base_timestamp.0.to_be_bytes());
        out[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&kept.max_timestamp.0.to_be_bytes());
        out[COUNT_AT..HEADER_BYTES].copy_from_slice(&kept.count.to_be_bytes());
        let crc = crc32c(&out[CRC_START..]);
        out[CRC_AT..CRC_START].copy_from_slice(&crc.to_be_bytes());
        Batch(Bytes::from(out))
    }

    /// The same batch without records: it tells where its producer is, and where the log was.
    #[must_use]
    pub fn emptied(&self) -> Batch {
        let none = Retained {
            count: 0,
            base_timestamp: TimestampMs::NONE,
            max_timestamp: self.max_timestamp(),
            delete_horizon: false,
            compression: Compression::None,
        };
        self.retaining(none, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;
    use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

    #[test]
    fn an_emptied_batch_keeps_its_place() {
        let mut builder = BatchBuilder::new(TimestampMs(5)).producer(
            ProducerId(7),
            ProducerEpoch(1),
            Sequence(30),
        );
        for _ in 0..3 {
            builder.push(TimestampMs(9), Some(b"k"), None, &[]);
        }
        let batch = builder.build().placed(Offset(100), LeaderEpoch(4));
        let empty = batch.emptied();
        empty.check_crc().unwrap();
        assert_eq!(
            (empty.size_bytes(), empty.record_count()),
            (HEADER_BYTES, 0)
        );
        assert_eq!(empty.next_offset(), Offset(103));
        assert_eq!(empty.last_sequence(), Sequence(32));
        assert_eq!(empty.leader_epoch(), LeaderEpoch(4));
        assert_eq!(empty.max_timestamp(), TimestampMs(9));
        assert_eq!(Batch::split_from(&mut empty.bytes().clone()), Ok(empty));
    }

    #[test]
    fn the_delete_horizon_is_the_base_timestamp() {
        let mut builder = BatchBuilder::new(TimestampMs(5));
        builder.push(TimestampMs(9), Some(b"k"), None, &[]);
        let batch = builder.build();
        assert_eq!(batch.delete_horizon(), None);
        let kept = Retained {
            count: 1,
            base_timestamp: TimestampMs(77),
            max_timestamp: TimestampMs(9),
            delete_horizon: true,
            compression: Compression::Gzip,
        };
        let marked = batch.retaining(kept, b"anything");
        marked.check_crc().unwrap();
        assert_eq!(marked.delete_horizon(), Some(TimestampMs(77)));
        assert_eq!(marked.compression(), Ok(Compression::Gzip));
        assert_eq!(marked.emptied().delete_horizon(), None);
    }
}
