//! The ideal broker: the least that a broker can do for a produce, as the line to measure others against.
//!
//! One thread waits for sockets, reads what came, checks each batch's CRC and appends the bytes: to one file through the
//! page cache, or, for a topic that asks for it, to blocks that were written before, synced before the answer, with
//! everything that came in one turn in one write. It looks at no record, keeps no index, writes nothing twice, recovers
//! nothing and serves no consumer; every topic has one partition. So what a broker costs above it is what its promises
//! cost, and where this one is slow the machine is.

mod connection;
mod log;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use wiber_model::batch::Batches;
use wiber_protocol::messages as m;
use wiber_protocol::{
    ApiKey, ErrorCode, Frame, Message, Request, RequestFrame, Response, Str, encode_response,
};

use crate::client::{DELETE_TOPICS_VERSION, FETCH_VERSION, PRODUCE_VERSION};
use crate::error::BenchError;
use connection::{Connection, Scratch};
use log::{CachedLog, SyncedLog};

/// The setting of a topic whose records are synced before they are acknowledged.
const SYNCED_SETTING: &str = "ideal.synced";
const NODE_ID: i32 = 1;
/// Metadata's last version that this broker knows.
const METADATA_VERSION: i16 = 12;
/// What is advertised. Fetch is, and is not served, because librdkafka writes the record batches of today only for a broker that
/// has it.
const ADVERTISED: [(ApiKey, i16); 6] = [
    (ApiKey::Produce, PRODUCE_VERSION),
    (ApiKey::Fetch, FETCH_VERSION),
    (ApiKey::Metadata, METADATA_VERSION),
    (ApiKey::ApiVersions, 4),
    (ApiKey::CreateTopics, 7),
    (ApiKey::DeleteTopics, DELETE_TOPICS_VERSION),
];

/// Where the ideal broker listens and keeps its data.
#[derive(clap::Args)]
pub struct Options {
    /// The address to listen on.
    #[arg(long, value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// The directory for its files, which it empties.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

/// Serves until the process is ended.
pub fn serve(options: &Options) -> Result<(), BenchError> {
    let (listener, broker) = bind(options)?;
    println!("the ideal broker is listening on {}", broker.address);
    run(&listener, broker)
}

fn bind(options: &Options) -> Result<(TcpListener, Ideal), BenchError> {
    let listener = TcpListener::bind(options.listen)?;
    listener.set_nonblocking(true)?;
    std::fs::create_dir_all(&options.data_dir)?;
    let broker = Ideal {
        address: listener.local_addr()?,
        topics: BTreeMap::new(),
        cached: CachedLog::create(&options.data_dir.join("cached"))?,
        synced: None,
        synced_path: options.data_dir.join("synced"),
    };
    Ok((listener, broker))
}

fn run(listener: &TcpListener, mut broker: Ideal) -> Result<(), BenchError> {
    let (mut connections, mut scratch) = (Vec::new(), Scratch::new());
    loop {
        let readable = wait(listener, &connections)?;
        let accepted = readable[0].then(|| listener.accept()).transpose()?;
        for (connection, is_readable) in connections.iter_mut().zip(&readable[1..]) {
            if !is_readable {
                continue;
            }
            connection.read(&mut scratch)?;
            while let Some(frame) = connection.next_frame() {
                if let Some(answer) = broker.handle(frame)? {
                    connection.answer(&answer);
                }
            }
        }
        broker.commit()?;
        connections.retain_mut(|connection| connection.send().is_ok() && !connection.is_closed());
        if let Some((stream, _)) = accepted {
            connections.push(Connection::new(stream)?);
        }
    }
}

/// Which sockets may be read, the listener first, once one of them may be, or be written that has to be.
fn wait(listener: &TcpListener, connections: &[Connection]) -> Result<Vec<bool>, BenchError> {
    let mut fds = vec![PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)];
    fds.extend(connections.iter().map(|connection| {
        let fd: BorrowedFd<'_> = connection.as_fd();
        PollFd::from_borrowed_fd(fd, connection.wanted())
    }));
    poll(&mut fds, None).map_err(std::io::Error::from)?;
    let is_readable = |fd: &PollFd<'_>| {
        fd.revents()
            .intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
    };
    Ok(fds.iter().map(is_readable).collect())
}

struct Topic {
    is_synced: bool,
    next_offset: i64,
}

struct Ideal {
    address: SocketAddr,
    topics: BTreeMap<Str, Topic>,
    cached: CachedLog,
    /// Made with the first topic that needs it.
    synced: Option<SyncedLog>,
    synced_path: PathBuf,
}

