//! Builds uncompressed batches, for whoever is a producer: the command line, the load generator, tests, simulation.

use bytes::{Bytes, BytesMut};

use super::{
    ATTRIBUTES_AT, BASE_SEQUENCE_AT, BASE_TIMESTAMP_AT, Batch, CONTROL_BIT, COUNT_AT, CRC_AT,
    CRC_START, Compression, HEADER_BYTES, LAST_OFFSET_DELTA_AT, LEADER_EPOCH_AT, LENGTH_AT,
    LOG_OVERHEAD_BYTES, MAGIC_AT, MAX_TIMESTAMP_AT, PRODUCER_EPOCH_AT, PRODUCER_ID_AT,
    TRANSACTIONAL_BIT, crc32c, put_varint, put_varlong,
};
use crate::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// A batch in the making. Its base offset is 0 until a broker places it.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_timestamp: TimestampMs,
    max_timestamp: TimestampMs,
    producer: (ProducerId, ProducerEpoch, Sequence),
    attributes: i16,
    count: i32,
    records: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch whose records count their timestamps from `base_timestamp`.
    #[must_use]
    pub fn new(base_timestamp: TimestampMs) -> BatchBuilder {
        BatchBuilder {
            base_timestamp,
            max_timestamp: TimestampMs::NONE,
            producer: (ProducerId::NONE, ProducerEpoch(-1), Sequence(-1)),
            attributes: 0,
            count: 0,
            records: Vec::new(),
        }
    }

    /// Marks the batch as an idempotent producer's.
    #[must_use]
    pub fn producer(
        mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        first: Sequence,
    ) -> BatchBuilder {
        self.producer = (id, epoch, first);
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> BatchBuilder {
        self.attributes |= TRANSACTIONAL_BIT;
        self
    }

    /// Marks the batch as one of control records.
    #[must_use]
    pub fn control(mut self) -> BatchBuilder {
        self.attributes |= CONTROL_BIT;
        self
    }

    /// Adds a record.
    pub fn push(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let mut body = vec![0];
        put_varlong(&mut body, timestamp.0 - self.base_timestamp.0);
        put_varint(&mut body, self.count);
        put_nullable(&mut body, key);
        put_nullable(&mut body, value);
        put_varint(&mut body, headers.len() as i32);
        for (name, value) in headers {
            put_nullable(&mut body, Some(name.as_bytes()));
            put_nullable(&mut body, *value);
        }
        put_varint(&mut self.records, body.len() as i32);
        self.records.extend_from_slice(&body);
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
    }

    /// The batch, not compressed.
    #[must_use]
    pub fn build(self) -> Batch {
        let records = self.records.clone();
        self.build_with(Compression::None, &records)
    }

    /// The records so far as bytes, for a caller that compresses them itself.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.records
    }

    /// The batch, with `payload` as the compressed form of [`BatchBuilder::payload`].
    #[must_use]
    pub fn build_with(self, compression: Compression, payload: &[u8]) -> Batch {
        let code = compression.code();
        let size = HEADER_BYTES + payload.len();
        let mut out = BytesMut::zeroed(HEADER_BYTES);
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(
            LENGTH_AT,
            &((size - LOG_OVERHEAD_BYTES) as i32).to_be_bytes(),
        );
        put(LEADER_EPOCH_AT, &(-1i32).to_be_bytes());
        put(MAGIC_AT, &[2]);
        put(ATTRIBUTES_AT, &(self.attributes | code).to_be_bytes());
        put(LAST_OFFSET_DELTA_AT, &(self.count - 1).to_be_bytes());
        put(BASE_TIMESTAMP_AT, &self.base_timestamp.0.to_be_bytes());
        put(MAX_TIMESTAMP_AT, &self.max_timestamp.0.to_be_bytes());
        put(PRODUCER_ID_AT, &self.producer.0.0.to_be_bytes());
        put(PRODUCER_EPOCH_AT, &self.producer.1.0.to_be_bytes());
        put(BASE_SEQUENCE_AT, &self.producer.2.0.to_be_bytes());
        put(COUNT_AT, &self.count.to_be_bytes());
        out.extend_from_slice(payload);
        let crc = crc32c(&out[CRC_START..]);
        out[CRC_AT..CRC_START].copy_from_slice(&crc.to_be_bytes());
        let mut bytes: Bytes = out.freeze();
        Batch::split_from(&mut bytes)
            .unwrap_or_else(|e| panic!("a built batch is well formed: {e}"))
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
    }
}
