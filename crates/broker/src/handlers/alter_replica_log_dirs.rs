//! AlterReplicaLogDirs (KIP-113): a broker has one directory, so a replica is where it is asked to be, or nowhere.

use wiber_protocol::ErrorCode;
use wiber_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};

use super::*;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: AlterReplicaLogDirsRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    let topics = body.dirs.iter().flat_map(|dir| &dir.topics);
    check_named(topics.map(|topic| topic.partitions.len()).sum())?;
    let mut response = AlterReplicaLogDirsResponse::default();
    for dir in body.dirs {
        let is_ours = dir.path == shard.options.log_dir.as_str();
        for topic in dir.topics {
            let partition = |index: &i32| {
                let error = if is_ours {
                    list_offsets::find(shard, &topic.name, *index).err()
                } else {
                    Some(ErrorCode::LogDirNotFound)
                };
                AlterReplicaLogDirPartitionResult {
                    partition_index: *index,
                    error_code: error.unwrap_or(ErrorCode::None).code(),
                }
            };
            let partitions = topic.partitions.iter().map(partition).collect();
            response.results.push(AlterReplicaLogDirTopicResult {
                topic_name: topic.name,
                partitions,
            });
        }
    }
    shard.respond(request, &response, fx);
    Ok(())
}
