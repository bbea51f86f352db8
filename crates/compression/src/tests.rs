use std::io::Write;

use proptest::prelude::*;
use wiber_model::Rng;

use super::*;

const CODECS: [Compression; 4] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];
const LIMIT: u64 = 1 << 20;

fn unfold(
    compression: Compression,
    payload: &[u8],
    limit: u64,
) -> Result<Vec<u8>, DecompressError> {
    Decoder::new(compression, payload, limit)?.into_vec()
}

fn is_damage(result: &Result<Vec<u8>, DecompressError>) -> bool {
    matches!(result, Err(DecompressError::Malformed { .. }))
}

/// Bytes that do not compress.
fn noise(count: usize) -> Vec<u8> {
    let mut rng = Rng::new(7);
    (0..count).map(|_| rng.next_u64() as u8).collect()
}

fn text(count: usize) -> Vec<u8> {
    b"all work and no play "
        .iter()
        .copied()
        .cycle()
        .take(count)
        .collect()
}

/// What compresses, and what does not, of sizes around the blocks of the codecs.
fn samples() -> Vec<Vec<u8>> {
    let sizes = [
        0,
        1,
        100,
        32 * 1024,
        32 * 1024 + 1,
        64 * 1024,
        64 * 1024 + 1,
        300_000,
    ];
    let mixed = || [text(70_000), noise(70_000), text(70_000)].concat();
    let pure = sizes.into_iter().flat_map(|size| [text(size), noise(size)]);
    pure.chain([mixed()]).collect()
}

#[test]
fn what_is_compressed_comes_back() {
    for codec in CODECS.into_iter().chain([Compression::None]) {
        for sample in samples() {
            let payload = compress(codec, &sample);
            let unfolded = unfold(codec, &payload, LIMIT).unwrap();
            assert!(unfolded == sample, "{codec:?} of {} bytes", sample.len());
        }
    }
}

#[test]
fn the_limit_is_exact() {
    let sample = text(200_000);
    for codec in CODECS.into_iter().chain([Compression::None]) {
        let payload = compress(codec, &sample);
        assert!(unfold(codec, &payload, 200_000).is_ok(), "{codec:?}");
        let error = DecompressError::TooLarge {
            limit_bytes: 199_999,
        };
        assert_eq!(unfold(codec, &payload, 199_999), Err(error), "{codec:?}");
    }
}

#[test]
fn no_part_of_a_payload_passes_for_the_whole() {
    let sample = text(3_000);
    for codec in CODECS {
        let payload = compress(codec, &sample);
        for cut in 0..payload.len() {
            let unfolded = unfold(codec, &payload[..cut], LIMIT);
            assert!(unfolded.as_ref() != Ok(&sample), "{codec:?} cut to {cut}");
            // Snappy's framing has no end mark: what ends between two blocks is shorter, not damaged.
            let between = codec == Compression::Snappy && (cut == 0 || cut == 16);
            let nothing = codec == Compression::Gzip && cut == 0;
            let nothing = nothing || codec == Compression::Zstd && cut == 0;
            assert!(
                is_damage(&unfolded) || between || nothing,
                "{codec:?} cut to {cut}"
            );
        }
    }
}

#[test]
fn what_follows_the_end_is_refused() {
    for codec in CODECS {
        let mut payload = compress(codec, b"some text");
        payload.extend_from_slice(&[1, 2, 3, 4, 5]);
        assert!(is_damage(&unfold(codec, &payload, LIMIT)), "{codec:?}");
    }
}

#[test]
fn skipping_is_reading_without_looking() {
    let sample = [text(100_000), noise(100_000)].concat();
    for codec in CODECS.into_iter().chain([Compression::None]) {
        let payload = compress(codec, &sample);
        let mut decoder = Decoder::new(codec, &payload, LIMIT).unwrap();
        let mut at = 0;
        for step in [1, 7, 40_000, 90_000, 0, 65_536] {
            assert!(decoder.skip(step as u64).unwrap());
            at += step;
            let chunk = decoder.chunk().unwrap();
            assert!(
                sample[at..].starts_with(chunk) && !chunk.is_empty(),
                "{codec:?}"
            );
        }
        assert_eq!(decoder.skip(200_000), Ok(false), "{codec:?}");
    }
}

