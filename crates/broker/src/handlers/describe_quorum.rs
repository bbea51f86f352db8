//! DescribeQuorum: who orders the metadata, and how far that has come (KIP-595, KIP-836, KIP-853).
//!
//! The quorum is this node, for now. Offsets are as Kafka counts them: the high watermark and a log's end are those behind the last
//! entry.

use wiber_controller::METADATA_TOPIC;
use wiber_model::TopicId;
use wiber_protocol::ErrorCode;
use wiber_protocol::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Listener, Node, ReplicaState, RequestTopicData,
    ResponsePartitionData, ResponseTopicData,
};

use super::*;

/// The index of the metadata log's only partition.
const METADATA_PARTITION: i32 = 0;
/// The first version that names nodes and directories.
const NODES_VERSION: i16 = 2;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &DescribeQuorumRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    let topics = &body.topics;
    check_named(topics.iter().map(|topic| topic.partitions.len()).sum())?;
    if is_of_metadata(topics) {
        shard.put_back(request, Work::DescribeQuorum);
        shard.describe_quorum(request, fx);
        return Ok(());
    }
    let response = DescribeQuorumResponse {
        topics: topics.iter().map(unknown).collect(),
        ..Default::default()
    };
    shard.respond(request, &response, fx);
    Ok(())
}

/// Whether the metadata log is asked for, and nothing else; otherwise, as in Kafka, nothing that is asked for is known.
fn is_of_metadata(topics: &[RequestTopicData]) -> bool {
    match topics {
        [topic] => match topic.partitions[..] {
            [ref partition] => {
                &*topic.topic_name == METADATA_TOPIC
                    && partition.partition_index == METADATA_PARTITION
            }
            _ => false,
        },
        _ => false,
    }
}

fn unknown(topic: &RequestTopicData) -> ResponseTopicData {
    let partitions = topic.partitions.iter().map(|wanted| ResponsePartitionData {
        partition_index: wanted.partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        error_message: Some("This server does not host this topic-partition.".into()),
        ..Default::default()
    });
    ResponseTopicData {
        topic_name: topic.topic_name.clone(),
        partitions: partitions.collect(),
    }
}

/// The controller has said where the metadata log stands.
pub(super) fn answered(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    state: MetadataLogState,
    fx: &mut Vec<Effect>,
) {
    let node = shard.node_id();
    let registration = shard.image.brokers().find(|(id, _)| *id == node);
    let names_nodes = shard.version(request) >= NODES_VERSION;
    let directory = registration
        .filter(|_| names_nodes)
        .map_or(TopicId::ZERO, |(_, it)| TopicId(it.directory));
    let end_of = |last: wiber_controller::MetadataOffset| last.0.saturating_add(1) as i64;
    let leader = ReplicaState {
        replica_id: node.0,
        replica_directory_id: directory,
        log_end_offset: end_of(state.last),
        last_fetch_timestamp: now.wall.0,
        last_caught_up_timestamp: now.wall.0,
    };
    let partition = ResponsePartitionData {
        partition_index: METADATA_PARTITION,
        leader_id: node.0,
        leader_epoch: i32::try_from(state.term).unwrap_or(i32::MAX),
        high_watermark: end_of(state.committed),
        current_voters: vec![leader],
        ..Default::default()
    };
    let mut response = DescribeQuorumResponse {
        topics: vec![ResponseTopicData {
            topic_name: METADATA_TOPIC.into(),
            partitions: vec![partition],
        }],
        ..Default::default()
    };
    if names_nodes {
        response.nodes.push(itself(shard, request));
    }
    shard.respond(request, &response, fx);
}

/// This node, and where its controller is reached: through the broker that it is part of, by the listener that the client came by.
fn itself(shard: &Shard, request: RequestId) -> Node {
    let (host, port) = shard.advertised_for(request);
    let listener = Listener {
        name: shard.listener_for(request).into(),
        host: host.into(),
        port: u16::try_from(port).unwrap_or_default(),
    };
    Node {
        node_id: shard.node_id().0,
        listeners: vec![listener],
    }
}
