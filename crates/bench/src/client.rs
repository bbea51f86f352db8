//! A client that asks one thing at a time: what surrounds a measurement.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use wiber_model::TimestampMs;
use wiber_model::batch::BatchBuilder;
use wiber_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use wiber_protocol::messages::fetch::{FetchPartition, FetchTopic};
use wiber_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use wiber_protocol::messages::metadata::MetadataRequestTopic;
use wiber_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use wiber_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, ListOffsetsRequest,
    MetadataRequest, ProduceRequest,
};
use wiber_protocol::{ApiKey, Request, SIZE_PREFIX_BYTES, Str, decode_response, encode_request};

use crate::error::BenchError;

/// The last version that names topics rather than their ids.
pub const PRODUCE_VERSION: i16 = 12;
/// The last version that names topics rather than their ids.
pub const FETCH_VERSION: i16 = 12;
/// The last version that names topics in a list of their own.
pub const DELETE_TOPICS_VERSION: i16 = 5;
const API_VERSIONS_VERSION: i16 = 3;
const METADATA_VERSION: i16 = 12;
const CREATE_TOPICS_VERSION: i16 = 7;
const LIST_OFFSETS_VERSION: i16 = 7;

/// What the requests call themselves.
pub const CLIENT_ID: Str = Str::from_static("wiber-bench");
/// How long a broker may take over a request, in milliseconds.
pub const REQUEST_TIMEOUT_MS: i32 = 30_000;
/// The largest answer that is read, in bytes: metadata of 100,000 topics has room.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// What a fetch asks for at most, in bytes.
const FETCH_BYTES: i32 = 1 << 20;
/// How long a topic may take to get its leaders.
const LEADERS_DEADLINE: Duration = Duration::from_secs(60);
/// The pause before something that was refused for now is asked again.
const RETRY_PAUSE: Duration = Duration::from_micros(200);
/// Acknowledgement by all replicas, which clients ask for by default.
const ACKS_ALL: i16 = -1;
/// ListOffsets' name for the end of the log.
const LATEST_TIMESTAMP: i64 = -1;

/// Topics to create.
pub struct TopicSpec {
    /// The names.
    pub names: Vec<String>,
    /// Partitions of each.
    pub partitions: i32,
    /// Settings of each.
    pub configs: Vec<(String, String)>,
}

/// How long a creation took.
#[derive(Serialize)]
pub struct Created {
    /// Until the request was answered, in milliseconds.
    pub answered_ms: f64,
    /// Until all partitions had a leader, in milliseconds.
    pub ready_ms: f64,
}

/// One connection, one request at a time.
pub struct Client {
    stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    /// Connects once.
    pub fn connect(broker: SocketAddr) -> Result<Client, BenchError> {
        let fail = |error| BenchError::Connect(broker, error);
        let stream = TcpStream::connect(broker).map_err(fail)?;
        stream.set_nodelay(true).map_err(fail)?;
        Client::of(stream)
    }

    /// A client of a connection on which nothing is on its way, or the answer of request 1.
    pub fn of(stream: TcpStream) -> Result<Client, BenchError> {
        let answer_within = Duration::from_millis(REQUEST_TIMEOUT_MS as u64);
        stream.set_read_timeout(Some(answer_within))?;
        Ok(Client {
            stream,
            correlation_id: 1,
        })
    }

    /// Asks for the versions, as every client does first.
    pub fn api_versions(&mut self) -> Result<(), BenchError> {
        let request = ApiVersionsRequest {
            client_software_name: CLIENT_ID,
            client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
        };
        let answer = self.call(&request, API_VERSIONS_VERSION)?;
        BenchError::check(ApiKey::ApiVersions, answer.error_code)
    }