#[test]
fn a_skip_beyond_the_limit_is_refused_before_anything_is_unfolded() {
    for codec in CODECS.into_iter().chain([Compression::None]) {
        let payload = compress(codec, &text(100));
        let mut decoder = Decoder::new(codec, &payload, 500).unwrap();
        assert_eq!(decoder.skip(40), Ok(true));
        let error = DecompressError::TooLarge { limit_bytes: 500 };
        assert_eq!(decoder.skip(461), Err(error), "{codec:?}");
        assert_eq!(decoder.skip(460), Ok(false), "{codec:?} has but 60 more");
    }
}

#[test]
fn gzip_members_are_one_stream() {
    let twice = compress(Compression::Gzip, b"one ");
    let payload = [twice, compress(Compression::Gzip, b"two")].concat();
    assert_eq!(
        unfold(Compression::Gzip, &payload, LIMIT).unwrap(),
        b"one two"
    );
}

mod snappy {
    use super::*;

    fn bare(bytes: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(bytes).unwrap()
    }

    fn unfold_snappy(payload: &[u8]) -> Result<Vec<u8>, DecompressError> {
        unfold(Compression::Snappy, payload, LIMIT)
    }

    #[test]
    fn a_bare_block_is_read() {
        for sample in samples() {
            assert!(unfold_snappy(&bare(&sample)).unwrap() == sample);
        }
    }

    #[test]
    fn framed_streams_one_after_another_are_one() {
        let one = compress(Compression::Snappy, b"one ");
        let payload = [one, compress(Compression::Snappy, b"two")].concat();
        assert_eq!(unfold_snappy(&payload).unwrap(), b"one two");
    }

    #[test]
    fn a_declared_length_is_checked_first() {
        // 400 bytes, by a block of three bytes, which can stand for 64 of them.
        assert!(is_damage(&unfold_snappy(&[0x90, 0x03, 0x00])));
        // What it could unfold to but may not.
        let most = bare(&text(LIMIT as usize + 1));
        let error = DecompressError::TooLarge { limit_bytes: LIMIT };
        assert_eq!(unfold_snappy(&most), Err(error));
    }

    #[test]
    fn a_chunk_has_the_length_that_it_declares() {
        let header = &compress(Compression::Snappy, b"")[..16];
        for length in [-1i32, 0, 100, i32::MAX] {
            let payload = [header, &length.to_be_bytes(), &bare(b"text")].concat();
            assert!(is_damage(&unfold_snappy(&payload)), "{length}");
        }
        let empty = [header, &[0; 4]].concat();
        assert!(is_damage(&unfold_snappy(&empty)));
    }

    #[test]
    fn an_unknown_version_is_refused() {
        let mut payload = compress(Compression::Snappy, b"text");
        payload[8..12].copy_from_slice(&0i32.to_be_bytes());
        assert!(is_damage(&unfold_snappy(&payload)));
    }
}

mod lz4 {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

    use super::*;

