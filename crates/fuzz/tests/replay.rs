//! Each target takes its seeds, what was found before, and random changes of both.

use std::fs;
use std::path::Path;

use wiber_fuzz::{TARGETS, Target};
use wiber_model::Rng;

/// Changed inputs of each target: how many bytes of input they have together at most.
const CHANGED_BYTES: usize = 2 << 20;
/// And how many they are.
const CHANGED_INPUTS: usize = 1500;

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("a target");
    let mut inputs = found_before(target);
    inputs.extend((target.seeds)());
    assert!(!inputs.is_empty(), "{name} has no seeds");
    for input in &inputs {
        (target.run)(input);
    }
    let (mut rng, mut bytes) = (Rng::new(1), 0);
    for _ in 0..CHANGED_INPUTS {
        let mut input = inputs[rng.below(inputs.len() as u64) as usize].clone();
        for _ in 0..=rng.below(4) {
            change(&mut input, &inputs, &mut rng);
        }
        input.truncate(target.input_bytes_max);
        bytes += input.len();
        if bytes > CHANGED_BYTES {
            break;
        }
        // A panic does not tell the input.
        let shown = format!("{name} on {input:?}");
        let ended = std::panic::catch_unwind(|| (target.run)(&input));
        assert!(ended.is_ok(), "{shown}");
    }
}

fn found_before(target: &Target) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let Ok(files) = fs::read_dir(&directory) else {
        return Vec::new();
    };
    let mut files: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).expect("an input"))
        .collect()
}

fn change(input: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    if input.is_empty() {
        return input.push(rng.below(256) as u8);
    }
    let at = rng.below(input.len() as u64) as usize;
    match rng.below(7) {
        0 => input[at] ^= 1 << rng.below(8),
        1 => input[at] = rng.below(256) as u8,
        2 => input[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5) as usize],
        3 => {
            let end = input.len().min(at + 4);
            let value = [u32::MAX, i32::MAX as u32, 0, 1 << 20][rng.below(4) as usize];
            input[at..end].copy_from_slice(&value.to_be_bytes()[..end - at]);
        }
        4 => input.truncate(at),
        5 => {
            input.remove(at);
        }
        _ => {
            let other = &others[rng.below(others.len() as u64) as usize];
            let from = rng.below(other.len() as u64 + 1) as usize;
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

macro_rules! replays {
    ($($target:ident)*) => {
        const REPLAYED: &[&str] = &[$(stringify!($target)),*];
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )*
    };
}

replays! { requests responses batches compression frames checkpoints metadata directories broker }

#[test]
fn every_target_is_replayed() {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, REPLAYED);
}
