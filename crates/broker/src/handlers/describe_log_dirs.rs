//! DescribeLogDirs: the data directory, what lies in it, and how much room there is (KIP-113, KIP-827).

use std::collections::{BTreeMap, BTreeSet};

use wiber_protocol::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use wiber_protocol::{ErrorCode, Str};
use wiber_storage::io::Space;
use wiber_storage::{DiskError, DiskOp};

use super::*;

/// A topic with its partitions' indexes and sizes in bytes. What is not there is left out of the answer.
type SizedTopic = (Str, Vec<(i32, Option<u64>)>);

/// A DescribeLogDirs under way.
#[derive(Debug)]
pub(crate) struct DescribeLogDirs {
    topics: Vec<SizedTopic>,
    /// The disk's word, once it is there.
    space: Option<DiskResult>,
    /// Sizes that are not known yet.
    left: usize,
}

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: DescribeLogDirsRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    check_named(
        body.topics
            .iter()
            .flatten()
            .map(|topic| topic.partitions.len())
            .sum(),
    )?;
    let mut work = DescribeLogDirs {
        topics: Vec::new(),
        space: None,
        left: 0,
    };
    let mut asks = Vec::new();
    for (name, indexes) in wanted(shard, body) {
        let mut sizes = Vec::new();
        for index in indexes {
            if let Ok(partition) = list_offsets::find(shard, &name, index) {
                asks.push(((work.topics.len(), sizes.len()), partition));
                sizes.push((index, None));
            }
        }
        work.topics.push((name, sizes));
    }
    work.left = asks.len();
    shard.put_back(request, Work::DescribeLogDirs(work));
    shard.start_disk_op(request, DiskOp::Space, fx);
    ask_owners(
        shard,
        request,
        asks,
        |part| part.1,
        |parts| Ask::Sizes { parts },
        fx,
    );
    Ok(())
}

/// Each topic and partition once, in order; all that there are if none are named.
fn wanted(shard: &Shard, body: DescribeLogDirsRequest) -> BTreeMap<Str, BTreeSet<i32>> {
    let mut wanted: BTreeMap<Str, BTreeSet<i32>> = BTreeMap::new();
    match body.topics {
        Some(topics) => {
            for topic in topics {
                let partitions = wanted.entry(topic.topic.detached()).or_default();
                partitions.extend(topic.partitions);
            }
        }
        None => {
            for topic in shard.image.topics() {
                let all = 0..topic.partitions.len() as i32;
                wanted.insert(topic.name.as_str().into(), all.collect());
            }
        }
    }
    wanted
}

pub(super) fn answered(
    shard: &mut Shard,
    request: RequestId,
    mut work: DescribeLogDirs,
    answers: Vec<((usize, usize), Option<u64>)>,
    fx: &mut Vec<Effect>,
) {
    work.left -= answers.len();
    for ((topic, part), size) in answers {
        work.topics[topic].1[part].1 = size;
    }
    go_on(shard, request, work, fx);
}

/// The disk has said how much room there is.
pub(super) fn looked(
    shard: &mut Shard,
    request: RequestId,
    mut work: DescribeLogDirs,
    space: DiskResult,
    fx: &mut Vec<Effect>,
) {
    work.space = Some(space);
    go_on(shard, request, work, fx);
}

fn go_on(shard: &mut Shard, request: RequestId, mut work: DescribeLogDirs, fx: &mut Vec<Effect>) {
    let (0, Some(space)) = (work.left, work.space.take()) else {
        shard.put_back(request, Work::DescribeLogDirs(work));
        return;
    };
    let mut directory = DescribeLogDirsResult {
        log_dir: shard.options.log_dir.as_str().into(),
        ..Default::default()
    };
    let space = space.and_then(|bytes| {
        Space::decode(&bytes).ok_or(DiskError::Failed("it answers nonsense".to_owned()))
    });
    match space {
        Ok(space) => {
            directory.total_bytes = i64::try_from(space.total_bytes).unwrap_or(i64::MAX);
            directory.usable_bytes = i64::try_from(space.usable_bytes).unwrap_or(i64::MAX);
            directory.topics = topics(work.topics);
        }
        Err(error) => {
            tracing::warn!("DescribeLogDirs: {error}");
            directory.error_code = ErrorCode::KafkaStorageError.code();
        }
    }
    let response = DescribeLogDirsResponse {
        results: vec![directory],
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}

/// The partitions that are there, and the topics that have one.
fn topics(topics: Vec<SizedTopic>) -> Vec<DescribeLogDirsTopic> {
    let partition = |(partition_index, size): (i32, Option<u64>)| {
        Some(DescribeLogDirsPartition {
            partition_index,
            partition_size: i64::try_from(size?).unwrap_or(i64::MAX),
            ..Default::default()
        })
    };
    let topic = |(name, sizes): SizedTopic| DescribeLogDirsTopic {
        name,
        partitions: sizes.into_iter().filter_map(partition).collect(),
    };
    let there = |topic: &DescribeLogDirsTopic| !topic.partitions.is_empty();
    topics.into_iter().map(topic).filter(there).collect()
}
