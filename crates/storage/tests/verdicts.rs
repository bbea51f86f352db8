//! Kafka's own verdict on some hundred batches, good and bad, against ours.
//!
//! The verdicts in `golden/batches/verdicts.txt` are Apache Kafka's: `golden/batches/README.md` says how they are made.

use std::collections::BTreeMap;

use bytes::Bytes;
use wiber_model::batch::{
    BatchBuilder, Compression, TimestampType, crc32c, put_varint, put_varlong,
};
use wiber_model::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use wiber_storage::compression::{compress, name};
use wiber_storage::validate::{Checked, Refusal, Rules, validate};

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
const HOUR_MS: i64 = 3_600_000;
const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// Where our verdict differs from Kafka's, on purpose: the end of the case's name, our verdict, and why. Beside these, what Kafka
/// answers with an unknown error (−1) must be an error of ours, whichever.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "gap-in-offsets",
        "error 87 []",
        "consumers would miss or repeat a record",
    ),
    (
        "offsets-twice",
        "error 87 []",
        "consumers would miss or repeat a record",
    ),
    (
        "/length-too-short",
        "error 87 []",
        "consumers could not read the batch",
    ),
    (
        "/length-too-long",
        "error 87 []",
        "consumers could not read the batch",
    ),
    (
        "/length-negative",
        "error 87 []",
        "consumers could not read the batch",
    ),
    (
        "lz4/payload-flipped",
        "error 87 []",
        "the same: it is a record's length that is flipped",
    ),
    (
        "payload-goes-on",
        "error 87 []",
        "clients differ in what they do with the rest",
    ),
    (
        "payload-twice",
        "error 87 []",
        "clients differ in what they do with the rest",
    ),
    (
        "claims-log-append-time",
        "error 32 [0,1,2,3]",
        "only the broker says so",
    ),
    (
        "producer-without-epoch",
        "error 87 []",
        "no producer is without one",
    ),
    (
        "producer-below-none",
        "error 87 []",
        "no producer has such an id",
    ),
];

struct Case {
    name: String,
    rules: Rules,
    produce_version: i16,
    records: Vec<u8>,
}

/// All cases, in an order that does not change.
fn cases() -> Vec<Case> {
    let mut cases = Cases(Vec::new());
    for codec in CODECS {
        cases.of_records(codec);
        cases.of_payload(codec);
    }
    cases.of_header();
    cases.of_framing();
    cases.0
}

struct Cases(Vec<Case>);

/// A record to be written, right or wrong.
#[derive(Clone)]
struct Record {
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&'static [u8]>,
    value: Option<&'static [u8]>,
}

/// `count` good records.
fn records(count: i32) -> Vec<Record> {
    (0..count)
        .map(|i| Record {
            timestamp_delta: i64::from(i),
            offset_delta: i,
            key: Some(b"key"),
            value: Some(b"value"),
        })
        .collect()
}

fn payload(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        let mut body = vec![0];
        put_varlong(&mut body, record.timestamp_delta);
        put_varint(&mut body, record.offset_delta);
        for bytes in [record.key, record.value] {
            put_varint(&mut body, bytes.map_or(-1, |bytes| bytes.len() as i32));
            body.extend_from_slice(bytes.unwrap_or_default());
        }
        put_varint(&mut body, 0);
        put_varint(&mut out, body.len() as i32);
        out.extend_from_slice(&body);
    }
    out
}

/// A batch around a payload, its header as for `count` records whose newest is the last one.
fn batch(codec: Compression, count: i32, payload: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(NOW);
    for i in 0..count {
        builder.push(TimestampMs(NOW.0 + i64::from(i)), None, None, &[]);
    }
    let payload = compress(codec, payload);
    builder.build_with(codec, &payload).into_bytes().to_vec()
}

