//! Batches that real clients made, byte for byte as Apache Kafka stored them: `golden/batches/README.md` says how.

use bytes::Bytes;
use wiber_model::batch::{Header, Records};
use wiber_model::{Batch, BatchError, Offset, TimestampMs};
use wiber_storage::compression::Decoder;
use wiber_storage::validate::{Rules, find_by_timestamp, max_timestamp_record, validate};

const FIRST: TimestampMs = TimestampMs(1_700_000_000_000);

macro_rules! golden {
    ($($name:literal),*) => {
        [$(($name, &include_bytes!(concat!("golden/batches/", $name, ".batch"))[..])),*]
    };
}

/// The name of a batch, its bytes, and how many records it must have.
fn batches() -> impl Iterator<Item = (&'static str, Bytes, i32)> {
    golden![
        "java-none",
        "java-gzip",
        "java-snappy",
        "java-lz4",
        "java-zstd",
        "java-zstd-22",
        "librdkafka-none",
        "librdkafka-gzip",
        "librdkafka-snappy",
        "librdkafka-lz4",
        "librdkafka-zstd"
    ]
    .into_iter()
    .map(|(name, bytes)| {
        let count = if name.ends_with("-none") { 4 } else { 60 };
        (name, Bytes::from_static(bytes), count)
    })
}

#[test]
fn batches_of_real_clients_are_accepted_as_they_are() {
    for (name, bytes, count) in batches() {
        let checked = validate(bytes.clone(), &Rules::default(), FIRST).expect(name);
        assert_eq!(checked.batch.bytes(), &bytes, "{name}");
        assert_eq!(checked.record_count, count, "{name}");
        let last = i64::from(count - 1);
        assert_eq!(checked.max_timestamp, TimestampMs(FIRST.0 + last), "{name}");
        assert_eq!(checked.max_timestamp_delta, count - 1, "{name}");
        assert!(checked.batch.producer_id().0 >= 0, "{name} is idempotent");
    }
}

#[test]
fn records_of_real_clients_are_read() {
    for (name, mut bytes, count) in batches() {
        let batch = Batch::split_from(&mut bytes).unwrap();
        let payload = batch.payload();
        let unfolded = Decoder::new(batch.compression().unwrap(), &payload, 1 << 20)
            .and_then(Decoder::into_vec)
            .expect(name);
        let repeats = if name.ends_with("-none") { 1 } else { 75 };
        let mut records = Records::new(&unfolded, count);
        for i in 0..count {
            let record = records.next().unwrap().expect(name);
            assert_eq!(record.offset_delta, i);
            assert_eq!(record.timestamp_delta, i64::from(i));
            let key = (i % 7 != 3).then(|| format!("key-{i}"));
            assert_eq!(record.key, key.as_deref().map(str::as_bytes), "{name} {i}");
            let text = || format!("record {i}: {}", "all work and no play ".repeat(repeats));
            let value = (i % 11 != 5).then(text);
            assert_eq!(
                record.value,
                value.as_deref().map(str::as_bytes),
                "{name} {i}"
            );
            let number = i.to_string();
            let of = |value| Header {
                key: b"number",
                value,
            };
            let headers: Result<Vec<Header<'_>>, BatchError> = record.headers().collect();
            let expected = match i % 2 {
                0 => vec![],
                _ => vec![of(Some(number.as_bytes())), of(None)],
            };
            assert_eq!(headers, Ok(expected), "{name} {i}");
        }
    }
}

#[test]
fn records_of_real_clients_are_found_by_their_time() {
    for (name, mut bytes, count) in batches() {
        let batch = Batch::split_from(&mut bytes).unwrap();
        for i in 0..count {
            let time = TimestampMs(FIRST.0 + i64::from(i));
            let found = Some((Offset(i64::from(i)), time));
            assert_eq!(
                find_by_timestamp(&batch, time, Offset(0)),
                Ok(found),
                "{name}"
            );
        }
        let last = i64::from(count - 1);
        let newest = Some((Offset(last), TimestampMs(FIRST.0 + last)));
        assert_eq!(max_timestamp_record(&batch), Ok(newest), "{name}");
    }
}
