//! Fetch: read at the owners; if that is too little, watch the partitions until there is enough or the time is up.

use wiber_model::{LeaderEpoch, Monotonic, Offset};
use wiber_protocol::messages::fetch::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch,
    NodeEndpoint, PartitionData,
};
use wiber_protocol::{ErrorCode, Records, Str};

use super::*;
use crate::message::{FetchAnswer, FetchPart};
use crate::sessions::{FetchKey, FetchSpec, SessionRequest};

/// The first Fetch version that names topics by id (KIP-516).
const TOPIC_ID_VERSION: i16 = 13;
/// The first Fetch version whose answer names leaders, and the first that says where they are (KIP-951).
const LEADERS_VERSION: i16 = 12;
const ENDPOINTS_VERSION: i16 = 16;
/// The most bytes of one answer, whatever the client asks for, as Kafka's `fetch.max.bytes`; less than its default, because an
/// answer is held in memory here.
const FETCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A Fetch under way.
#[derive(Debug)]
pub(crate) struct Fetch {
    session: i32,
    incremental: bool,
    read_committed: bool,
    min_bytes: usize,
    max_bytes: usize,
    deadline: Monotonic,
    parts: Vec<Part>,
    /// Reads that are not answered.
    left: usize,
}

#[derive(Debug)]
struct Part {
    key: FetchKey,
    spec: FetchSpec,
    /// Where it is; none if there is no such partition.
    partition: Option<PartitionId>,
    answer: FetchAnswer,
    /// Whether the owner watches it for this request.
    watched: bool,
}

pub(super) fn begin(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    version: i16,
    body: FetchRequest,
    fx: &mut Vec<Effect>,
) {
    let follower = body.replica_id >= 0 || body.replica_state.replica_id >= 0;
    let (min_bytes, max_bytes) = (
        body.min_bytes.max(0) as usize,
        (body.max_bytes.max(0) as usize).min(FETCH_BYTES_MAX),
    );
    let deadline = now.monotonic.plus_ms(i64::from(body.max_wait_ms));
    let read_committed = body.isolation_level == 1;
    let by_id = version >= TOPIC_ID_VERSION;
    let plan = match shard
        .sessions
        .plan(now.monotonic, session_request(body, by_id))
    {
        Ok(plan) => plan,
        Err(error) => {
            let response = FetchResponse {
                error_code: error.code(),
                ..Default::default()
            };
            shard.respond(request, &response, fx);
            return;
        }
    };
    let mut work = Fetch {
        session: plan.session,
        incremental: plan.incremental,
        read_committed,
        // As in Kafka, nobody waits for more than may be given.
        min_bytes: min_bytes.min(max_bytes),
        max_bytes,
        deadline,
        parts: Vec::with_capacity(plan.partitions.len()),
        left: 0,
    };
    for (key, spec) in plan.partitions {
        let found = resolve(shard, &key, by_id).and_then(|partition| {
            // A follower must be a replica of the partition, and this broker is the only one.
            if follower {
                Err(ErrorCode::NotLeaderOrFollower)
            } else {
                Ok(partition)
            }
        });
        let answer = FetchAnswer {
            error: found.err().unwrap_or(ErrorCode::None),
            high_watermark: Offset(-1),
            log_start: Offset(-1),
            diverging: None,
            records: Vec::new(),
        };
        let partition = found.ok();
        work.parts.push(Part {
            key,
            spec,
            partition,
            answer,
            watched: false,
        });
    }
    let reads = (0..work.parts.len())
        .filter_map(|i| work.parts[i].read(i))
        .collect();
    read(shard, now, request, work, reads, fx);
}

/// Asks the owners for `reads`, or goes on if there are none.
fn read(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    mut work: Fetch,
    reads: Vec<FetchPart>,
    fx: &mut Vec<Effect>,
) {
    work.left += reads.len();
    if work.left == 0 {
        decide(shard, now, request, work, fx);
        return;
    }
    let budget_bytes = work.max_bytes.saturating_sub(work.bytes());
    shard.put_back(request, Work::Fetch(work));
    let ask = |parts| Ask::Fetch {
        parts,
        budget_bytes,
    };
    ask_owners(shard, request, reads, |part| part.partition, ask, fx);
}

/// An owner has read.
pub(super) fn fetched(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    mut work: Fetch,
    answers: Vec<(usize, FetchAnswer)>,
    fx: &mut Vec<Effect>,
) {
    work.left -= answers.len();
    for (part, answer) in answers {
        work.parts[part].answer = answer;
    }
    if work.left == 0 {
        decide(shard, now, request, work, fx);
    } else {
        shard.put_back(request, Work::Fetch(work));
    }
}