impl Ideal {
    /// The answer, to be sent after the next [`Ideal::commit`].
    fn handle(&mut self, frame: Bytes) -> Result<Option<Frame>, BenchError> {
        let frame = RequestFrame::parse(frame)?;
        match frame.key {
            ApiKey::Produce => {
                let request: m::ProduceRequest = frame.decode()?;
                let acks = request.acks;
                let response = self.produce(request)?;
                Ok(if acks == 0 {
                    None
                } else {
                    Some(answer(&frame, &response)?)
                })
            }
            ApiKey::Metadata => self.reply(&frame, Ideal::metadata),
            ApiKey::ApiVersions => self.reply(&frame, |_, _: m::ApiVersionsRequest| Ok(versions())),
            ApiKey::CreateTopics => self.reply(&frame, Ideal::create_topics),
            ApiKey::DeleteTopics => self.reply(&frame, Ideal::delete_topics),
            key => Err(BenchError::NotServed(key)),
        }
    }

    fn reply<R: Request>(
        &mut self,
        frame: &RequestFrame,
        handle: impl Fn(&mut Ideal, R) -> Result<R::Response, BenchError>,
    ) -> Result<Option<Frame>, BenchError> {
        let response = handle(self, frame.decode()?)?;
        Ok(Some(answer(frame, &response)?))
    }

    fn produce(&mut self, request: m::ProduceRequest) -> Result<m::ProduceResponse, BenchError> {
        let mut response = m::ProduceResponse::default();
        for data in request.topic_data {
            let mut outcomes = Vec::new();
            for partition in data.partition_data {
                let mut outcome = m::produce::PartitionProduceResponse {
                    index: partition.index,
                    base_offset: -1,
                    ..Default::default()
                };
                match self.append(&data.name, partition.records.unwrap_or_default())? {
                    Ok(offset) => outcome.base_offset = offset,
                    Err(error) => outcome.error_code = error.code(),
                }
                outcomes.push(outcome);
            }
            response.responses.push(m::produce::TopicProduceResponse {
                name: data.name,
                partition_responses: outcomes,
                ..Default::default()
            });
        }
        Ok(response)
    }

    /// The first record's offset.
    fn append(&mut self, name: &Str, records: Bytes) -> Result<Result<i64, ErrorCode>, BenchError> {
        let Some(topic) = self.topics.get_mut(name) else {
            return Ok(Err(ErrorCode::UnknownTopicOrPartition));
        };
        let base_offset = topic.next_offset;
        for batch in Batches::new(records.clone()) {
            match batch.and_then(|batch| batch.check_crc().map(|()| batch)) {
                Ok(batch) => topic.next_offset += i64::from(batch.record_count()),
                Err(_) => return Ok(Err(ErrorCode::CorruptMessage)),
            }
        }
        match &mut self.synced {
            Some(log) if topic.is_synced => log.append(&records)?,
            _ => self.cached.append(records),
        }
        Ok(Ok(base_offset))
    }

    /// Writes what was appended since the last time; what is to be synced is then.
    fn commit(&mut self) -> Result<(), BenchError> {
        self.cached.commit()?;
        if let Some(log) = &mut self.synced {
            log.commit()?;
        }
        Ok(())
    }

    fn metadata(&mut self, request: m::MetadataRequest) -> Result<m::MetadataResponse, BenchError> {
        let names: Vec<Str> = match request.topics {
            Some(topics) => topics.into_iter().filter_map(|topic| topic.name).collect(),
            None => self.topics.keys().cloned().collect(),
        };
        let mut topics = Vec::new();
        for name in names {
            // As brokers do that create what is asked for.
            self.create(name.detached(), true)?;
            topics.push(m::metadata::MetadataResponseTopic {
                name: Some(name),
                partitions: vec![m::metadata::MetadataResponsePartition {
                    leader_id: NODE_ID,
                    leader_epoch: 0,
                    replica_nodes: vec![NODE_ID],
                    isr_nodes: vec![NODE_ID],
                    ..Default::default()
                }],
                ..Default::default()
            });
        }
        Ok(m::MetadataResponse {
            brokers: vec![m::metadata::MetadataResponseBroker {
                node_id: NODE_ID,
                host: self.address.ip().to_string().into(),
                port: self.address.port().into(),
                rack: None,
            }],
            controller_id: NODE_ID,
            topics,
            ..Default::default()
        })
    }

