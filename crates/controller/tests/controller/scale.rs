//! What a command costs does not depend on how many topics there are.

// Measuring needs a clock.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::{Duration, Instant};

use crate::node::{Disk, Node, topic};

const TOPICS: usize = 10_000;
const CHUNK: usize = 1000;

/// Measured in a release build: `cargo test --release -p wiber-controller scale -- --nocapture`. The bound here is of the order:
/// were a creation to look at all topics, the last would take twenty times as long as the first.
#[test]
fn ten_thousand_topics_are_created_one_by_one() {
    let mut node = Node::new();
    node.check = false;
    let mut times: Vec<Duration> = Vec::new();
    for chunk in 0..TOPICS / CHUNK {
        let began = Instant::now();
        for i in 0..CHUNK {
            node.create(vec![topic(&format!("topic-{chunk}-{i}"), 1)]);
            node.sync();
        }
        times.push(began.elapsed());
    }
    assert_eq!(node.shard.topic_count(), TOPICS);
    println!("per {CHUNK} topics: {times:?}");
    let (first, last) = (times[0], times[times.len() - 1]);
    assert!(last < first * 8, "{times:?}");

    let began = Instant::now();
    node.checkpoint();
    let checkpoint = began.elapsed();
    node.sync_some(0);
    let bytes = node.disk.checkpoint.as_ref().unwrap().1.len();
    let disk = node.crash(0);
    let began = Instant::now();
    let image = disk.recover().image().clone();
    let restored = began.elapsed();
    let began = Instant::now();
    let replayed = Disk {
        checkpoint: None,
        ..disk.clone()
    };
    assert_eq!(replayed.recover().image(), &image);
    println!(
        "a checkpoint of {bytes} bytes: {checkpoint:?}; restored: {restored:?}; replayed: {:?}",
        began.elapsed()
    );
    let mut node = Node::start(disk, 2);
    let began = Instant::now();
    node.register(1);
    println!(
        "the registration plans {TOPICS} new epochs: {:?}",
        began.elapsed()
    );
}