/// A partition that is watched has something new.
pub(super) fn moved(
    shard: &mut Shard,
    request: RequestId,
    mut work: Fetch,
    part: usize,
    fx: &mut Vec<Effect>,
) {
    work.parts[part].watched = false;
    work.parts[part].answer.records.clear();
    let Some(read) = work.parts[part].read(part) else {
        shard.put_back(request, Work::Fetch(work));
        return;
    };
    work.left += 1;
    let budget_bytes = work.max_bytes.saturating_sub(work.bytes());
    let owner = shard.owner_of(read.partition);
    shard.put_back(request, Work::Fetch(work));
    let ask = Ask::Fetch {
        parts: vec![read],
        budget_bytes,
    };
    shard.ask(owner, request, ask, fx);
}

/// Answers if there is enough, something is wrong, or the time is up; else watches.
fn decide(shard: &mut Shard, now: Now, request: RequestId, mut work: Fetch, fx: &mut Vec<Effect>) {
    let matters =
        |part: &Part| part.answer.error != ErrorCode::None || part.answer.diverging.is_some();
    let enough = work.bytes() >= work.min_bytes;
    if enough
        || work.parts.is_empty()
        || now.monotonic >= work.deadline
        || work.parts.iter().any(matters)
    {
        finish(shard, request, work, fx);
        return;
    }
    let mut parts = Vec::new();
    for (i, part) in work.parts.iter_mut().enumerate() {
        if let Some(partition) = part.partition.filter(|_| !part.watched) {
            part.watched = true;
            parts.push((i, partition, part.answer.high_watermark));
        }
    }
    let deadline = work.deadline;
    shard.park(request, Work::Fetch(work), deadline);
    ask_owners(
        shard,
        request,
        parts,
        |part| part.1,
        |parts| Ask::Watch { parts },
        fx,
    );
}

/// The time is up.
pub(super) fn expired(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    work: Fetch,
    fx: &mut Vec<Effect>,
) {
    if work.left == 0 {
        decide(shard, now, request, work, fx);
    } else {
        // The answer goes out when the reads under way are back.
        shard.put_back(request, Work::Fetch(work));
    }
}

/// Nobody waits for the answer any more.
pub(super) fn abandon(shard: &mut Shard, request: RequestId, work: &Fetch, fx: &mut Vec<Effect>) {
    // A partition's answer stays as it was when the watch began, until the watch ends.
    let watched = |(i, part): (usize, &Part)| {
        let partition = part.partition.filter(|_| part.watched)?;
        Some((i, partition, part.answer.high_watermark))
    };
    let parts = work.parts.iter().enumerate().filter_map(watched).collect();
    let ask = |parts| Ask::Unwatch { parts };
    ask_owners(shard, request, parts, |part| part.1, ask, fx);
}

fn finish(shard: &mut Shard, request: RequestId, work: Fetch, fx: &mut Vec<Effect>) {
    abandon(shard, request, &work, fx);
    let mut response = FetchResponse {
        session_id: work.session,
        ..Default::default()
    };
    let version = shard.version(request);
    let mut bytes = 0;
    for part in work.parts {
        let mut answer = part.answer;
        let size: usize = answer.records.iter().map(bytes::Bytes::len).sum();
        if bytes > 0 && bytes + size > work.max_bytes {
            // Several owners have read, each up to the whole budget.
            answer.records.clear();
        } else {
            bytes += size;
        }
        let has_data = !answer.records.is_empty();
        let matters = answer.error != ErrorCode::None || answer.diverging.is_some();
        let news = shard.sessions.tell(
            work.session,
            &part.key,
            answer.high_watermark,
            answer.log_start,
            has_data,
            matters,
        );
        if news || !work.incremental {
            let mut data = partition_data(&part.key, answer, work.read_committed);
            if version >= LEADERS_VERSION {
                data.current_leader = current_leader(shard, part.partition, data.error_code);
            }
            add(&mut response, part.key, data);
        }
    }
    if version >= ENDPOINTS_VERSION {
        name_leaders(shard, request, &mut response);
    }
    shard.respond(request, &response, fx);
}

/// Puts a partition under its topic. Partitions of one topic need not come one after another.
fn add(response: &mut FetchResponse, key: FetchKey, data: PartitionData) {
    let same = |topic: &&mut FetchableTopicResponse| {
        topic.topic == key.topic && topic.topic_id == key.topic_id
    };
    match response.responses.last_mut().filter(same) {
        Some(topic) => topic.partitions.push(data),
        None => response.responses.push(FetchableTopicResponse {
            topic: key.topic,
            topic_id: key.topic_id,
            partitions: vec![data],
        }),
    }
}

