//! Small batches that unfold to gigabytes must cost neither memory nor time beyond their bounds.
//!
//! One test, alone in its process: it watches the process's peak of memory, which counts what the codecs' C code takes.

use std::io::Write;

use bytes::Bytes;
use wiber_model::TimestampMs;
use wiber_model::batch::{BatchBuilder, Compression, crc32c, put_varint};
use wiber_storage::compression::{Decoder, DecompressError, compress};
use wiber_storage::validate::{Refusal, Rules, TooLarge, validate};

const MIB: u64 = 1024 * 1024;
/// How much the records may unfold to.
const LIMIT: u64 = 32 * MIB;
/// How much of it may be in memory at a time: the zstd window and what surrounds it. Far less than the limit.
const MEMORY: u64 = 12 * MIB;

/// The memory that the process has now; from here on, [`peak`] tells the most that it had.
fn mark() -> u64 {
    // Where the mark cannot be reset, the peak is that of the whole process, and the test is less sharp.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    peak()
}

/// The most memory that the process had since the last [`mark`], in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let of_line = |line: &str| -> Option<u64> {
        let kib = line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?;
        kib.parse().ok()
    };
    let kib = status.lines().find_map(of_line);
    kib.expect("a line with the peak") * 1024
}

/// Payloads of zeros, a multiple of the limit, of a form that every client could send.
fn bombs() -> Vec<(Compression, Vec<u8>)> {
    let zeros = vec![0; MIB as usize];
    let many = 2 * LIMIT / MIB;

    let member = compress(Compression::Gzip, &zeros);
    let gzip = member.repeat(many as usize);

    let framed = compress(Compression::Snappy, &zeros);
    let snappy = [&framed[..16], &framed[16..].repeat(many as usize)].concat();

    let frame = compress(Compression::Lz4, &zeros);
    let blocks = &frame[7..frame.len() - 4];
    let end = &frame[frame.len() - 4..];
    let lz4 = [&frame[..7], &blocks.repeat(many as usize), end].concat();

    // A window of 8 MiB, the largest that is streamed, and blocks of one byte that stand for 128 KiB.
    let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3];
    let block = |last: u32| (((128 * 1024) << 3) | 0b10 | last).to_le_bytes();
    for i in 1..=many * 8 {
        zstd.extend_from_slice(&block(u32::from(i == many * 8))[..3]);
        zstd.push(0);
    }

    vec![
        (Compression::Gzip, gzip),
        (Compression::Snappy, snappy),
        (Compression::Lz4, lz4),
        (Compression::Zstd, zstd),
    ]
}

/// A batch of one record that says that its value is as long as may be, and a codec that goes on for longer.
fn batch(codec: Compression, value_bytes: i32) -> Bytes {
    let mut head = Vec::new();
    let mut body = vec![0, 0, 0, 1];
    put_varint(&mut body, value_bytes);
    put_varint(&mut head, body.len() as i32 + value_bytes);
    head.extend_from_slice(&body);
    let payload = compress(codec, &[&head[..], &vec![0; 1 << 16]].concat());
    let mut bytes = BatchBuilder::new(TimestampMs(0))
        .build_with(codec, &payload)
        .into_bytes()
        .to_vec();
    bytes[23..27].copy_from_slice(&0i32.to_be_bytes());
    bytes[57..61].copy_from_slice(&1i32.to_be_bytes());
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

#[test]
fn bombs_stop_at_the_limit() {
    let bombs = bombs();
    let before = mark();
    for (codec, payload) in &bombs {
        assert!(
            payload.len() as u64 * 4 < LIMIT,
            "{codec:?} is not much of a bomb"
        );
        let mut decoder = Decoder::new(*codec, payload, LIMIT).unwrap();
        let mut unfolded = 0;
        let error = loop {
            match decoder.chunk().map(<[u8]>::len) {
                Ok(0) => panic!("{codec:?} ends after {unfolded} bytes"),
                Ok(count) => {
                    unfolded += count as u64;
                    decoder.consume(count);
                }
                Err(error) => break error,
            }
        };
        assert_eq!(
            error,
            DecompressError::TooLarge { limit_bytes: LIMIT },
            "{codec:?}"
        );
        assert!(
            unfolded <= LIMIT && unfolded > LIMIT - 4 * MIB,
            "{codec:?}: {unfolded}"
        );
        let taken = peak().saturating_sub(before);
        assert!(taken <= MEMORY, "{codec:?} took {taken} bytes");
    }

    // Six bytes that declare 4 GiB, bare and framed (CVE-2023-34455).
    let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let framed = [&compress(Compression::Snappy, b"")[..], &[0, 0, 0, 6], &lie].concat();
    for payload in [&lie[..], &framed] {
        let error = Decoder::new(Compression::Snappy, payload, u64::MAX)
            .and_then(Decoder::into_vec)
            .unwrap_err();
        assert!(matches!(error, DecompressError::Malformed { .. }));
        let taken = peak().saturating_sub(before);
        assert!(taken <= MEMORY, "a declared length took {taken} bytes");
    }

    // A bare block that says what it unfolds to, truly and too much.
    let zeros = snap::raw::Encoder::new().compress_vec(&vec![0; 2 * LIMIT as usize]);
    let before = mark();
    let error = Decoder::new(Compression::Snappy, &zeros.unwrap(), LIMIT)
        .and_then(Decoder::into_vec)
        .unwrap_err();
    assert_eq!(error, DecompressError::TooLarge { limit_bytes: LIMIT });
    let taken = peak().saturating_sub(before);
    assert!(taken <= MEMORY, "a bare block took {taken} bytes");

    // A record that declares a gigabyte is refused for that, not after a gigabyte.
    let rules = Rules {
        decompressed_bytes_max: LIMIT,
        ..Rules::default()
    };
    for (codec, _) in &bombs {
        let refusal = validate(batch(*codec, 1 << 30), &rules, TimestampMs(0)).unwrap_err();
        let error = TooLarge::Decompressed { limit_bytes: LIMIT };
        assert_eq!(refusal, Refusal::TooLarge(error), "{codec:?}");
    }

    // A window that is too large to stream is unfolded at once, but not if it is much.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    for _ in 0..64 {
        encoder.write_all(&vec![0; MIB as usize]).unwrap();
    }
    let payload = encoder.finish().unwrap();
    let before = mark();
    let refused = Decoder::new(Compression::Zstd, &payload, 1024 * MIB).map(|_| ());
    assert!(matches!(refused, Err(DecompressError::Malformed { .. })));
    let taken = peak().saturating_sub(before);
    assert!(taken <= 33 * MIB, "the large window took {taken} bytes");
}