    fn frame(info: FrameInfo, bytes: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unfold_lz4(payload: &[u8]) -> Result<Vec<u8>, DecompressError> {
        unfold(Compression::Lz4, payload, LIMIT)
    }

    #[test]
    fn every_independent_form_is_read() {
        for block_size in [
            BlockSize::Max64KB,
            BlockSize::Max256KB,
            BlockSize::Max1MB,
            BlockSize::Max4MB,
        ] {
            for sample in samples() {
                let info = FrameInfo::new()
                    .block_size(block_size)
                    .block_checksums(true)
                    .content_checksum(true)
                    .content_size(Some(sample.len() as u64));
                let unfolded = unfold_lz4(&frame(info, &sample)).unwrap();
                assert!(unfolded == sample, "{block_size:?} of {}", sample.len());
            }
        }
    }

    #[test]
    fn linked_blocks_are_refused_as_kafka_refuses_them() {
        let info = FrameInfo::new().block_mode(BlockMode::Linked);
        assert!(is_damage(&unfold_lz4(&frame(info, &text(200_000)))));
    }

    #[test]
    fn every_checksum_is_compared() {
        let info = FrameInfo::new()
            .block_checksums(true)
            .content_checksum(true);
        let good = frame(info, &noise(100));
        assert!(unfold_lz4(&good).is_ok());
        let header = 5..7;
        let block_checksum = good.len() - 12..good.len() - 8;
        let content_checksum = good.len() - 4..good.len();
        for at in header.chain(block_checksum).chain(content_checksum) {
            let mut payload = good.clone();
            payload[at] ^= 1;
            assert!(is_damage(&unfold_lz4(&payload)), "byte {at}");
        }
    }

    #[test]
    fn a_block_is_no_longer_than_the_frame_says() {
        let info = FrameInfo::new().block_size(BlockSize::Max64KB);
        let stored = |count: u32| {
            let frame = frame(info.clone(), b"");
            let (descriptor, end) = frame.split_at(7);
            let head = (count | 1 << 31).to_le_bytes();
            [descriptor, &head, &noise(count as usize), end].concat()
        };
        assert!(unfold_lz4(&stored(64 * 1024)).is_ok());
        assert!(is_damage(&unfold_lz4(&stored(64 * 1024 + 1))));
    }

    #[test]
    fn a_block_takes_no_more_memory_than_its_bytes_can_unfold_to() {
        let info = FrameInfo::new().block_size(BlockSize::Max4MB);
        let payload = frame(info, b"a few bytes, a few bytes, a few bytes, a few bytes");
        let mut decoder = Decoder::new(Compression::Lz4, &payload, LIMIT).unwrap();
        decoder.chunk().unwrap();
        assert!(decoder.decoded.capacity() < 255 * 64);
    }
}

mod zstd {
    use super::super::zstd::{WHOLE_BYTES_MAX, WINDOW_BYTES_MAX};
    use super::*;

    /// As the Java client at its highest level: a large window, and no word of the size.
    fn with_window(log: u32, bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unfold_zstd(payload: &[u8]) -> Result<Vec<u8>, DecompressError> {
        unfold(Compression::Zstd, payload, 1 << 30)
    }

    #[test]
    fn a_small_batch_may_name_a_large_window() {
        for log in [20, 23, 24, 27] {
            let sample = text(100_000);
            assert!(
                unfold_zstd(&with_window(log, &sample)).unwrap() == sample,
                "{log}"
            );
        }
    }

    #[test]
    fn a_large_window_over_much_content_is_refused() {
        let most = vec![0; WHOLE_BYTES_MAX as usize];
        assert!(unfold_zstd(&with_window(27, &most)).is_ok());
        let more = vec![0; WHOLE_BYTES_MAX as usize + 1];
        assert!(is_damage(&unfold_zstd(&with_window(27, &more))));
        assert!(unfold_zstd(&with_window(23, &more)).is_ok());
    }

    #[test]
    fn a_large_window_does_not_hide_behind_a_small_frame() {
        let much = vec![0; 2 * WINDOW_BYTES_MAX as usize];
        let payload = [with_window(20, b"small"), with_window(27, &much)].concat();
        assert!(is_damage(&unfold_zstd(&payload)));
    }

    #[test]
    fn frames_are_one_stream() {
        let one = compress(Compression::Zstd, b"one ");
        let payload = [one, compress(Compression::Zstd, b"two")].concat();
        assert_eq!(unfold_zstd(&payload).unwrap(), b"one two");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_unfolded_or_refused(payload: Vec<u8>, limit in 0..10_000u64) {
        for codec in CODECS {
            if let Ok(unfolded) = unfold(codec, &payload, limit) {
                prop_assert!(unfolded.len() as u64 <= limit);
            }
        }
    }

    #[test]
    fn any_change_is_unfolded_or_refused(
        size in 0..40_000usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let sample = [text(size), noise(size / 4)].concat();
        for codec in CODECS {
            let mut payload = compress(codec, &sample);
            for (at, byte) in &changes {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
            let limit = sample.len() as u64;
            if let Ok(unfolded) = unfold(codec, &payload, limit) {
                prop_assert!(unfolded.len() as u64 <= limit);
            }
        }
    }
}