fn partition_data(key: &FetchKey, answer: FetchAnswer, read_committed: bool) -> PartitionData {
    let mut records = Records::default();
    for chunk in answer.records {
        records.push(chunk);
    }
    let diverging = answer.diverging.map(|(epoch, end)| EpochEndOffset {
        epoch: epoch.0,
        end_offset: end.0,
    });
    PartitionData {
        partition_index: key.partition,
        error_code: answer.error.code(),
        high_watermark: answer.high_watermark.0,
        // Without transactions all that is visible is stable.
        last_stable_offset: answer.high_watermark.0,
        log_start_offset: answer.log_start.0,
        diverging_epoch: diverging.unwrap_or_default(),
        aborted_transactions: read_committed.then(Vec::new),
        records: Some(records),
        ..Default::default()
    }
}

/// Who leads, for a client that believes otherwise.
fn current_leader(shard: &Shard, partition: Option<PartitionId>, error: i16) -> LeaderIdAndEpoch {
    let stale = [
        ErrorCode::NotLeaderOrFollower.code(),
        ErrorCode::FencedLeaderEpoch.code(),
    ];
    let state = partition
        .filter(|_| stale.contains(&error))
        .and_then(|partition| shard.image.partition(partition));
    state.map_or_else(LeaderIdAndEpoch::default, |state| LeaderIdAndEpoch {
        leader_id: state.leader.0,
        leader_epoch: state.leader_epoch.0,
    })
}

/// Says where the leaders are that the answer names (KIP-951).
fn name_leaders(shard: &mut Shard, request: RequestId, response: &mut FetchResponse) {
    let names = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
        .any(|partition| partition.current_leader.leader_id == shard.node_id().0);
    if names {
        let (host, port) = shard.advertised_for(request);
        response.node_endpoints.push(NodeEndpoint {
            node_id: shard.node_id().0,
            host: host.into(),
            port,
            rack: shard.rack(),
        });
    }
}

/// The partition that a key names.
fn resolve(shard: &Shard, key: &FetchKey, by_id: bool) -> Result<PartitionId, ErrorCode> {
    let (topic, unknown) = if by_id {
        (
            shard.image.topic_by_id(key.topic_id),
            ErrorCode::UnknownTopicId,
        )
    } else {
        (
            shard.image.topic(&key.topic),
            ErrorCode::UnknownTopicOrPartition,
        )
    };
    let topic = topic.ok_or(unknown)?;
    if !(0..topic.partitions.len() as i32).contains(&key.partition) {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    Ok(PartitionId {
        topic: topic.id,
        partition: key.partition,
    })
}

fn session_request(body: FetchRequest, by_id: bool) -> SessionRequest {
    let key = |topic: &Str, topic_id, partition| FetchKey {
        topic: if by_id { Str::default() } else { topic.clone() },
        topic_id,
        partition,
    };
    let mut partitions = Vec::new();
    for topic in &body.topics {
        for partition in &topic.partitions {
            let spec = FetchSpec {
                current_leader_epoch: partition.current_leader_epoch,
                fetch_offset: partition.fetch_offset,
                last_fetched_epoch: partition.last_fetched_epoch,
                max_bytes: partition.partition_max_bytes,
            };
            partitions.push((key(&topic.topic, topic.topic_id, partition.partition), spec));
        }
    }
    let mut forgotten = Vec::new();
    for topic in &body.forgotten_topics_data {
        for partition in &topic.partitions {
            forgotten.push(key(&topic.topic, topic.topic_id, *partition));
        }
    }
    SessionRequest {
        id: body.session_id,
        epoch: body.session_epoch,
        by_id,
        partitions,
        forgotten,
    }
}

impl Fetch {
    fn bytes(&self) -> usize {
        self.parts
            .iter()
            .flat_map(|part| &part.answer.records)
            .map(bytes::Bytes::len)
            .sum()
    }
}

impl Part {
    fn read(&self, part: usize) -> Option<FetchPart> {
        Some(FetchPart {
            part,
            partition: self.partition?,
            offset: Offset(self.spec.fetch_offset),
            current_epoch: LeaderEpoch(self.spec.current_leader_epoch),
            last_fetched_epoch: LeaderEpoch(self.spec.last_fetched_epoch),
            max_bytes: self.spec.max_bytes.max(0) as usize,
        })
    }
}
