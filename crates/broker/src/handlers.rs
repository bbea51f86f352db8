//! One file per API: the front side of each request, from the decoded message to the response.
//!
//! A handler answers at once, or keeps a [`Work`] and goes on when answers come. [`served_apis`] is the list of what is
//! advertised; what is not in it closes the connection, as in Kafka.

mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod elect_leaders;
mod fetch;
mod find_coordinator;
mod groups;
mod heartbeat;
pub(crate) mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
pub(crate) mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;

use std::collections::{BTreeMap, BTreeSet};

use wiber_controller::{CommandError, CommandResult, MAX_PARTITIONS, MetadataLogState};
use wiber_model::{Now, PartitionId};
use wiber_protocol::messages as m;
use wiber_protocol::{ApiKey, Request, RequestFrame, Versions};
use wiber_storage::DiskResult;

use crate::job::JobOutput;
use crate::machine::{Address, Effect};
use crate::message::{Answer, Ask, RequestId};
use crate::shard::Shard;

/// What a request under way is waiting for.
#[derive(Debug)]
pub(crate) enum Work {
    /// Nothing yet.
    Begun,
    Produce(produce::Produce),
    Fetch(fetch::Fetch),
    ListOffsets(list_offsets::ListOffsets),
    OffsetForLeaderEpoch(offset_for_leader_epoch::EpochEnds),
    CreateTopics(create_topics::CreateTopics),
    CreatePartitions(create_partitions::CreatePartitions),
    DeleteRecords(delete_records::DeleteRecords),
    AlterConfigs(alter_configs::AlterConfigs),
    DeleteTopics(delete_topics::DeleteTopics),
    DescribeLogDirs(describe_log_dirs::DescribeLogDirs),
    DescribeProducers(describe_producers::DescribeProducers),
    DescribeQuorum,
    FindCoordinator(find_coordinator::FindCoordinator),
    Groups(groups::GroupWork),
    InitProducerId,
}

/// The APIs that are served, with all stable versions of Kafka 4.3 each.
const SERVED: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeLogDirs,
    ApiKey::CreatePartitions,
    ApiKey::DeleteGroups,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::DescribeCluster,
    ApiKey::DescribeTopicPartitions,
    ApiKey::ListConfigResources,
    ApiKey::DescribeProducers,
    ApiKey::DescribeQuorum,
    ApiKey::ElectLeaders,
    ApiKey::OffsetDelete,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments,
    ApiKey::AlterReplicaLogDirs,
    ApiKey::ConsumerGroupHeartbeat,
    ApiKey::ConsumerGroupDescribe,
];

/// The APIs that are served, with their versions.
pub fn served_apis() -> impl Iterator<Item = (ApiKey, Versions)> {
    SERVED.iter().map(|key| (*key, key.versions()))
}

