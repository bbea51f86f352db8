use proptest::prelude::*;
use wiber_model::batch::{BatchBuilder, crc32c};

use super::*;
use crate::compression::compress;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// A builder with records of these timestamps.
fn builder(timestamps: &[i64]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(NOW);
    for timestamp in timestamps {
        builder.push(
            TimestampMs(*timestamp),
            Some(b"key"),
            Some(b"value"),
            &[("h", None)],
        );
    }
    builder
}

fn built(codec: Compression, builder: &BatchBuilder) -> Batch {
    let payload = compress(codec, builder.payload());
    builder.clone().build_with(codec, &payload)
}

/// The bytes with the checksum that goes with them.
fn resealed(mut bytes: Vec<u8>) -> Bytes {
    if bytes.len() >= HEADER_BYTES {
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    bytes.into()
}

fn log_append_time() -> Rules {
    Rules {
        timestamp_type: TimestampType::LogAppendTime,
        ..Rules::default()
    }
}

#[test]
fn a_good_batch_stays_the_bytes_that_came() {
    for codec in CODECS {
        let batch = built(codec, &builder(&[NOW.0 - 5, NOW.0 + 7, NOW.0 + 7]));
        let at = batch.bytes().as_ptr();
        let checked = validate(batch.clone().into_bytes(), &Rules::default(), NOW).unwrap();
        assert_eq!(checked.batch, batch);
        assert_eq!(checked.batch.bytes().as_ptr(), at, "nothing is copied");
        assert_eq!(checked.record_count, 3);
        assert_eq!(checked.max_timestamp, TimestampMs(NOW.0 + 7));
        assert_eq!(checked.max_timestamp_delta, 1, "the first that has it");
    }
}

#[test]
fn log_append_time_is_the_brokers() {
    for codec in CODECS {
        let bytes = built(codec, &builder(&[1, i64::MAX])).into_bytes();
        let at = bytes.as_ptr();
        let checked = validate(bytes, &log_append_time(), NOW).unwrap();
        checked.batch.check_crc().unwrap();
        assert_eq!(checked.batch.bytes().as_ptr(), at, "it is stamped in place");
        assert_eq!(checked.batch.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(checked.batch.max_timestamp(), NOW);
        assert_eq!(
            (checked.max_timestamp, checked.max_timestamp_delta),
            (NOW, 0)
        );
    }
}

#[test]
fn the_batch_can_be_placed_without_a_copy_though_part_of_another_followed() {
    let mut bytes = builder(&[NOW.0]).build().into_bytes().to_vec();
    let size = bytes.len();
    bytes.extend_from_slice(&[0; 9]);
    let bytes = Bytes::from(bytes);
    let at = bytes.as_ptr();
    let checked = validate(bytes, &log_append_time(), NOW).unwrap();
    assert_eq!(checked.batch.size_bytes(), size);
    assert_eq!(checked.batch.bytes().as_ptr(), at);
}

#[test]
fn a_refusal_names_the_records_and_what_is_wrong_with_them() {
    let late = NOW.0 + 3_600_001;
    let mut builder = builder(&[NOW.0, late]);
    builder.push(NOW, None, None, &[]);
    let rules = Rules {
        compacted: true,
        timestamp_before_max_ms: 1000,
        ..Rules::default()
    };
    let refusal = validate(builder.build().into_bytes(), &rules, NOW).unwrap_err();
    let Refusal::InvalidTimestamps(records) = &refusal else {
        panic!("{refusal:?}");
    };
    assert_eq!(records.count, 2);
    let told: Vec<(i32, String)> = refusal
        .record_errors()
        .iter()
        .map(|error| (error.index, error.problem.to_string()))
        .collect();
    let of_time = format!(
        "timestamp {late} is not within {} to {} as message.timestamp.before.max.ms and message.timestamp.after.max.ms demand",
        NOW.0 - 1000,
        NOW.0 + 3_600_000,
    );
    assert_eq!(
        told,
        [
            (1, of_time.clone()),
            (2, "a record of a compacted topic needs a key".to_string())
        ]
    );
    assert_eq!(
        refusal.to_string(),
        format!("2 of the batch's records were rejected, the first is record 1: {of_time}")
    );
}

#[test]
fn the_list_of_rejected_records_is_bounded_and_the_code_is_not_lost_with_the_rest() {
    let mut builder = BatchBuilder::new(NOW);
    for _ in 0..RECORD_ERRORS_MAX + 5 {
        builder.push(NOW, None, Some(b"value"), &[]);
    }
    builder.push(TimestampMs(i64::MAX), Some(b"key"), None, &[]);
    let rules = Rules {
        compacted: true,
        ..Rules::default()
    };
    let refusal = validate(builder.build().into_bytes(), &rules, NOW).unwrap_err();
    assert_eq!(refusal.record_errors().len(), RECORD_ERRORS_MAX);
    let Refusal::InvalidTimestamps(records) = refusal else {
        panic!("{refusal:?}");
    };
    assert_eq!(records.count, RECORD_ERRORS_MAX + 6);
}

#[test]
fn timestamps_at_the_ends_of_time_do_not_overflow() {
    let rules = |before, after| Rules {
        timestamp_before_max_ms: before,
        timestamp_after_max_ms: after,
        ..Rules::default()
    };
    for (timestamp, rules, fine) in [
        (i64::MAX, rules(i64::MAX, i64::MAX), true),
        (i64::MAX, rules(0, i64::MAX - 1), true),
        (i64::MAX, rules(0, 0), false),
        (NOW.0 + i64::MIN, rules(i64::MAX, 0), false),
        (NOW.0 + i64::MIN + 1, rules(i64::MAX, 0), true),
        (NOW.0, rules(0, 0), true),
        (NOW.0 - 1, rules(0, 0), false),
    ] {
        let bytes = builder(&[timestamp]).build().into_bytes();
        assert_eq!(
            validate(bytes, &rules, NOW).is_ok(),
            fine,
            "{timestamp} {rules:?}"
        );
    }
}

#[test]
fn what_unfolds_to_too_much_is_too_large() {
    let mut builder = BatchBuilder::new(NOW);
    builder.push(NOW, None, Some(&[0; 100_000]), &[]);
    for codec in &CODECS[1..] {
        let batch = built(*codec, &builder);
        let limit_bytes = builder.payload().len() as u64;
        let rules = |decompressed_bytes_max| Rules {
            decompressed_bytes_max,
            ..Rules::default()
        };
        let validate = |rules| validate(batch.clone().into_bytes(), &rules, NOW);
        assert!(validate(rules(limit_bytes)).is_ok());
        let error = TooLarge::Decompressed {
            limit_bytes: limit_bytes - 1,
        };
        assert_eq!(
            validate(rules(limit_bytes - 1)),
            Err(Refusal::TooLarge(error))
        );
    }
}

#[test]
fn a_batch_fits_a_segment() {
    let bytes = builder(&[NOW.0]).build().into_bytes();
    let size_bytes = bytes.len();
    let rules = |segment_bytes| Rules {
        segment_bytes,
        ..Rules::default()
    };
    assert!(validate(bytes.clone(), &rules(size_bytes), NOW).is_ok());
    let error = Refusal::BeyondSegment {
        size_bytes,
        segment_bytes: size_bytes - 1,
    };
    assert_eq!(validate(bytes, &rules(size_bytes - 1), NOW), Err(error));
}

fn compressed_as(codec: Codec) -> Rules {
    Rules {
        codec: Some(codec),
        ..Rules::default()
    }
}

#[test]
fn records_go_from_each_codec_into_each() {
    let timestamps: Vec<_> = (0..2000).map(|i| NOW.0 - i % 7).collect();
    let builder = builder(&timestamps).producer(ProducerId(7), ProducerEpoch(1), Sequence(5));
    for from in CODECS {
        for to in CODECS {
            let batch = built(from, &builder);
            let rules = compressed_as(Codec::of(to));
            let checked = validate(batch.clone().into_bytes(), &rules, NOW).unwrap();
            let found = checked.batch;
            assert_eq!(found.compression(), Ok(to));
            assert_eq!(found.check_crc(), Ok(()));
            assert_eq!(found == batch, from == to, "{from:?} to {to:?}");
            let payload = found.payload();
            let records = Decoder::new(to, &payload, u64::MAX).and_then(Decoder::into_vec);
            assert_eq!(records.as_deref(), Ok(builder.payload()));
            let header = |batch: &Batch| {
                let producer = (batch.producer_id(), batch.producer_epoch());
                let times = (batch.base_timestamp(), batch.max_timestamp());
                let counts = (batch.record_count(), batch.last_offset_delta());
                (producer, batch.base_sequence(), times, counts)
            };
            assert_eq!(header(&found), header(&batch));
            let read = Batch::split_from(&mut found.bytes().clone());
            assert_eq!(read, Ok(found));
        }
    }
}

#[test]
fn levels_are_heeded() {
    let mut rng = wiber_model::Rng::new(3);
    let words: Vec<u64> = (0..64).map(|_| rng.next_u64()).collect();
    let text: Vec<u8> = (0..40_000)
        .flat_map(|_| words[rng.below(64) as usize].to_be_bytes())
        .collect();
    let mut builder = BatchBuilder::new(NOW);
    builder.push(NOW, None, Some(&text), &[]);
    let size = |compression, level| {
        let rules = compressed_as(Codec { compression, level });
        let bytes = builder.clone().build().into_bytes();
        validate(bytes, &rules, NOW).unwrap().batch.size_bytes()
    };
    assert!(size(Compression::Gzip, 9) < size(Compression::Gzip, 1));
    assert!(size(Compression::Zstd, 22) < size(Compression::Zstd, 1));
    assert!(size(Compression::Zstd, 1) < size(Compression::Zstd, -131_072));
}

#[test]
fn a_small_request_does_not_become_a_huge_one() {
    let mut builder = BatchBuilder::new(NOW);
    builder.push(NOW, None, Some(&vec![0; 900_000]), &[]);
    let bytes = built(Compression::Zstd, &builder).into_bytes();
    let rules = compressed_as(Codec::of(Compression::None));
    let one = validate(bytes.clone(), &rules, NOW).unwrap();
    let fit = MAX_FRAME_BYTES / one.batch.size_bytes();
    assert!(bytes.len() * fit < 100_000);
    let mut allowance = Allowance::default();
    for number in 0..fit + 2 {
        let checked = allowance.validate(bytes.clone(), &rules, NOW);
        let refused = Err(Refusal::TooLarge(TooLarge::RecompressedInAll {
            limit_bytes: MAX_FRAME_BYTES,
        }));
        assert_eq!(checked.is_ok(), number < fit, "batch {number}");
        assert!(checked.is_ok() || checked == refused);
    }
    // What needs no other form is still taken.
    let as_it_is = allowance.validate(bytes, &Rules::default(), NOW);
    assert!(as_it_is.is_ok());
}

#[test]
fn what_unfolds_to_much_is_not_compressed_again() {
    let mut builder = BatchBuilder::new(NOW);
    let value = vec![0; RECOMPRESSED_UNFOLDED_BYTES_MAX as usize];
    builder.push(NOW, None, Some(&value), &[]);
    let bytes = built(Compression::Zstd, &builder).into_bytes();
    let checked = |rules: &Rules| validate(bytes.clone(), rules, NOW).map(|it| it.record_count);
    assert_eq!(checked(&Rules::default()), Ok(1));
    let refused = TooLarge::Decompressed {
        limit_bytes: RECOMPRESSED_UNFOLDED_BYTES_MAX,
    };
    let rules = compressed_as(Codec::of(Compression::Gzip));
    assert_eq!(checked(&rules), Err(Refusal::TooLarge(refused)));
    // All batches of a request together unfold to no more than one of them may.
    let mut allowance = Allowance::default();
    let fit = MAX_DECOMPRESSED_BATCH_BYTES / RECOMPRESSED_UNFOLDED_BYTES_MAX - 1;
    for number in 0..=fit {
        let checked = allowance.validate(bytes.clone(), &Rules::default(), NOW);
        assert_eq!(checked.is_ok(), number < fit, "batch {number}");
    }
}

#[test]
fn what_becomes_too_large_by_its_codec_is_refused() {
    let mut builder = BatchBuilder::new(NOW);
    builder.push(NOW, None, Some(&[b'x'; 300_000]), &[]);
    for from in &CODECS[1..] {
        let bytes = built(*from, &builder).into_bytes();
        let fits = HEADER_BYTES + builder.payload().len();
        let rules = |max_message_bytes, segment_bytes| Rules {
            max_message_bytes,
            segment_bytes,
            ..compressed_as(Codec::of(Compression::None))
        };
        let validate = |rules| validate(bytes.clone(), &rules, NOW);
        assert!(validate(rules(fits, fits)).is_ok());
        let error = TooLarge::Recompressed {
            compression: Compression::None,
            max_message_bytes: fits - 1,
        };
        let refused = validate(rules(fits - 1, fits));
        assert_eq!(refused, Err(Refusal::TooLarge(error)));
        let error = Refusal::BeyondSegment {
            size_bytes: fits,
            segment_bytes: fits - 1,
        };
        assert_eq!(validate(rules(fits, fits - 1)), Err(error));
    }
    // A segment has room for what is stored, not for what came.
    let bytes = builder.clone().build().into_bytes();
    let rules = Rules {
        segment_bytes: bytes.len() - 1,
        ..compressed_as(Codec::of(Compression::Zstd))
    };
    assert!(validate(bytes, &rules, NOW).is_ok());
}

#[test]
fn a_batch_is_stamped_and_compressed_at_once() {
    let rules = Rules {
        codec: Some(Codec::of(Compression::Lz4)),
        ..log_append_time()
    };
    let checked = validate(builder(&[30, 10]).build().into_bytes(), &rules, NOW).unwrap();
    assert_eq!(checked.batch.check_crc(), Ok(()));
    assert_eq!(checked.batch.compression(), Ok(Compression::Lz4));
    assert_eq!(checked.batch.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(checked.batch.max_timestamp(), NOW);
}

#[test]
fn what_may_take_long_is_heavy() {
    let of = |codec, bytes: &[u8]| {
        let mut builder = BatchBuilder::new(NOW);
        builder.push(NOW, None, Some(bytes), &[]);
        is_heavy(&built(codec, &builder).into_bytes(), &Rules::default())
    };
    assert!(!of(Compression::None, &vec![0; 1 << 20]));
    assert!(of(Compression::None, &vec![0; INLINE_BYTES_MAX]));
    assert!(!of(Compression::Lz4, &[0; 1000]));
    assert!(!of(Compression::Snappy, &[0; 1000]));
    assert!(!of(Compression::Gzip, &[0; 1000]));
    let mut rng = wiber_model::Rng::new(1);
    let noise: Vec<u8> = (0..20_000).map(|_| rng.next_u64() as u8).collect();
    assert!(of(Compression::Snappy, &noise));
    assert!(
        of(Compression::Gzip, &noise[..5000]),
        "it might unfold to 5 MB"
    );
    assert!(
        of(Compression::Zstd, &noise[..500]),
        "it might unfold to 16 MB"
    );
    let little = built(Compression::Snappy, &builder(&[NOW.0])).into_bytes();
    assert!(is_heavy(
        &little,
        &compressed_as(Codec::of(Compression::Gzip))
    ));
    assert!(!is_heavy(
        &little,
        &compressed_as(Codec::of(Compression::Snappy))
    ));
    assert!(!is_heavy(
        &Bytes::from_static(b"not a batch"),
        &Rules::default()
    ));
}

#[test]
fn a_record_is_found_by_its_time() {
    for codec in CODECS {
        let batch = built(codec, &builder(&[30, 10, 50, 50, 20]))
            .placed(Offset(100), wiber_model::LeaderEpoch(1));
        let find = |target, from| {
            find_by_timestamp(&batch, TimestampMs(target), Offset(from))
                .unwrap()
                .map(|(offset, timestamp)| (offset.0, timestamp.0))
        };
        assert_eq!(find(-1, 0), Some((100, 30)));
        assert_eq!(find(30, 0), Some((100, 30)));
        assert_eq!(find(31, 0), Some((102, 50)));
        assert_eq!(find(51, 0), None);
        assert_eq!(
            find(0, 101),
            Some((101, 10)),
            "the log begins within the batch"
        );
        assert_eq!(find(20, 104), Some((104, 20)));
        assert_eq!(find(30, 104), None);
        assert_eq!(find(0, 105), None);
        assert_eq!(
            max_timestamp_record(&batch),
            Ok(Some((Offset(102), TimestampMs(50))))
        );
    }
}

#[test]
fn a_stamped_batch_has_one_time() {
    for codec in CODECS {
        let bytes = built(codec, &builder(&[30, 10])).into_bytes();
        let checked = validate(bytes, &log_append_time(), NOW).unwrap();
        let batch = checked
            .batch
            .placed(Offset(100), wiber_model::LeaderEpoch(1));
        assert_eq!(max_timestamp_record(&batch), Ok(Some((Offset(100), NOW))));
        assert_eq!(
            find_by_timestamp(&batch, TimestampMs(31), Offset(0)),
            Ok(Some((Offset(100), NOW)))
        );
        assert_eq!(
            find_by_timestamp(&batch, TimestampMs(31), Offset(101)),
            Ok(Some((Offset(101), NOW)))
        );
        let after = TimestampMs(NOW.0 + 1);
        assert_eq!(find_by_timestamp(&batch, after, Offset(0)), Ok(None));
    }
}

#[test]
fn a_batch_without_timestamps_has_no_newest_record() {
    let batch = builder(&[-1, -1]).build();
    assert_eq!(max_timestamp_record(&batch), Ok(None));
    let checked = validate(batch.into_bytes(), &Rules::default(), NOW).unwrap();
    assert_eq!(checked.max_timestamp, TimestampMs::NONE);
    assert_eq!(checked.max_timestamp_delta, 0);
}

#[test]
fn damage_in_the_log_is_an_error_to_a_search() {
    for codec in CODECS {
        let bytes = built(codec, &builder(&[30, 10])).into_bytes().to_vec();
        let mut cut = resealed({
            let mut bytes = bytes[..bytes.len() - 3].to_vec();
            let length = (bytes.len() - LOG_OVERHEAD_BYTES) as i32;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[35..43].copy_from_slice(&i64::MAX.to_be_bytes());
            bytes
        });
        let batch = Batch::split_from(&mut cut).unwrap();
        assert!(
            find_by_timestamp(&batch, TimestampMs(31), Offset(0)).is_err(),
            "{codec:?}"
        );
        assert!(max_timestamp_record(&batch).is_err(), "{codec:?}");
    }
}

/// What a walk sees, until it ends or fails.
fn walked(codec: Compression, payload: &[u8], count: i32) -> Result<Vec<Sketch>, RecordsError> {
    let mut bytes = BatchBuilder::new(NOW)
        .build_with(codec, &compress(codec, payload))
        .into_bytes()
        .to_vec();
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    let batch = Batch::split_from(&mut Bytes::from(bytes)).unwrap();
    let mut sketches = Vec::new();
    walk(&batch, 1 << 20, |sketch| {
        sketches.push(sketch);
        ControlFlow::Continue(())
    })?;
    Ok(sketches)
}

#[test]
fn a_varlong_has_64_bits() {
    for codec in CODECS {
        let walked = |last: u8| {
            let mut body = vec![0];
            body.extend_from_slice(&[0xff; 9]);
            body.extend_from_slice(&[last, 0, 1, 1, 0]);
            let payload = [&[2 * body.len() as u8][..], &body].concat();
            self::walked(codec, &payload, 1)
        };
        let sketch = Sketch {
            timestamp_delta: i64::MIN,
            offset_delta: 0,
            has_key: false,
        };
        assert_eq!(walked(1), Ok(vec![sketch]), "{codec:?}");
        assert!(walked(2).is_err(), "{codec:?}");
        assert!(walked(0x81).is_err(), "{codec:?}");
    }
}

/// Records with keys, values and headers of all sizes, as bytes.
fn payloads() -> impl Strategy<Value = (Vec<u8>, i32)> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    let headers = prop::collection::vec(("[a-z]{0,5}", bytes()), 0..3);
    prop::collection::vec((any::<i32>(), bytes(), bytes(), headers), 1..20).prop_map(|records| {
        let mut builder = BatchBuilder::new(TimestampMs(0));
        for (timestamp, key, value, headers) in &records {
            let headers: Vec<(&str, Option<&[u8]>)> = headers
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_deref()))
                .collect();
            let timestamp = TimestampMs(i64::from(*timestamp));
            builder.push(timestamp, key.as_deref(), value.as_deref(), &headers);
        }
        (builder.payload().to_vec(), records.len() as i32)
    })
}