    fn create_topics(
        &mut self,
        request: m::CreateTopicsRequest,
    ) -> Result<m::CreateTopicsResponse, BenchError> {
        let mut topics = Vec::new();
        for topic in request.topics {
            let is_synced = topic
                .configs
                .iter()
                .any(|config| config.name == *SYNCED_SETTING);
            self.create(topic.name.detached(), is_synced)?;
            topics.push(m::create_topics::CreatableTopicResult {
                name: topic.name,
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            });
        }
        Ok(m::CreateTopicsResponse {
            topics,
            ..Default::default()
        })
    }

    fn create(&mut self, name: Str, is_synced: bool) -> Result<(), BenchError> {
        if is_synced && self.synced.is_none() {
            self.synced = Some(SyncedLog::create(&self.synced_path)?);
        }
        self.topics.entry(name).or_insert(Topic {
            is_synced,
            next_offset: 0,
        });
        Ok(())
    }

    fn delete_topics(
        &mut self,
        request: m::DeleteTopicsRequest,
    ) -> Result<m::DeleteTopicsResponse, BenchError> {
        let mut responses = Vec::new();
        for name in request.topic_names {
            self.topics.remove(&name);
            responses.push(m::delete_topics::DeletableTopicResult {
                name: Some(name),
                ..Default::default()
            });
        }
        if self.topics.is_empty() {
            self.cached.clear()?;
        }
        Ok(m::DeleteTopicsResponse {
            responses,
            ..Default::default()
        })
    }
}

fn versions() -> m::ApiVersionsResponse {
    let version = |&(key, last): &(ApiKey, i16)| m::api_versions::ApiVersion {
        api_key: key.number(),
        // Produce has had none below 3 for long, and librdkafka wants 0 to be named (KAFKA-18659).
        min_version: if key == ApiKey::Produce {
            0
        } else {
            key.versions().min
        },
        max_version: last,
    };
    m::ApiVersionsResponse {
        api_keys: ADVERTISED.iter().map(version).collect(),
        ..Default::default()
    }
}

fn answer<R: Response + Message>(frame: &RequestFrame, response: &R) -> Result<Frame, BenchError> {
    Ok(encode_response(
        response,
        frame.version,
        frame.correlation_id,
    )?)
}

#[cfg(test)]
mod tests {
    use wiber_model::TimestampMs;
    use wiber_model::batch::BatchBuilder;

    use super::*;
    use crate::client::{Client, TopicSpec, produce_request};

    #[test]
    fn it_serves_what_a_producer_asks_and_refuses_what_is_damaged() {
        let data_dir = std::env::temp_dir().join(format!("wiber-ideal-{}", std::process::id()));
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: data_dir.clone(),
        };
        let (listener, mut broker) = bind(&options).unwrap();
        let mut batch = BatchBuilder::new(TimestampMs(1));
        batch.push(TimestampMs(1), None, Some(&[7; 200_000]), &[]);
        let whole = batch.build().into_bytes();
        let mut damaged = whole.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        for (topic, is_synced) in [("cached", false), ("synced", true)] {
            broker.create(topic.into(), is_synced).unwrap();
            let mut error_and_offset = |records: Bytes| {
                let request = produce_request(&topic.into(), 0, records);
                let response = broker.produce(request).unwrap();
                broker.commit().unwrap();
                let outcome = &response.responses[0].partition_responses[0];
                (outcome.error_code, outcome.base_offset)
            };
            assert_eq!(error_and_offset(whole.clone()), (0, 0));
            assert_eq!(error_and_offset(whole.clone()), (0, 1));
            let corrupt = ErrorCode::CorruptMessage.code();
            assert_eq!(error_and_offset(damaged.clone().into()), (corrupt, -1));
        }
        let cached = std::fs::read(data_dir.join("cached")).unwrap();
        assert_eq!(cached, [&whole[..], &whole[..]].concat());
        let synced = std::fs::read(data_dir.join("synced")).unwrap();
        let second = whole.len().next_multiple_of(4096);
        assert_eq!(synced[..whole.len()], whole);
        assert_eq!(synced[second..second + whole.len()], whole);

        let address = broker.address;
        std::thread::spawn(move || run(&listener, broker));
        let mut client = Client::connect(address).unwrap();
        let spec = TopicSpec {
            names: vec!["over-a-socket".to_owned()],
            partitions: 1,
            configs: vec![(SYNCED_SETTING.to_owned(), "true".to_owned())],
        };
        client.api_versions().unwrap();
        client.create_topics(&spec).unwrap();
        client.produce_one("over-a-socket", TimestampMs(1)).unwrap();
        client.delete_topics(&spec.names).unwrap();
        std::fs::remove_dir_all(data_dir).unwrap();
    }
}
