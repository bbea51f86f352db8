//! A data directory with damage: the broker starts and serves what is whole, or says what is wrong.
//!
//! What is read back is checked: every batch has its checksum, and its offset follows (D8: corruption is never hidden).

use wiber_broker::inspect::{Depth, inspect};
use wiber_model::Offset;
use wiber_model::batch::Batches;

use crate::broker_in_memory::{
    BrokerInMemory, FETCH_VERSION, PRODUCE_VERSION, batch, fetch, killed_directory, produce,
};
use crate::memory_disk::MemoryDisk;

/// Bytes of an instruction: the file, what to do, where, and with what.
const INSTRUCTION_BYTES: usize = 8;
/// A reader that asks more often for one partition goes round in circles.
const FETCHES_MAX: usize = 1000;

/// Each instruction damages a file: the first byte chooses it, the second the damage, the next four the place, the last two are bytes.
pub fn run(input: &[u8]) {
    let mut disk = killed_directory().disk.clone();
    let (instructions, _) = input.as_chunks::<INSTRUCTION_BYTES>();
    for instruction in instructions {
        damage(&mut disk, instruction);
    }
    let _ = inspect(&mut disk, Depth::Batches, &mut |_| {});
    let Ok(mut broker) = BrokerInMemory::open(disk) else {
        return;
    };
    for partition in 0..2 {
        read(&mut broker, partition);
        if broker.fatal.is_none() {
            broker.ask(&produce(partition, batch(0)), PRODUCE_VERSION);
        }
    }
    // What is there now starts again, or says what is wrong.
    let _ = BrokerInMemory::open(broker.disk);
}

fn damage(disk: &mut MemoryDisk, instruction: &[u8; INSTRUCTION_BYTES]) {
    let [which, how, a, b, c, d, x, y] = *instruction;
    let files: Vec<_> = disk.0.keys().copied().collect();
    let Some(file) = files.get(usize::from(which) % files.len().max(1)) else {
        return;
    };
    let Some(bytes) = disk.0.get_mut(file) else {
        return;
    };
    let at = u32::from_le_bytes([a, b, c, d]) as usize % (bytes.len() + 1);
    match how % 6 {
        0 => bytes
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte ^= x),
        1 => bytes
            .iter_mut()
            .skip(at)
            .take(usize::from(x) << 4)
            .for_each(|byte| *byte = y),
        2 => bytes.truncate(at),
        3 => bytes.resize(bytes.len() + usize::from(x), y),
        4 => {
            disk.0.remove(file);
        }
        _ => {
            // A file in the place of another, or an old one that came back.
            let copied = bytes.clone();
            let other = files[usize::from(x) % files.len()];
            disk.0.insert(other, copied);
        }
    }
}

fn read(broker: &mut BrokerInMemory, partition: i32) {
    let mut offset = 0;
    for _ in 0..FETCHES_MAX {
        let Some(answer) = broker.ask(&fetch(partition, offset), FETCH_VERSION) else {
            return;
        };
        let Some(data) = answer
            .responses
            .first()
            .and_then(|topic| topic.partitions.first())
        else {
            return;
        };
        let records = data.records.as_ref().map(|records| records.to_bytes());
        let records = records.unwrap_or_default();
        if data.error_code != 0 || records.is_empty() {
            return;
        }
        let before = offset;
        for batch in Batches::new(records) {
            let batch = batch.expect("what is served is whole");
            assert_eq!(batch.check_crc(), Ok(()), "a damaged batch was served");
            assert!(batch.next_offset() > Offset(offset), "offsets go back");
            assert!(batch.next_offset().0 <= data.high_watermark);
            offset = batch.next_offset().0;
        }
        assert!(offset > before);
    }
    panic!("partition {partition} has no end");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let files = killed_directory().disk.0.len() as u8;
    let mut seeds = vec![Vec::new()];
    for which in 0..files {
        for how in 0..6 {
            seeds.push(vec![which, how, 100, which * how, 0, 0, 1, 7]);
        }
    }
    seeds
}
