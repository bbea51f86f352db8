//! Record batches and their compressions.

use bytes::Bytes;
use wiber_model::TimestampMs;
use wiber_model::batch::{Batch, BatchBuilder, Batches, Compression, Records, TimestampType};
use wiber_storage::compression::{Decoder, compress};
use wiber_storage::validate::{Rules, find_by_timestamp, max_timestamp_record, validate};

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
/// The most that a payload may unfold to here, in bytes.
const DECOMPRESSED_BYTES_MAX: u64 = 1 << 20;
/// The CRC of a batch, and what it covers, by position in bytes.
const CRC_AT: std::ops::Range<usize> = 17..21;

const COMPRESSIONS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// The first byte chooses the rules, and whether the CRC is put right; the rest are the records of a Produce.
pub fn run_batches(input: &[u8]) {
    let Some((choices, records)) = input.split_first() else {
        return;
    };
    let mut records = records.to_vec();
    if choices & 1 == 0 && records.len() > CRC_AT.end {
        let crc = wiber_model::batch::crc32c(&records[CRC_AT.end..]);
        records[CRC_AT].copy_from_slice(&crc.to_be_bytes());
    }
    let rules = Rules {
        max_message_bytes: if choices & 2 == 0 { 1 << 20 } else { 200 },
        timestamp_type: if choices & 4 == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        },
        compacted: choices & 8 != 0,
        zstd: choices & 16 == 0,
        decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
        ..Rules::default()
    };
    let records = Bytes::from(records);
    if let Ok(checked) = validate(records.clone(), &rules, NOW) {
        // What is let in is what every consumer can read.
        let batch = &checked.batch;
        assert!(batch.check_crc().is_ok() && batch.record_count() == checked.record_count);
        assert_eq!(read_all(batch), Some(checked.record_count), "{batch:?}");
    }
    for batch in Batches::new(records).flatten() {
        read_all(&batch);
        let _ = find_by_timestamp(&batch, NOW, batch.base_offset());
        let _ = max_timestamp_record(&batch);
    }
}

/// How many records and headers of a batch can be read, if its payload unfolds.
fn read_all(batch: &Batch) -> Option<i32> {
    let payload = batch.payload();
    let decoder = Decoder::new(batch.compression().ok()?, &payload, DECOMPRESSED_BYTES_MAX);
    let payload = decoder.ok()?.into_vec().ok()?;
    let mut count = 0;
    for record in Records::new(&payload, batch.record_count()) {
        let Ok(record) = record else {
            return None;
        };
        for header in record.headers() {
            header.ok()?;
        }
        count += 1;
    }
    Some(count)
}

pub fn batch_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for compression in COMPRESSIONS {
        let mut builder = BatchBuilder::new(NOW);
        builder.push(NOW, Some(b"key"), Some(b"value"), &[]);
        builder.push(
            NOW,
            None,
            None,
            &[("name", Some(b"header")), ("name", None)],
        );
        builder.push(TimestampMs(NOW.0 - 1), Some(b""), Some(&[0; 300]), &[]);
        let payload = compress(compression, builder.payload());
        let batch = builder.build_with(compression, &payload);
        for choices in [0, 4] {
            seeds.push([&[choices], &batch.bytes()[..]].concat());
        }
    }
    seeds
}

/// The first byte chooses the compression, the rest is the payload.
pub fn run_compression(input: &[u8]) {
    let Some((which, payload)) = input.split_first() else {
        return;
    };
    let compression = COMPRESSIONS[usize::from(*which) % COMPRESSIONS.len()];
    if let Ok(decoder) = Decoder::new(compression, payload, DECOMPRESSED_BYTES_MAX)
        && let Ok(bytes) = decoder.into_vec()
    {
        assert!(bytes.len() as u64 <= DECOMPRESSED_BYTES_MAX);
    }
    let packed = compress(compression, payload);
    let decoder = Decoder::new(compression, &packed, payload.len() as u64);
    let unpacked = decoder.and_then(Decoder::into_vec);
    assert_eq!(unpacked.as_deref(), Ok(payload), "{compression:?}");
}

pub fn compression_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (which, compression) in COMPRESSIONS.into_iter().enumerate() {
        for plain in [&b""[..], b"abcabcabcabcabc", &[7; 70_000]] {
            seeds.push([&[which as u8], &compress(compression, plain)[..]].concat());
        }
    }
    seeds
}
