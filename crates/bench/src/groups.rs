//! Groups: many of them commit, and give their offsets back after a start; and what it costs when all of them wait.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use wiber_protocol::messages::FetchRequest;
use wiber_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use wiber_protocol::messages::fetch::{FetchPartition, FetchTopic};
use wiber_protocol::messages::find_coordinator::FindCoordinatorRequest;
use wiber_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use wiber_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use wiber_protocol::{ApiKey, encode_request};

use crate::client::{CLIENT_ID, Client, FETCH_VERSION, ms, retry};
use crate::error::BenchError;
use crate::load::wall_clock;

/// The last version that names topics rather than their ids.
const OFFSET_COMMIT_VERSION: i16 = 9;
/// The last version that names topics rather than their ids.
const OFFSET_FETCH_VERSION: i16 = 9;
const FIND_COORDINATOR_VERSION: i16 = 4;
const HEARTBEAT_VERSION: i16 = 1;
/// One OffsetFetch asks for so many groups.
const GROUPS_PER_FETCH: usize = 1000;
/// A fetch that waits, waits for longer than any measurement takes, in milliseconds.
const WAIT_MS: i32 = 300_000;
/// How long coordinators may take to be there.
const COORDINATOR_DEADLINE: Duration = Duration::from_secs(60);
/// Files that a process has open beside its connections.
const OTHER_FILES: u64 = 100;
/// Kernel ticks of processor time in a second (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;

/// Groups that commit, each once.
#[derive(Args)]
pub struct CommitGroups {
    /// The broker.
    #[arg(long, value_name = "HOST:PORT")]
    pub connect: SocketAddr,
    /// The topic that they commit for, which exists.
    #[arg(long)]
    pub topic: String,
    /// How many groups.
    #[arg(long, default_value_t = 10_000)]
    pub groups: usize,
    /// How many partitions each commits for.
    #[arg(long, default_value_t = 10)]
    pub partitions: i32,
}

/// Clients that wait: fetches for what is not there yet, and members of groups.
#[derive(Args)]
pub struct Wait {
    /// The broker.
    #[arg(long, value_name = "HOST:PORT")]
    connect: SocketAddr,
    /// The broker's process, on this machine.
    #[arg(long)]
    broker_pid: u32,
    /// The topic, which exists, has two partitions and no records.
    #[arg(long)]
    topic: String,
    /// How many fetches wait, each on a connection of its own.
    #[arg(long, default_value_t = 10_000)]
    fetches: usize,
    /// How many members of the consumer protocol wait, a hundred to a group.
    #[arg(long, default_value_t = 10_000)]
    members: usize,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// What waiting cost.
#[derive(Serialize)]
pub struct Waited {
    fetches: usize,
    members: usize,
    /// Processor time of the broker while all waited, in percent of a core.
    cpu_percent: f64,
    /// From a record to the answer of the one fetch that waits for it, while all others wait on: the median of several.
    wake_one_us: f64,
    /// From a record to the last answer of all others, which wait for the same.
    wake_all_ms: f64,
}

/// The id of a group.
fn group(number: usize) -> String {
    format!("group-{number}")
}

impl CommitGroups {
    /// Commits; returns how long that took.
    pub fn run(&self) -> Result<serde_json::Value, BenchError> {
        let mut client = Client::connect(self.connect)?;
        await_coordinator(&mut client)?;
        let begun = Instant::now();
        for number in 0..self.groups {
            let partition = |index| OffsetCommitRequestPartition {
                partition_index: index,
                committed_offset: number as i64,
                committed_leader_epoch: 0,
                committed_metadata: Some("m".into()),
            };
            let request = OffsetCommitRequest {
                group_id: group(number).into(),
                topics: vec![OffsetCommitRequestTopic {
                    name: self.topic.as_str().into(),
                    partitions: (0..self.partitions).map(partition).collect(),
                    ..Default::default()
                }],
                ..Default::default()
            };
            retry("a commit", COORDINATOR_DEADLINE, || {
                let answer = client.call(&request, OFFSET_COMMIT_VERSION)?;
                let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
                partitions.try_for_each(|partition| {
                    BenchError::check(ApiKey::OffsetCommit, partition.error_code)
                })
            })?;
        }
        Ok(serde_json::json!({
            "groups": self.groups,
            "commits_per_s": self.groups as f64 / begun.elapsed().as_secs_f64(),
        }))
    }
}

fn await_coordinator(client: &mut Client) -> Result<(), BenchError> {
    let request = FindCoordinatorRequest {
        coordinator_keys: vec!["group".into()],
        ..Default::default()
    };
    retry("a coordinator", COORDINATOR_DEADLINE, || {
        let answer = client.call(&request, FIND_COORDINATOR_VERSION)?;
        let found = answer.coordinators.first();
        let found = found.ok_or(BenchError::Lacking(ApiKey::FindCoordinator))?;
        BenchError::check(ApiKey::FindCoordinator, found.error_code)
    })
}

/// Asks what all groups have committed; it is an error if one has not what [`CommitGroups`] left.
pub fn check_offsets(
    client: &mut Client,
    topic: &str,
    groups: usize,
    partitions: i32,
) -> Result<(), BenchError> {
    let numbers: Vec<_> = (0..groups).collect();
    for some in numbers.chunks(GROUPS_PER_FETCH) {
        let wanted = |number: &usize| OffsetFetchRequestGroup {
            group_id: group(*number).into(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: topic.into(),
                partition_indexes: (0..partitions).collect(),
                ..Default::default()
            }]),
            ..Default::default()
        };
        let request = OffsetFetchRequest {
            groups: some.iter().map(wanted).collect(),
            ..Default::default()
        };
        let answer = client.call(&request, OFFSET_FETCH_VERSION)?;
        for (number, group) in some.iter().zip(&answer.groups) {
            BenchError::check(ApiKey::OffsetFetch, group.error_code)?;
            let found = group.topics.iter().flat_map(|topic| &topic.partitions);
            let right = found.filter(|found| found.committed_offset == *number as i64);
            if right.count() != partitions as usize {
                return Err(BenchError::Lacking(ApiKey::OffsetFetch));
            }
        }
    }
    Ok(())
}

