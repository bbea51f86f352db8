//! A whole broker that is asked anything.
//!
//! Whatever a connection sends, each frame is answered or ends the connection, and a client that behaves is served as before.

use bytes::Bytes;
use wiber_broker::{ConnectionId, served_apis};
use wiber_protocol::introspect::{Role, entries};
use wiber_protocol::{Request, SIZE_PREFIX_BYTES, Str, encode_request};

use crate::broker_in_memory::{
    BrokerInMemory, FETCH_VERSION, PRODUCE_VERSION, TOPIC, batch, fetch, killed_directory, produce,
};

const CONNECTIONS: u8 = 3;
/// The most that time goes on between two frames, in ms.
const WAIT_MS_MAX: i64 = 2_000;
/// The first byte of what is not a frame: the client goes, or time passes.
const GO: u8 = 250;
const WAIT: u8 = 251;

/// A list of frames, each behind a byte that chooses the connection and two that tell its length.
pub fn run(input: &[u8]) {
    let opened = BrokerInMemory::open(killed_directory().disk.clone());
    let mut broker = opened.expect("a sound directory");
    let mut rest = input;
    while let Some((&[which, high, low], behind)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([high, low])).min(behind.len());
        let (frame, behind) = behind.split_at(len);
        rest = behind;
        let connection = ConnectionId(u64::from(which % CONNECTIONS));
        match which {
            GO => broker.disconnect(connection),
            WAIT => broker.wait(i64::from(high) * WAIT_MS_MAX / i64::from(u8::MAX)),
            _ => {
                broker.connect(connection);
                broker.send(connection, Bytes::copy_from_slice(frame));
            }
        }
        assert_eq!(broker.fatal, None);
    }
    for partition in 0..2 {
        // The topic may be gone by now, or be set not to take these; but there is an answer.
        let produced = broker.ask(&produce(partition, batch(0)), PRODUCE_VERSION);
        let fetched = broker.ask(&fetch(partition, 0), FETCH_VERSION);
        assert!(produced.is_some() && fetched.is_some());
    }
    assert_eq!(broker.fatal, None);
    let reopened = BrokerInMemory::open(broker.disk);
    assert!(reopened.is_ok(), "{:?}", reopened.err());
}

/// A request of each API and version with random contents, and some that make sense one after the other.
pub fn seeds() -> Vec<Vec<u8>> {
    let served: Vec<_> = served_apis().collect();
    let mut seeds = Vec::new();
    for entry in entries() {
        let Role::Request(key) = entry.role else {
            continue;
        };
        if !served.iter().any(|(served, _)| *served == key) {
            continue;
        }
        let mut seed = Vec::new();
        for version in entry.versions.iter() {
            for number in 0..2 {
                let Ok(sample) = entry.random(number, version) else {
                    continue;
                };
                let mut frame = key.number().to_be_bytes().to_vec();
                frame.extend_from_slice(&version.to_be_bytes());
                frame.extend_from_slice(&[0, 0, 0, 1, 255, 255]);
                if key.request_header_version(version) >= 2 {
                    frame.push(0);
                }
                frame.extend_from_slice(&sample.bytes);
                push(&mut seed, version as u8 % CONNECTIONS, &frame);
            }
        }
        seeds.push(seed);
    }
    let mut sense = Vec::new();
    for number in 0..8 {
        push_request(
            &mut sense,
            &produce(number % 2, batch(number)),
            PRODUCE_VERSION,
        );
        push_request(&mut sense, &fetch(number % 2, 0), FETCH_VERSION);
    }
    let delete = wiber_protocol::messages::DeleteTopicsRequest {
        topic_names: vec![Str::from(TOPIC)],
        timeout_ms: 1000,
        ..Default::default()
    };
    push_request(&mut sense, &delete, 5);
    push_request(&mut sense, &produce(0, batch(0)), PRODUCE_VERSION);
    push(&mut sense, GO, &[]);
    seeds.push(sense);
    seeds
}

fn push_request<R: Request>(seed: &mut Vec<u8>, request: &R, version: i16) {
    if let Ok(frame) = encode_request(request, version, 1, None) {
        push(seed, 0, &frame.to_bytes()[SIZE_PREFIX_BYTES..]);
    }
}

fn push(seed: &mut Vec<u8>, which: u8, frame: &[u8]) {
    if let Ok(len) = u16::try_from(frame.len()) {
        seed.push(which);
        seed.extend_from_slice(&len.to_be_bytes());
        seed.extend_from_slice(frame);
    }
}