proptest! {
    #[test]
    fn records_are_the_same_compressed_or_not((payload, count) in payloads()) {
        let plain = walked(Compression::None, &payload, count);
        prop_assert_eq!(plain.as_ref().map(Vec::len), Ok(count as usize));
        for codec in &CODECS[1..] {
            prop_assert_eq!(&walked(*codec, &payload, count), &plain);
        }
    }

    #[test]
    fn what_is_wrong_plain_is_wrong_compressed(
        (payload, count) in payloads(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut: prop::sample::Index,
    ) {
        let mut payload = payload;
        for (at, byte) in &changes {
            let at = at.index(payload.len());
            payload[at] = *byte;
        }
        if changes.len() == 3 {
            payload.truncate(cut.index(payload.len()));
        }
        let plain = walked(Compression::None, &payload, count);
        for codec in &CODECS[1..] {
            let unfolded = walked(*codec, &payload, count);
            prop_assert_eq!(unfolded.as_ref().ok(), plain.as_ref().ok());
        }
    }

    #[test]
    fn any_bytes_are_validated_or_refused(mut bytes: Vec<u8>, framed: bool) {
        if framed && bytes.len() > HEADER_BYTES {
            let length = (bytes.len() - LOG_OVERHEAD_BYTES) as i32;
            bytes[..8].fill(0);
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[16] = 2;
        }
        let bytes = resealed(bytes);
        let _ = is_heavy(&bytes, &Rules::default());
        let _ = validate(bytes, &Rules::default(), NOW);
    }

    #[test]
    fn any_change_is_validated_or_refused(
        (payload, count) in payloads(),
        codec in 0..5usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        sealed: bool,
    ) {
        let codec = CODECS[codec];
        let mut header = builder(&vec![NOW.0; count as usize]).build().into_bytes().to_vec();
        header.truncate(HEADER_BYTES);
        header[22] = codec as u8;
        header.extend_from_slice(&compress(codec, &payload));
        let length = (header.len() - LOG_OVERHEAD_BYTES) as i32;
        header[8..12].copy_from_slice(&length.to_be_bytes());
        let good = resealed(header.clone());
        let rules = Rules {
            timestamp_after_max_ms: i64::MAX,
            ..Rules::default()
        };
        prop_assert!(validate(good.clone(), &rules, NOW).is_ok());
        let mut bytes = header;
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        let bytes = if sealed { resealed(bytes) } else { bytes.into() };
        if let Ok(checked) = validate(bytes, &rules, NOW) {
            // What is accepted can be read, and is what the header says.
            prop_assert!(checked.batch.check_crc().is_ok());
            let newest = max_timestamp_record(&checked.batch).unwrap();
            if let Some((offset, timestamp)) = newest {
                prop_assert_eq!(offset.0, i64::from(checked.max_timestamp_delta));
                prop_assert_eq!(timestamp, checked.max_timestamp);
            }
        }
    }
}
