//! How fast batches are validated: `cargo bench -p wiber-storage --bench validate`.
//!
//! Prints, for batches as producers send them, nanoseconds of processor time per record and bytes of the batch per second of it,
//! checksum included; for compressed batches also the bytes that they unfold to. Each figure is the median of the rounds. It is
//! the thread's own time, as Linux counts it: a busy machine hardly changes it.

use std::hint::black_box;

use wiber_model::TimestampMs;
use wiber_model::batch::{Batch, BatchBuilder, Compression};
use wiber_storage::compression::{compress, name};
use wiber_storage::validate::{Rules, validate};

const ROUNDS: usize = 9;
const ROUND_NS: f64 = 50_000_000.0;
const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

fn main() {
    println!("codec   record B  records   batch B    ns/record    GB/s   unfolded GB/s");
    for codec in [
        Compression::None,
        Compression::Lz4,
        Compression::Zstd,
        Compression::Snappy,
        Compression::Gzip,
    ] {
        for (value_bytes, count) in [
            (100, 1),
            (100, 160),
            (100, 9_000),
            (1024, 1),
            (1024, 16),
            (1024, 1000),
        ] {
            measure(codec, value_bytes, count);
        }
    }
}

fn measure(codec: Compression, value_bytes: usize, count: i64) {
    let (batch, unfolded) = batch(codec, value_bytes, count);
    let rules = Rules {
        max_message_bytes: usize::MAX,
        ..Rules::default()
    };
    let once = || {
        let bytes = batch.bytes().clone();
        black_box(validate(black_box(bytes), &rules, NOW)).is_ok()
    };
    assert!(once());
    let round = |times: usize| {
        let start = cpu_ns();
        for _ in 0..times {
            assert!(once());
        }
        (cpu_ns() - start) / times as f64
    };
    // The clock ticks in milliseconds: a round has to last for many.
    let mut times = 1;
    while round(times) * (times as f64) < ROUND_NS {
        times *= 2;
    }
    let mut times: Vec<f64> = (0..ROUNDS).map(|_| round(times)).collect();
    times.sort_by(f64::total_cmp);
    let ns = times[ROUNDS / 2];
    println!(
        "{:7} {value_bytes:8} {count:8} {:9} {:12.1} {:7.2} {:15.2}",
        name(codec),
        batch.size_bytes(),
        ns / count as f64,
        batch.size_bytes() as f64 / ns,
        unfolded as f64 / ns,
    );
}

/// The processor time of this thread, in nanoseconds.
fn cpu_ns() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    let first = stat.split(' ').next().and_then(|ns| ns.parse().ok());
    first.expect("the time comes first")
}

/// A batch of records with values of words, which compress about threefold.
fn batch(codec: Compression, value_bytes: usize, count: i64) -> (Batch, usize) {
    const WORDS: [&[u8]; 16] = [
        b"offset ",
        b"broker ",
        b"leader ",
        b"epoch ",
        b"commit ",
        b"durable ",
        b"segment ",
        b"replica ",
        b"4711 ",
        b"0815 ",
        b"true ",
        b"false ",
        b"null ",
        b"{\"id\":",
        b"}, ",
        b"\"name\":",
    ];
    let mut builder = BatchBuilder::new(NOW);
    let mut seed = 1u64;
    for i in 0..count {
        let mut value = Vec::new();
        while value.len() < value_bytes {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            value.extend_from_slice(WORDS[(seed >> 60) as usize]);
        }
        value.truncate(value_bytes);
        let key = format!("key-{}", i % 100);
        builder.push(
            TimestampMs(NOW.0 + i / 100),
            Some(key.as_bytes()),
            Some(&value),
            &[],
        );
    }
    let unfolded = builder.payload().len();
    let payload = compress(codec, builder.payload());
    (builder.build_with(codec, &payload), unfolded)
}
