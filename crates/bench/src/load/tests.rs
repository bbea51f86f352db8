//! The load against a broker of a few lines, whose stalls are known.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use wiber_protocol::messages::produce::{PartitionProduceResponse, TopicProduceResponse};
use wiber_protocol::messages::{ProduceRequest, ProduceResponse};
use wiber_protocol::{RequestFrame, encode_response};

use super::*;

/// Answers each Produce, and before the `stalls_at`th waits `stall`.
fn serve(mut stream: TcpStream, stalls_at: u64, stall: Duration, error_code: i16) {
    for number in 0.. {
        let mut prefix = [0; 4];
        if stream.read_exact(&mut prefix).is_err() {
            return;
        }
        let mut frame = vec![0; u32::from_be_bytes(prefix) as usize];
        stream.read_exact(&mut frame).unwrap();
        let request = RequestFrame::parse(frame.into()).unwrap();
        let body: ProduceRequest = request.decode().unwrap();
        if number == stalls_at {
            thread::sleep(stall);
        }
        let response = ProduceResponse {
            responses: vec![TopicProduceResponse {
                name: body.topic_data[0].name.clone(),
                partition_responses: vec![PartitionProduceResponse {
                    index: body.topic_data[0].partition_data[0].index,
                    error_code,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = encode_response(&response, request.version, request.correlation_id).unwrap();
        stream.write_all(&answer.to_bytes()).unwrap();
    }
}

fn broker(stalls_at: u64, stall: Duration, error_code: i16) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || serve(stream, stalls_at, stall, error_code));
        }
    });
    address
}

fn options(broker: SocketAddr, pace: Pace) -> Options {
    Options {
        broker,
        topic: "t".into(),
        partitions: 3,
        records: 1000,
        value_bytes: 10,
        batch: 1,
        connections: 1,
        warm_up_records: 0,
        pace,
    }
}

const STALL: Duration = Duration::from_millis(200);

#[test]
fn an_open_pace_charges_a_stall_to_every_record_that_fell_due_in_it() {
    let pace = Pace::Open {
        records_per_s: 2000,
    };
    let outcome = Load::new(options(broker(100, STALL, 0), pace))
        .run()
        .unwrap();
    assert_eq!(outcome.records, 1000);
    // 400 of the 1,000 records are due within the stall and wait 100 ms on average.
    let latency = outcome.latency_us;
    assert!(latency.p90 > 100_000.0, "{latency:?}");
    assert!(latency.max >= 200_000.0, "{latency:?}");
    assert!(outcome.seconds >= 0.499, "sent ahead of time");
}

#[test]
fn a_closed_pace_sees_a_stall_only_in_what_was_on_its_way() {
    let pace = Pace::Closed { in_flight: 1 };
    let outcome = Load::new(options(broker(100, STALL, 0), pace))
        .run()
        .unwrap();
    assert!(outcome.latency_us.p99 < 100_000.0);
    assert!(outcome.latency_us.max >= 200_000.0);
}

#[test]
fn what_is_in_the_warm_up_is_not_counted() {
    for pace in [
        Pace::Closed { in_flight: 1 },
        Pace::Open {
            records_per_s: 2000,
        },
    ] {
        let outcome = Load::new(Options {
            warm_up_records: 900,
            ..options(broker(100, STALL, 0), pace)
        })
        .run()
        .unwrap();
        assert_eq!(outcome.records, 100);
        assert!(outcome.latency_us.max < 200_000.0);
        assert!(outcome.seconds < 0.2);
    }
}

#[test]
fn a_record_of_a_batch_waits_for_the_last_one() {
    let pace = Pace::Open {
        records_per_s: 1000,
    };
    let outcome = Load::new(Options {
        batch: 100,
        connections: 2,
        ..options(broker(u64::MAX, STALL, 0), pace)
    })
    .run()
    .unwrap();
    // The first record of each batch is due 99 ms before the last.
    assert_eq!(outcome.records, 1000);
    assert!(outcome.latency_us.max >= 99_000.0);
    assert!(outcome.latency_us.p50 >= 49_000.0);
}

#[test]
fn a_refused_record_ends_the_run() {
    let pace = Pace::Closed { in_flight: 2 };
    let outcome = Load::new(options(broker(u64::MAX, STALL, 3), pace)).run();
    assert!(matches!(outcome, Err(BenchError::Refused { code: 3, .. })));
}

#[test]
fn times_do_not_drift() {
    assert_eq!(due_after(0, 3), Duration::ZERO);
    assert_eq!(
        due_after(3_000_000_000, 3),
        Duration::from_secs(1_000_000_000)
    );
    assert_eq!(due_after(1, 3), Duration::from_nanos(333_333_333));
}