/// The batch with `bytes` at `at`, and the checksum that goes with it.
fn patched(mut batch: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn log_append_time() -> Rules {
    Rules {
        timestamp_type: TimestampType::LogAppendTime,
        ..Rules::default()
    }
}

fn compacted() -> Rules {
    Rules {
        compacted: true,
        ..Rules::default()
    }
}

impl Cases {
    fn add(&mut self, name: String, rules: Rules, records: Vec<u8>) {
        self.at_version(name, rules, 11, records);
    }

    fn at_version(&mut self, name: String, rules: Rules, version: i16, records: Vec<u8>) {
        let rules = Rules {
            zstd: version >= 7,
            ..rules
        };
        self.0.push(Case {
            name,
            rules,
            produce_version: version,
            records,
        });
    }

    /// Batches whose records are in order or not, in every codec.
    fn of_records(&mut self, codec: Compression) {
        let mut of = |name: &str, rules: Rules, change: &dyn Fn(&mut Vec<Record>)| {
            let mut records = records(4);
            change(&mut records);
            let bytes = batch(codec, 4, &payload(&records));
            self.add(format!("{}/{name}", self::name(codec)), rules, bytes);
        };
        of("good", Rules::default(), &|_| ());
        of("good-log-append-time", log_append_time(), &|_| ());
        of("good-compacted", compacted(), &|_| ());
        of("null-key", Rules::default(), &|r| r[1].key = None);
        of("null-value", Rules::default(), &|r| r[1].value = None);
        of("null-value-compacted", compacted(), &|r| r[1].value = None);
        of("empty-key-compacted", compacted(), &|r| {
            r[1].key = Some(b"")
        });
        of("null-keys-compacted", compacted(), &|r| {
            r[1].key = None;
            r[3].key = None;
        });
        of("newest-is-first", Rules::default(), &|r| {
            r[0].timestamp_delta = 9
        });
        of("newest-is-not-in-header", Rules::default(), &|r| {
            r[2].timestamp_delta = 77
        });
        of("no-timestamps", Rules::default(), &|r| {
            r.iter_mut().for_each(|r| r.timestamp_delta = -1 - NOW.0);
        });
        of("negative-timestamp", Rules::default(), &|r| {
            r[1].timestamp_delta = -5 - NOW.0;
        });
        of("one-hour-ahead", Rules::default(), &|r| {
            r[1].timestamp_delta = HOUR_MS
        });
        of("more-than-one-hour-ahead", Rules::default(), &|r| {
            r[1].timestamp_delta = HOUR_MS + 1;
            r[2].timestamp_delta = HOUR_MS + 2;
        });
        of("ahead-with-log-append-time", log_append_time(), &|r| {
            r[1].timestamp_delta = HOUR_MS + 1;
        });
        let hour_back = Rules {
            timestamp_before_max_ms: HOUR_MS,
            ..Rules::default()
        };
        of("one-hour-back", hour_back.clone(), &|r| {
            r[0].timestamp_delta = -HOUR_MS
        });
        of("more-than-one-hour-back", hour_back.clone(), &|r| {
            r[0].timestamp_delta = -HOUR_MS - 1;
        });
        of("no-timestamp-is-not-back", hour_back, &|r| {
            r[0].timestamp_delta = -1 - NOW.0;
        });
        of("ahead-and-null-key-compacted", compacted(), &|r| {
            r[1].key = None;
            r[2].timestamp_delta = HOUR_MS + 1;
            r[3].key = None;
            r[3].timestamp_delta = HOUR_MS + 1;
        });
        of("gap-in-offsets", Rules::default(), &|r| {
            r[3].offset_delta = 4
        });
        of("offsets-twice", Rules::default(), &|r| {
            r[2].offset_delta = 1
        });
        of("one-record-less", Rules::default(), &|r| {
            r.pop();
        });
        of("one-record-more", Rules::default(), &|r| {
            r.push(r[3].clone())
        });
        let with_bit = |bits: i16, rules: Rules, newest: i64| {
            let bytes = batch(codec, 4, &payload(&records(4)));
            let attributes = i16::from_be_bytes([bytes[21], bytes[22]]) | bits;
            let bytes = patched(bytes, 35, &newest.to_be_bytes());
            (rules, patched(bytes, 21, &attributes.to_be_bytes()))
        };
        for (name, (rules, bytes)) in [
            (
                "claims-log-append-time",
                with_bit(8, Rules::default(), NOW.0 + 3),
            ),
            (
                "claims-log-append-time-ahead",
                with_bit(8, Rules::default(), NOW.0 + 2 * HOUR_MS),
            ),
            (
                "claims-log-append-time-and-gets-it",
                with_bit(8, log_append_time(), NOW.0 + 3),
            ),
            ("control", with_bit(0x20, Rules::default(), NOW.0 + 3)),
            (
                "unknown-attribute",
                with_bit(0x4000, Rules::default(), NOW.0 + 3),
            ),
        ] {
            self.add(format!("{}/{name}", self::name(codec)), rules, bytes);
        }
    }

    /// Payloads that are damaged although the checksum matches.
    fn of_payload(&mut self, codec: Compression) {
        let good = payload(&records(4));
        let mut of = |name: &str, payload: Vec<u8>| {
            let bytes = batch(codec, 4, &payload);
            self.add(
                format!("{}/{name}", self::name(codec)),
                Rules::default(),
                bytes,
            );
        };
        let replaced = |at: usize, byte: u8| {
            let mut payload = good.clone();
            payload[at] = byte;
            payload
        };
        // The first record: length, attributes, two deltas, key length and 3 bytes, value length and 5 bytes, header count.
        of("length-too-short", replaced(0, good[0] - 2));
        of("length-too-long", replaced(0, good[0] + 2));
        of("length-negative", replaced(0, 1));
        of("length-huge", replaced(0, 0xff));
        of("record-attributes", replaced(1, 1));
        of("key-too-long", replaced(4, 120));
        of("value-too-long", replaced(8, 120));
        of("header-count-negative", replaced(14, 1));
        of("header-count-too-large", replaced(14, 40));
        of("empty", Vec::new());
        of("zeros", vec![0; 40]);
        if codec != Compression::None {
            let whole = compress(codec, &good);
            let mut of = |name: &str, payload: &[u8]| {
                let builder = BatchBuilder::new(NOW);
                let mut bytes = builder.build_with(codec, payload).into_bytes().to_vec();
                for (at, field) in [(23, 3i32), (57, 4)] {
                    bytes = patched(bytes, at, &field.to_be_bytes());
                }
                let name = format!("{}/{name}", self::name(codec));
                self.add(
                    name,
                    Rules::default(),
                    patched(bytes, 35, &(NOW.0 + 3).to_be_bytes()),
                );
            };
            of("payload-cut", &whole[..whole.len() - 1]);
            of("payload-cut-in-half", &whole[..whole.len() / 2]);
            of("payload-empty", &[]);
            of("payload-is-not-compressed", &good);
            of("payload-goes-on", &[&whole[..], &[1, 2, 3, 4, 5]].concat());
            of("payload-twice", &[&whole[..], &whole[..]].concat());
            let middle = whole.len() / 2;
            let mut flipped = whole.clone();
            flipped[middle] ^= 0x55;
            of("payload-flipped", &flipped);
        }
    }

    /// Headers that contradict themselves or the rules.
    fn of_header(&mut self) {
        let good = || batch(Compression::None, 4, &payload(&records(4)));
        let mut of = |name: &str, rules: Rules, records: Vec<u8>| {
            self.add(format!("header/{name}"), rules, records);
        };
        let field = |at: usize, bytes: &[u8]| patched(good(), at, bytes);
        of(
            "base-offset",
            Rules::default(),
            field(0, &7i64.to_be_bytes()),
        );
        of(
            "leader-epoch",
            Rules::default(),
            field(12, &7i32.to_be_bytes()),
        );
        let mut flipped = good();
        flipped[70] ^= 1;
        of("crc", Rules::default(), flipped);
        let mut flipped = good();
        flipped[17] ^= 1;
        of("crc-field", Rules::default(), flipped);
        for (name, count, last) in [
            ("no-records", 0i32, -1i32),
            ("count-negative", -1, 3),
            ("count-zero", 0, 3),
            ("count-too-large", 5, 3),
            ("count-too-small", 3, 3),
            ("last-offset-negative", 4, -1),
            ("last-offset-too-large", 4, 4),
            ("last-offset-huge", 4, i32::MAX),
            ("both-too-large", 5, 4),
            ("both-too-small", 3, 2),
            ("both-huge", i32::MAX, i32::MAX - 1),
        ] {
            let bytes = patched(good(), 23, &last.to_be_bytes());
            of(
                name,
                Rules::default(),
                patched(bytes, 57, &count.to_be_bytes()),
            );
        }
        of(
            "max-timestamp",
            Rules::default(),
            field(35, &1i64.to_be_bytes()),
        );
        of("compression-5", Rules::default(), field(22, &[5]));
        of("compression-7", Rules::default(), field(22, &[7]));
        let size = good().len();
        for (name, max) in [("size-at-most", size), ("size-over", size - 1)] {
            let rules = Rules {
                max_message_bytes: max,
                ..Rules::default()
            };
            of(name, rules.clone(), good());
            of(&format!("{name}-and-crc"), rules, {
                let mut bytes = good();
                bytes[70] ^= 1;
                bytes
            });
        }
        for (name, id, epoch, sequence) in [
            ("producer", 5i64, 0i16, 0i32),
            ("producer-with-sequence", 5, 2, i32::MAX - 1),
            ("producer-without-sequence", 5, 0, -1),
            ("producer-without-epoch", 5, -1, 0),
            ("producer-below-none", -2, 0, 0),
            ("sequence-without-producer", -1, -1, 4),
        ] {
            let bytes = patched(good(), 43, &id.to_be_bytes());
            let bytes = patched(bytes, 51, &epoch.to_be_bytes());
            of(
                name,
                Rules::default(),
                patched(bytes, 53, &sequence.to_be_bytes()),
            );
        }
    }

    /// What stands around the batch.
    fn of_framing(&mut self) {
        let good = || batch(Compression::None, 4, &payload(&records(4)));
        let mut of = |name: &str, records: Vec<u8>| {
            self.add(format!("framing/{name}"), Rules::default(), records);
        };
        of("nothing", Vec::new());
        for cut in [1, 11, 12, 16, 17, 60, 61, good().len() - 1] {
            of(&format!("cut-to-{cut}"), good()[..cut].to_vec());
        }
        for extra in [1, 11, 12, 16, 17, 60, 61, good().len() - 1] {
            of(
                &format!("and-{extra}-of-another"),
                [&good()[..], &good()[..extra]].concat(),
            );
        }
        of("two", [good(), good()].concat());
        of("and-zeros", [good(), vec![0; 30]].concat());
        of("and-ones", [good(), vec![0x7f; 30]].concat());
        for magic in [-1i8, 0, 1, 3, 127] {
            of(
                &format!("magic-{magic}"),
                patched(good(), 16, &magic.to_be_bytes()),
            );
        }
        for length in [-1i32, 0, 13, 14, 48, i32::MAX] {
            of(
                &format!("length-{length}"),
                patched(good(), 8, &length.to_be_bytes()),
            );
        }
        for codec in CODECS {
            let bytes = batch(codec, 4, &payload(&records(4)));
            let name = format!("framing/{}-at-version-6", self::name(codec));
            self.at_version(name, Rules::default(), 6, bytes);
        }
        let idempotent = {
            let mut builder =
                BatchBuilder::new(NOW).producer(ProducerId(9), ProducerEpoch(1), Sequence(100));
            builder.push(
                NOW,
                Some(b"k"),
                Some(b"v"),
                &[("h", Some(b"1")), ("h", None)],
            );
            builder.build().into_bytes().to_vec()
        };
        self.add(
            "framing/idempotent".to_string(),
            Rules::default(),
            idempotent,
        );
    }
}

/// A verdict as the golden file spells it: an error code and the rejected records, or the header as it is stored.
fn ours(case: &Case) -> String {
    let records = Bytes::from(case.records.clone());
    match validate(records, &case.rules, NOW) {
        Ok(Checked { batch, .. }) => {
            batch.check_crc().expect("a true checksum");
            // The epoch is the leader's to set.
            let header = &batch.bytes()[16..61];
            format!("stored {}", hex(header))
        }
        Err(refusal) => {
            let code = match &refusal {
                Refusal::Corrupt(_) => 2,
                Refusal::TooLarge(_) => 10,
                Refusal::BeyondSegment { .. } => 18,
                Refusal::InvalidTimestamps(_) => 32,
                Refusal::Compression(_) => 76,
                Refusal::Invalid(_) | Refusal::InvalidRecords(_) => 87,
            };
            let indexes: Vec<String> = refusal
                .record_errors()
                .iter()
                .map(|error| error.index.to_string())
                .collect();
            format!("error {code} [{}]", indexes.join(","))
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn verdicts_are_kafkas() {
    let golden: BTreeMap<&str, &str> = include_str!("golden/batches/verdicts.txt")
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let cases = cases();
    assert_eq!(cases.len(), golden.len(), "a case has no verdict of Kafka");
    let mut wrong = Vec::new();
    for case in &cases {
        let (ours, kafkas) = (ours(case), golden[case.name.as_str()]);
        let differs = DIFFERENCES
            .iter()
            .find(|(end, ..)| case.name.ends_with(end));
        let right = match differs {
            Some((_, expected, _)) => ours == *expected,
            None if kafkas.starts_with("error -1 ") => ours.starts_with("error "),
            None => ours == kafkas,
        };
        if !right {
            wrong.push(format!("{}: ours {ours}, Kafka's {kafkas}", case.name));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Prints the cases for `Verdicts.java`.
#[test]
#[ignore = "for making the golden file"]
fn print_cases() {
    println!();
    for case in cases() {
        let rules = &case.rules;
        println!(
            "case {} {} {} {} {} {} {}",
            case.name,
            case.produce_version,
            rules.max_message_bytes,
            rules.timestamp_type == TimestampType::LogAppendTime,
            rules.timestamp_before_max_ms,
            rules.compacted,
            hex(&case.records),
        );
    }
}