impl Wait {
    /// Has all wait, and measures.
    pub fn run(&self) -> Result<Waited, BenchError> {
        allow_files(self.fetches as u64 + OTHER_FILES)?;
        let mut client = Client::connect(self.connect)?;
        await_coordinator(&mut client)?;
        for member in 0..self.members {
            self.join(&mut client, member)?;
        }
        let others = (1..self.fetches)
            .map(|_| self.park(0, 0))
            .collect::<Result<Vec<_>, _>>()?;
        // The last answer of all that came before says that the broker has nothing left to do.
        client.api_versions()?;
        let (before, begun) = (self.cpu_s()?, Instant::now());
        std::thread::sleep(Duration::from_secs(self.seconds));
        let cpu_percent = 100.0 * (self.cpu_s()? - before) / begun.elapsed().as_secs_f64();
        let mut one_us = Vec::new();
        for offset in 0..WAKES {
            let mut one = self.park(1, offset)?;
            client.api_versions()?;
            let sent = Instant::now();
            client.produce_one_to(&self.topic, 1, wall_clock())?;
            one.answer()?;
            one_us.push(ms(sent.elapsed()) * 1e3);
        }
        one_us.sort_by(f64::total_cmp);
        let sent = Instant::now();
        client.produce_one_to(&self.topic, 0, wall_clock())?;
        for mut other in others {
            other.answer()?;
        }
        Ok(Waited {
            fetches: self.fetches,
            members: self.members,
            cpu_percent,
            wake_one_us: one_us[one_us.len() / 2],
            wake_all_ms: ms(sent.elapsed()),
        })
    }

    fn join(&self, client: &mut Client, member: usize) -> Result<(), BenchError> {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: format!("waiting-{}", member / MEMBERS_PER_GROUP).into(),
            member_id: format!("member-{member}").into(),
            rebalance_timeout_ms: WAIT_MS,
            subscribed_topic_names: Some(vec![self.topic.as_str().into()]),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        };
        retry("a member", COORDINATOR_DEADLINE, || {
            let answer = client.call(&request, HEARTBEAT_VERSION)?;
            BenchError::check(ApiKey::ConsumerGroupHeartbeat, answer.error_code)
        })
    }

    /// A fetch that waits.
    fn park(&self, partition: i32, offset: i64) -> Result<Parked, BenchError> {
        let stream = TcpStream::connect(self.connect)?;
        stream.set_nodelay(true)?;
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: WAIT_MS,
            min_bytes: 1,
            max_bytes: 1 << 20,
            topics: vec![FetchTopic {
                topic: self.topic.as_str().into(),
                partitions: vec![FetchPartition {
                    partition,
                    fetch_offset: offset,
                    partition_max_bytes: 1 << 20,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let frame = encode_request(&request, FETCH_VERSION, 1, Some(CLIENT_ID))?;
        (&stream).write_all(&frame.to_bytes())?;
        Ok(Parked(Client::of(stream)?))
    }

    /// Processor time that the broker has taken, in seconds.
    fn cpu_s(&self) -> Result<f64, BenchError> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.broker_pid))?;
        // What follows the name, which is in parentheses and may hold anything: state, then numbers.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2);
        Ok(ticks
            .filter_map(|field| field.parse::<f64>().ok())
            .sum::<f64>()
            / TICKS_PER_S)
    }
}

/// Times that one fetch is woken among those that wait.
const WAKES: i64 = 21;
/// Members of a group.
const MEMBERS_PER_GROUP: usize = 100;

/// A fetch that waits.
struct Parked(Client);

impl Parked {
    /// Its answer, which has records.
    fn answer(&mut self) -> Result<(), BenchError> {
        let answer = self.0.answer::<FetchRequest>(FETCH_VERSION)?;
        let partition = answer
            .responses
            .first()
            .and_then(|topic| topic.partitions.first());
        match partition.and_then(|partition| partition.records.as_ref()) {
            Some(records) if !records.is_empty() => Ok(()),
            _ => Err(BenchError::Lacking(ApiKey::Fetch)),
        }
    }
}

/// Raises the limit of open files to what is needed.
fn allow_files(count: u64) -> Result<(), BenchError> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let raised = Rlimit {
            current: Some(count),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised).map_err(std::io::Error::from)?;
    }
    Ok(())
}