/// Begins a request. An error closes the connection.
pub(crate) fn begin(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    frame: RequestFrame,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    if !SERVED.contains(&frame.key) {
        return Err(format!("{} is not served", frame.key.name()));
    }
    if frame.key == ApiKey::ApiVersions {
        return api_versions::begin(shard, request, &frame, fx);
    }
    if !frame.key.versions().contains(frame.version) {
        return Err(format!(
            "{} version {} is not served, only {} are",
            frame.key.name(),
            frame.version,
            frame.key.versions()
        ));
    }
    match frame.key {
        ApiKey::Produce => produce::begin(shard, now, request, frame.version, decode(frame)?, fx),
        ApiKey::Fetch => fetch::begin(shard, now, request, frame.version, decode(frame)?, fx),
        ApiKey::ListOffsets => {
            list_offsets::begin(shard, request, frame.version, &decode(frame)?, fx)
        }
        ApiKey::Metadata => metadata::begin(shard, request, frame.version, decode(frame)?, fx),
        ApiKey::CreateTopics => create_topics::begin(shard, request, &decode(frame)?, fx),
        ApiKey::CreatePartitions => create_partitions::begin(shard, request, &decode(frame)?, fx),
        ApiKey::DescribeLogDirs => describe_log_dirs::begin(shard, request, decode(frame)?, fx)?,
        ApiKey::DescribeQuorum => describe_quorum::begin(shard, request, &decode(frame)?, fx)?,
        ApiKey::ElectLeaders => elect_leaders::begin(shard, request, decode(frame)?, fx)?,
        ApiKey::AlterPartitionReassignments => {
            alter_partition_reassignments::begin(shard, request, decode(frame)?, fx)?;
        }
        ApiKey::AlterReplicaLogDirs => {
            alter_replica_log_dirs::begin(shard, request, decode(frame)?, fx)?;
        }
        ApiKey::ListPartitionReassignments => {
            list_partition_reassignments::begin(shard, request, &decode(frame)?, fx);
        }
        ApiKey::DescribeProducers => {
            describe_producers::begin(shard, request, &decode(frame)?, fx)?
        }
        ApiKey::DeleteRecords => delete_records::begin(shard, request, &decode(frame)?, fx),
        ApiKey::DeleteTopics => {
            delete_topics::begin(shard, request, frame.version, decode(frame)?, fx)
        }
        ApiKey::FindCoordinator => {
            find_coordinator::begin(shard, now, request, &decode(frame)?, fx)?;
        }
        ApiKey::InitProducerId => init_producer_id::begin(shard, now, request, &decode(frame)?, fx),
        ApiKey::JoinGroup => {
            let client_id = frame.client_id.clone();
            join_group::begin(shard, request, client_id, decode(frame)?, fx);
        }
        ApiKey::SyncGroup => sync_group::begin(shard, request, decode(frame)?, fx),
        ApiKey::Heartbeat => heartbeat::begin(shard, request, decode(frame)?, fx),
        ApiKey::LeaveGroup => leave_group::begin(shard, request, decode(frame)?, fx),
        ApiKey::OffsetCommit => offset_commit::begin(shard, request, decode(frame)?, fx)?,
        ApiKey::OffsetFetch => offset_fetch::begin(shard, request, decode(frame)?, fx)?,
        ApiKey::OffsetDelete => offset_delete::begin(shard, request, decode(frame)?, fx)?,
        ApiKey::DeleteGroups => delete_groups::begin(shard, request, &decode(frame)?, fx)?,
        ApiKey::ListGroups => list_groups::begin(shard, request, &decode(frame)?, fx),
        ApiKey::DescribeGroups => describe_groups::begin(shard, request, &decode(frame)?, fx)?,
        ApiKey::ConsumerGroupHeartbeat => {
            let client_id = frame.client_id.clone();
            consumer_group_heartbeat::begin(shard, request, client_id, decode(frame)?, fx);
        }
        ApiKey::ConsumerGroupDescribe => {
            consumer_group_describe::begin(shard, request, &decode(frame)?, fx)?;
        }
        ApiKey::OffsetForLeaderEpoch => {
            offset_for_leader_epoch::begin(shard, request, &decode(frame)?, fx)
        }
        ApiKey::DescribeConfigs => describe_configs::begin(shard, request, &decode(frame)?, fx),
        ApiKey::AlterConfigs => {
            alter_configs::begin_legacy(shard, request, &decode(frame)?, fx);
        }
        ApiKey::IncrementalAlterConfigs => {
            alter_configs::begin_incremental(shard, request, &decode(frame)?, fx);
        }
        ApiKey::DescribeCluster => describe_cluster::begin(shard, request, &decode(frame)?, fx),
        ApiKey::DescribeTopicPartitions => {
            describe_topic_partitions::begin(shard, request, &decode(frame)?, fx);
        }
        ApiKey::ListConfigResources => {
            list_config_resources::begin(shard, request, frame.version, &decode(frame)?, fx);
        }
        _ => unreachable!("{} is in the list of what is served", frame.key),
    }
    Ok(())
}

/// How many of the names in a request may be repetitions.
const REPEATED_MAX: usize = 100;

/// Refuses a request that names the same over and over, where the answer has no bound but that there is only so much to tell.
fn check_repeated<T: Ord>(named: impl Iterator<Item = T>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let repeated: usize = named.map(|name| usize::from(!seen.insert(name))).sum();
    if repeated <= REPEATED_MAX {
        return Ok(());
    }
    Err(format!("the request repeats {repeated} of the names in it"))
}

/// Refuses a request that names more partitions than a cluster can have, where each costs much more than its place in the request.
fn check_named(partitions: usize) -> Result<(), String> {
    if partitions <= MAX_PARTITIONS {
        return Ok(());
    }
    Err(format!(
        "the request names {partitions} partitions, and a cluster has at most {MAX_PARTITIONS}"
    ))
}

fn decode<R: Request>(frame: RequestFrame) -> Result<R, String> {
    frame
        .decode()
        .map_err(|error| format!("the request cannot be read: {error}"))
}

/// An owner answered.
pub(crate) fn answered(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    answer: Answer,
    fx: &mut Vec<Effect>,
) {
    let Some(work) = shard.take_work(request) else {
        return;
    };
    match (work, answer) {
        (Work::Produce(work), Answer::Appended(answers)) => {
            produce::appended(shard, request, work, answers, fx);
        }
        (Work::Fetch(work), Answer::Fetched(answers)) => {
            fetch::fetched(shard, now, request, work, answers, fx);
        }
        (Work::Fetch(work), Answer::Moved(part)) => fetch::moved(shard, request, work, part, fx),
        (Work::ListOffsets(work), Answer::Offsets(answers)) => {
            list_offsets::answered(shard, request, work, answers, fx);
        }
        (Work::OffsetForLeaderEpoch(work), Answer::EpochEnds(answers)) => {
            offset_for_leader_epoch::answered(shard, request, work, answers, fx);
        }
        (Work::DescribeLogDirs(work), Answer::Sizes(answers)) => {
            describe_log_dirs::answered(shard, request, work, answers, fx);
        }
        (Work::DescribeProducers(work), Answer::Producers(answers)) => {
            describe_producers::answered(shard, request, work, answers, fx);
        }
        (Work::Groups(work), Answer::Group(part, answer)) => {
            groups::answered(shard, request, work, part, answer, fx);
        }
        (Work::DeleteRecords(work), Answer::RecordsDeleted(answers)) => {
            delete_records::answered(shard, request, work, answers, fx);
        }
        (work, answer) => unreachable!("{answer:?} does not answer {work:?}"),
    }
}

