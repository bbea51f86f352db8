//! Requests and responses. What can be read can be written, and is then read as the same.

use std::sync::LazyLock;

use bytes::Bytes;
use wiber_protocol::introspect::{Entry, Fault, Role, entries};
use wiber_protocol::{RequestFrame, encode_request};

/// Seeds of each message and version.
const SEEDS_PER_VERSION: u64 = 2;
/// Kafka's name of a header, api key, version and correlation id, in bytes.
const HEADER_BYTES: usize = 8;

static REQUESTS: LazyLock<Vec<Entry>> =
    LazyLock::new(|| of_role(|role| matches!(role, Role::Request(_) | Role::RequestHeader)));
static RESPONSES: LazyLock<Vec<Entry>> =
    LazyLock::new(|| of_role(|role| matches!(role, Role::Response(_) | Role::ResponseHeader)));

fn of_role(wanted: impl Fn(Role) -> bool) -> Vec<Entry> {
    let all = entries().into_iter();
    all.filter(|entry| wanted(entry.role)).collect()
}

pub fn run_request(input: &[u8]) {
    // As a frame, and as the body of each message: a frame's first bytes say which.
    if let Ok(frame) = RequestFrame::parse(Bytes::copy_from_slice(input)) {
        let entry = REQUESTS
            .iter()
            .find(|entry| entry.role == Role::Request(frame.key));
        let versions = frame.key.versions();
        if let Some(entry) = entry.filter(|_| versions.contains(frame.version)) {
            check(entry, frame.version, frame.body);
        }
    }
    run(&REQUESTS, input);
}

pub fn run_response(input: &[u8]) {
    run(&RESPONSES, input);
}

/// The first byte chooses the message, the second the version, the rest is the body.
fn run(entries: &[Entry], input: &[u8]) {
    let Some((&[which, version], body)) = input.split_first_chunk() else {
        return;
    };
    let entry = &entries[usize::from(which) % entries.len()];
    let count = entry.versions.max - entry.versions.min + 1;
    let version = entry.versions.min + i16::from(version) % count;
    check(entry, version, Bytes::copy_from_slice(body));
}

fn check(entry: &Entry, version: i16, body: Bytes) {
    match entry.convert(body, version, version) {
        Ok(sample) => {
            let again = entry.convert(sample.bytes.clone(), version, version);
            assert_eq!(again.ok(), Some(sample), "{} {version}", entry.name);
        }
        Err(Fault::Decode(_)) => {}
        Err(fault) => panic!("{} {version}: {fault}", entry.name),
    }
}

pub fn request_seeds() -> Vec<Vec<u8>> {
    let mut seeds = seeds(&REQUESTS);
    let request = wiber_protocol::messages::MetadataRequest::default();
    if let Ok(frame) = encode_request(&request, 12, 1, Some("seed".into())) {
        seeds.push(frame.to_bytes()[4..].to_vec());
        assert!(frame.to_bytes().len() > HEADER_BYTES);
    }
    seeds
}

pub fn response_seeds() -> Vec<Vec<u8>> {
    seeds(&RESPONSES)
}

fn seeds(entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (which, entry) in entries.iter().enumerate() {
        for (number, version) in entry.versions.iter().enumerate() {
            let samples = (0..SEEDS_PER_VERSION).map(|seed| entry.random(seed, version));
            for sample in samples.chain([entry.defaults(version)]).flatten() {
                let mut seed = vec![which as u8, number as u8];
                seed.extend_from_slice(&sample.bytes);
                seeds.push(seed);
            }
        }
    }
    seeds
}
