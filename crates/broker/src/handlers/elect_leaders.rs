//! ElectLeaders (KIP-183, KIP-460): every partition is led by its only replica, so no election is needed.

use wiber_protocol::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
    TopicPartitions,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;

/// The types of elections that there are (`ElectionType`): of the preferred replica, and of any that lives.
const ELECTION_TYPES: [i8; 2] = [0, 1];

/// The first version with an error of the request as a whole.
const ERROR_VERSION: i16 = 1;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: ElectLeadersRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    let named = body.topic_partitions.iter().flatten();
    check_named(named.map(|topic| topic.partitions.len()).sum())?;
    let nothing_asked = body.topic_partitions.as_ref().is_some_and(Vec::is_empty);
    let refusal = if nothing_asked {
        None
    } else if body.timeout_ms <= 0 {
        // As Kafka's controller, which finds the deadline gone by when it takes the request up.
        Some((ErrorCode::RequestTimedOut, None))
    } else if !ELECTION_TYPES.contains(&body.election_type) {
        let message = format!("Unknown election type {}", body.election_type);
        Some((ErrorCode::InvalidRequest, Some(message)))
    } else {
        None
    };
    let mut response = ElectLeadersResponse::default();
    match (refusal, body.topic_partitions) {
        (Some((code, message)), topics) => {
            if shard.version(request) >= ERROR_VERSION {
                response.error_code = code.code();
            }
            let refuse = |_: &str, _| (code, message.clone());
            response.replica_election_results = results(topics.unwrap_or_default(), refuse);
        }
        (None, Some(topics)) => {
            response.replica_election_results =
                results(topics, |topic, index| outcome(shard, topic, index));
        }
        (None, None) => {
            // Of all partitions only those are told that needed one.
            let topics = shard.image.topics().map(|topic| ReplicaElectionResult {
                topic: topic.name.as_str().into(),
                partition_result: Vec::new(),
            });
            response.replica_election_results = topics.collect();
        }
    }
    shard.respond(request, &response, fx);
    Ok(())
}

fn results(
    topics: Vec<TopicPartitions>,
    outcome: impl Fn(&str, i32) -> (ErrorCode, Option<String>),
) -> Vec<ReplicaElectionResult> {
    let of_partition = |topic: &str, partition_id| {
        let (code, message) = outcome(topic, partition_id);
        PartitionResult {
            partition_id,
            error_code: code.code(),
            error_message: message.map(Str::from),
        }
    };
    let of_topic = |topic: TopicPartitions| ReplicaElectionResult {
        partition_result: topic
            .partitions
            .iter()
            .map(|index| of_partition(&topic.topic, *index))
            .collect(),
        topic: topic.topic,
    };
    topics.into_iter().map(of_topic).collect()
}

fn outcome(shard: &Shard, topic: &str, index: i32) -> (ErrorCode, Option<String>) {
    let (code, message) = match shard.image.topic(topic) {
        None => (
            ErrorCode::UnknownTopicOrPartition,
            format!("No such topic as {topic}"),
        ),
        Some(state) if !(0..state.partitions.len() as i32).contains(&index) => (
            ErrorCode::UnknownTopicOrPartition,
            format!("No such partition as {topic}-{index}"),
        ),
        Some(_) => (
            ErrorCode::ElectionNotNeeded,
            "Leader election not needed for topic partition.".to_owned(),
        ),
    };
    (code, Some(message))
}