    /// Creates topics and waits until all their partitions have leaders.
    pub fn create_topics(&mut self, spec: &TopicSpec) -> Result<Created, BenchError> {
        let configs: Vec<_> = spec
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: name.as_str().into(),
                value: Some(value.as_str().into()),
            })
            .collect();
        let request = CreateTopicsRequest {
            topics: spec
                .names
                .iter()
                .map(|name| CreatableTopic {
                    name: name.as_str().into(),
                    num_partitions: spec.partitions,
                    replication_factor: -1,
                    assignments: vec![],
                    configs: configs.clone(),
                })
                .collect(),
            timeout_ms: REQUEST_TIMEOUT_MS,
            validate_only: false,
        };
        let begun = Instant::now();
        let answer = self.call(&request, CREATE_TOPICS_VERSION)?;
        for topic in &answer.topics {
            BenchError::check(ApiKey::CreateTopics, topic.error_code)?;
        }
        let answered_ms = ms(begun.elapsed());
        retry("leaders for the new topics", LEADERS_DEADLINE, || {
            self.check_leaders(&spec.names, spec.partitions)
        })?;
        Ok(Created {
            answered_ms,
            ready_ms: ms(begun.elapsed()),
        })
    }

    /// Deletes topics.
    pub fn delete_topics(&mut self, names: &[String]) -> Result<(), BenchError> {
        let request = DeleteTopicsRequest {
            topics: vec![],
            topic_names: names.iter().map(|name| name.as_str().into()).collect(),
            timeout_ms: REQUEST_TIMEOUT_MS,
        };
        let answer = self.call(&request, DELETE_TOPICS_VERSION)?;
        answer
            .responses
            .iter()
            .try_for_each(|topic| BenchError::check(ApiKey::DeleteTopics, topic.error_code))
    }

    /// Asks for topics by name, which creates those that there are not, and fails unless each has that many partitions
    /// and each partition a leader.
    pub fn check_leaders(&mut self, names: &[String], partitions: i32) -> Result<(), BenchError> {
        let request = MetadataRequest {
            topics: Some(
                names
                    .iter()
                    .map(|name| MetadataRequestTopic {
                        name: Some(name.as_str().into()),
                        ..Default::default()
                    })
                    .collect(),
            ),
            ..Default::default()
        };
        let answer = self.call(&request, METADATA_VERSION)?;
        for topic in &answer.topics {
            BenchError::check(ApiKey::Metadata, topic.error_code)?;
            for partition in &topic.partitions {
                BenchError::check(ApiKey::Metadata, partition.error_code)?;
            }
            if topic.partitions.len() < partitions as usize {
                return Err(BenchError::Lacking(ApiKey::Metadata));
            }
        }
        Ok(())
    }

    /// Produces one record to partition 0, acknowledged by all.
    pub fn produce_one(&mut self, topic: &str, timestamp: TimestampMs) -> Result<(), BenchError> {
        self.produce_one_to(topic, 0, timestamp)
    }

    /// Produces one record, acknowledged by all.
    pub fn produce_one_to(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp: TimestampMs,
    ) -> Result<(), BenchError> {
        let mut batch = BatchBuilder::new(timestamp);
        batch.push(timestamp, None, Some(b"first"), &[]);
        self.produce(&topic.into(), partition, batch.build().into_bytes())
    }

    /// Produces a batch, acknowledged by all.
    pub fn produce(&mut self, topic: &Str, partition: i32, batch: Bytes) -> Result<(), BenchError> {
        let request = produce_request(topic, partition, batch);
        let answer = self.call(&request, PRODUCE_VERSION)?;
        let partition = answer
            .responses
            .first()
            .and_then(|topic| topic.partition_responses.first())
            .ok_or(BenchError::Lacking(ApiKey::Produce))?;
        BenchError::check(ApiKey::Produce, partition.error_code)
    }

    /// The offset that partition 0's next record will have.
    pub fn end_offset(&mut self, topic: &str) -> Result<i64, BenchError> {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic.into(),
                partitions: vec![ListOffsetsPartition {
                    timestamp: LATEST_TIMESTAMP,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        let answer = self.call(&request, LIST_OFFSETS_VERSION)?;
        let partition = answer
            .topics
            .first()
            .and_then(|topic| topic.partitions.first())
            .ok_or(BenchError::Lacking(ApiKey::ListOffsets))?;
        BenchError::check(ApiKey::ListOffsets, partition.error_code)?;
        Ok(partition.offset)
    }

    /// The bytes that partition 0 has from `offset` on, up to a MiB; it is an error if there are none.
    pub fn fetch(&mut self, topic: &str, offset: i64) -> Result<Bytes, BenchError> {
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: 0,
            min_bytes: 1,
            max_bytes: FETCH_BYTES,
            topics: vec![FetchTopic {
                topic: topic.into(),
                partitions: vec![FetchPartition {
                    fetch_offset: offset,
                    partition_max_bytes: FETCH_BYTES,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = self.call(&request, FETCH_VERSION)?;
        BenchError::check(ApiKey::Fetch, answer.error_code)?;
        let partition = answer
            .responses
            .first()
            .and_then(|topic| topic.partitions.first())
            .ok_or(BenchError::Lacking(ApiKey::Fetch))?;
        BenchError::check(ApiKey::Fetch, partition.error_code)?;
        partition
            .records
            .as_ref()
            .map(|records| records.to_bytes())
            .filter(|records| !records.is_empty())
            .ok_or(BenchError::Lacking(ApiKey::Fetch))
    }

    /// Asks, and waits for the answer.
    pub fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, BenchError> {
        self.correlation_id += 1;
        let frame = encode_request(request, version, self.correlation_id, Some(CLIENT_ID))?;
        self.stream.write_all(&frame.to_bytes())?;
        self.answer::<R>(version)
    }

    /// The answer of what was sent last.
    pub fn answer<R: Request>(&mut self, version: i16) -> Result<R::Response, BenchError> {
        let mut prefix = [0; SIZE_PREFIX_BYTES];
        self.stream.read_exact(&mut prefix)?;
        let mut answer = vec![0; answer_bytes(prefix)?];
        self.stream.read_exact(&mut answer)?;
        let (got, response) = decode_response(answer.into(), version)?;
        if got == self.correlation_id {
            Ok(response)
        } else {
            Err(BenchError::OutOfOrder {
                expected: self.correlation_id,
                got,
            })
        }
    }
}

/// The size that stands before an answer, checked.
pub fn answer_bytes(prefix: [u8; SIZE_PREFIX_BYTES]) -> Result<usize, BenchError> {
    let declared = i32::from_be_bytes(prefix);
    usize::try_from(declared)
        .ok()
        .filter(|size| *size <= MAX_ANSWER_BYTES)
        .ok_or(BenchError::AnswerSize(declared))
}

/// A request that appends `records` to one partition, to be acknowledged once it is as durable as the topic demands.
pub fn produce_request(topic: &Str, partition: i32, records: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks: ACKS_ALL,
        timeout_ms: REQUEST_TIMEOUT_MS,
        topic_data: vec![TopicProduceData {
            name: topic.clone(),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(records),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Tries until it succeeds, or fails for good, or the deadline has passed.
pub fn retry<T>(
    what: &'static str,
    deadline: Duration,
    mut attempt: impl FnMut() -> Result<T, BenchError>,
) -> Result<T, BenchError> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(error) if error.is_passing() && begun.elapsed() < deadline => {
                std::thread::sleep(RETRY_PAUSE);
            }
            Err(error) if error.is_passing() => {
                eprintln!("wiber-bench: at last: {error}");
                return Err(BenchError::Deadline { what, deadline });
            }
            outcome => return outcome,
        }
    }
}

/// A duration in milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
