//! CreatePartitions: checks what the broker can, and has the controller do the rest.

use wiber_controller::{Command, PartitionsSpec};
use wiber_model::BrokerId;
use wiber_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;
use crate::errors;
use crate::groups::OFFSETS_TOPIC;

/// A CreatePartitions under way.
#[derive(Debug)]
pub(crate) struct CreatePartitions {
    /// In the order of the request: each topic once, and what is known to be wrong.
    parts: Vec<(Str, Option<(ErrorCode, String)>)>,
}

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &CreatePartitionsRequest,
    fx: &mut Vec<Effect>,
) {
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in &body.topics {
        *named.entry(&topic.name).or_default() += 1;
    }
    let mut work = CreatePartitions { parts: Vec::new() };
    let mut topics = BTreeMap::new();
    for topic in &body.topics {
        let name: &str = &topic.name;
        let Some(times) = named.remove(name) else {
            continue;
        };
        let error = if times > 1 {
            let message = format!("Duplicate topic name: {name}");
            Some((ErrorCode::InvalidRequest, message))
        } else if name == OFFSETS_TOPIC {
            // Kafka takes it, and its groups lose their offsets.
            let message = format!(
                "The number of partitions of {name} says which partition a group belongs to, and cannot change: set offsets.topic.num.partitions before there are groups"
            );
            Some((ErrorCode::InvalidPartitions, message))
        } else {
            topics.insert(name.to_owned(), spec_of(topic));
            None
        };
        work.parts.push((topic.name.detached(), error));
    }
    if topics.is_empty() {
        respond(shard, request, work, fx);
        return;
    }
    let command = Command::CreatePartitions {
        topics,
        validate_only: body.validate_only,
    };
    shard.put_back(request, Work::CreatePartitions(work));
    shard.command(request, command, fx);
}

/// What the controller is asked for.
fn spec_of(topic: &CreatePartitionsTopic) -> PartitionsSpec {
    let assignments = topic.assignments.as_ref().map(|assignments| {
        let brokers = assignments.iter().map(|each| &each.broker_ids);
        brokers
            .map(|ids| ids.iter().map(|id| BrokerId(*id)).collect())
            .collect()
    });
    PartitionsSpec {
        count: topic.count,
        assignments,
    }
}

/// The controller has decided.
pub(super) fn done(
    shard: &mut Shard,
    request: RequestId,
    mut work: CreatePartitions,
    result: Result<CommandResult, CommandError>,
    fx: &mut Vec<Effect>,
) {
    let results = match result {
        Ok(CommandResult::PartitionsCreated(results)) => Ok(results),
        Ok(other) => unreachable!("{other:?} does not answer a creation of partitions"),
        Err(error) => Err(error),
    };
    for (name, refused) in work.parts.iter_mut().filter(|(_, error)| error.is_none()) {
        let error = match &results {
            Ok(results) => results.get(name.as_str()).and_then(|r| r.as_ref().err()),
            Err(error) => Some(error),
        };
        *refused = error.map(|error| (errors::of_command(error), error.to_string()));
    }
    respond(shard, request, work, fx);
}

fn respond(shard: &mut Shard, request: RequestId, work: CreatePartitions, fx: &mut Vec<Effect>) {
    let result = |(name, error): (Str, Option<(ErrorCode, String)>)| {
        let (code, message) = error.unzip();
        CreatePartitionsTopicResult {
            name,
            error_code: code.unwrap_or(ErrorCode::None).code(),
            error_message: message.map(errors::message),
        }
    };
    let response = CreatePartitionsResponse {
        results: work.parts.into_iter().map(result).collect(),
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}