/// The controller answered.
pub(crate) fn command_done(
    shard: &mut Shard,
    request: RequestId,
    result: Result<CommandResult, CommandError>,
    fx: &mut Vec<Effect>,
) {
    match shard.take_work(request) {
        None => {}
        Some(Work::CreateTopics(work)) => create_topics::done(shard, request, work, result, fx),
        Some(Work::CreatePartitions(work)) => {
            create_partitions::done(shard, request, work, result, fx);
        }
        Some(Work::AlterConfigs(work)) => alter_configs::done(shard, request, work, result, fx),
        Some(Work::DeleteTopics(work)) => delete_topics::done(shard, request, work, result, fx),
        Some(Work::FindCoordinator(work)) => {
            find_coordinator::created(shard, request, work, result, fx);
        }
        Some(work) => unreachable!("{work:?} gave no command"),
    }
}

/// The controller has said where the metadata log stands.
pub(crate) fn quorum_described(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    state: MetadataLogState,
    fx: &mut Vec<Effect>,
) {
    if shard.take_work(request).is_some() {
        describe_quorum::answered(shard, now, request, state, fx);
    }
}

/// A worker answered.
pub(crate) fn job_done(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    output: JobOutput,
    fx: &mut Vec<Effect>,
) {
    match (shard.take_work(request), output) {
        (None, _) => {}
        (Some(Work::Produce(work)), JobOutput::Validated(checked)) => {
            produce::validated(shard, now, request, work, checked, fx);
        }
        (Some(work), output) => unreachable!("{output:?} is of no use to {work:?}"),
    }
}

/// The disk answered.
pub(crate) fn disk_done(
    shard: &mut Shard,
    request: RequestId,
    result: DiskResult,
    fx: &mut Vec<Effect>,
) {
    match shard.take_work(request) {
        None => {}
        Some(Work::DescribeLogDirs(work)) => {
            describe_log_dirs::looked(shard, request, work, result, fx);
        }
        Some(work) => unreachable!("{work:?} asked nothing of the disk"),
    }
}

/// A request's deadline has come.
pub(crate) fn expired(shard: &mut Shard, now: Now, request: RequestId, fx: &mut Vec<Effect>) {
    match shard.take_work(request) {
        None => {}
        Some(Work::Produce(work)) => produce::expired(shard, request, work, fx),
        Some(Work::Fetch(work)) => fetch::expired(shard, now, request, work, fx),
        Some(Work::FindCoordinator(work)) => find_coordinator::expired(shard, request, work, fx),
        Some(work) => unreachable!("{work:?} has no deadline"),
    }
}

/// Whether a frame is a request to store something.
pub(crate) fn stores(frame: &bytes::Bytes) -> bool {
    frame.starts_with(&(ApiKey::Produce as i16).to_be_bytes())
}

/// Nobody waits for the answer of a request any more.
pub(crate) fn abandon(shard: &mut Shard, request: RequestId, work: Work, fx: &mut Vec<Effect>) {
    match work {
        Work::Fetch(work) => fetch::abandon(shard, request, &work, fx),
        Work::InitProducerId => init_producer_id::abandon(shard, request),
        _ => {}
    }
}

/// Sorts parts by the shard that owns their partition, keeping their order within each.
fn by_owner<T>(
    shard: &Shard,
    parts: impl IntoIterator<Item = T>,
    partition: impl Fn(&T) -> PartitionId,
) -> BTreeMap<Address, Vec<T>> {
    let mut owners: BTreeMap<Address, Vec<T>> = BTreeMap::new();
    for part in parts {
        owners
            .entry(shard.owner_of(partition(&part)))
            .or_default()
            .push(part);
    }
    owners
}

/// Asks each owner about its parts. Returns how many parts there are in all.
fn ask_owners<T>(
    shard: &mut Shard,
    request: RequestId,
    parts: Vec<T>,
    partition: impl Fn(&T) -> PartitionId,
    ask: impl Fn(Vec<T>) -> Ask,
    fx: &mut Vec<Effect>,
) {
    for (owner, parts) in by_owner(shard, parts, partition) {
        shard.ask(owner, request, ask(parts), fx);
    }
}
