//! FindCoordinator: which broker has a group (KIP-699 for several at once). Transactions have no coordinator yet.
//!
//! The topic that holds groups is made when somebody first asks for one.

use wiber_controller::{Command, TopicSpec};
use wiber_protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;
use crate::errors;
use crate::groups::OFFSETS_TOPIC;

/// The first version that asks for several coordinators at once (KIP-699).
const BATCH_VERSION: i16 = 4;
/// What a key is that names a group, or a transactional id (`FindCoordinatorRequest.CoordinatorType`).
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// So long the answer waits for the topic of groups to be made. What the client asks next on the connection waits with it, so it is not long:
/// a disk that is slow to make the topic must not keep those from reading who only look for their group.
const CREATION_WAIT_MS: i64 = 250;

const NO_TRANSACTIONS: &str =
    "transactions are not served by this release of Wiber; produce without a transactional id";

/// A FindCoordinator under way.
#[derive(Debug)]
pub(crate) struct FindCoordinator {
    keys: Vec<Str>,
}

pub(super) fn begin(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    body: &FindCoordinatorRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    check_named(body.coordinator_keys.len())?;
    let keys: Vec<_> = if shard.version(request) >= BATCH_VERSION {
        body.coordinator_keys.iter().map(Str::detached).collect()
    } else {
        vec![body.key.detached()]
    };
    match body.key_type {
        GROUP if keys.is_empty() || shard.image.topic(OFFSETS_TOPIC).is_some() => {
            respond(shard, request, keys, Ok(()), fx);
        }
        GROUP => {
            let work = Work::FindCoordinator(FindCoordinator { keys });
            shard.park(request, work, now.monotonic.plus_ms(CREATION_WAIT_MS));
            let command = Command::CreateTopics {
                topics: vec![offsets_topic(shard)],
                validate_only: false,
            };
            shard.command(request, command, fx);
        }
        TRANSACTION => {
            shard.tell_unserved(
                now,
                request,
                "asked for a transaction coordinator; transactions are not served yet: produce without a transactional id",
            );
            let error = (
                ErrorCode::CoordinatorNotAvailable,
                NO_TRANSACTIONS.to_owned(),
            );
            respond(shard, request, keys, Err(error), fx);
        }
        other => {
            let reason =
                format!("coordinators of type {other} are not known; groups have type {GROUP}");
            respond(
                shard,
                request,
                keys,
                Err((ErrorCode::InvalidRequest, reason)),
                fx,
            );
        }
    }
    Ok(())
}

/// The topic of groups, as it is made: with as many replicas as there are brokers, up to what is set.
pub(super) fn offsets_topic(shard: &Shard) -> TopicSpec {
    let options = &shard.options;
    let brokers = i16::try_from(shard.image.brokers().len()).unwrap_or(i16::MAX);
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("compression.type", "producer".to_owned()),
        ("segment.bytes", options.offsets_segment_bytes.to_string()),
    ];
    TopicSpec {
        name: OFFSETS_TOPIC.to_owned(),
        partitions: options.offsets_partitions,
        replication_factor: options.offsets_replication_factor.min(brokers).max(1),
        assignments: Vec::new(),
        configs: configs.map(|(key, value)| (key.to_owned(), value)).into(),
    }
}

/// The topic is not made yet: the client asks again, as it does of Kafka.
pub(super) fn expired(
    shard: &mut Shard,
    request: RequestId,
    work: FindCoordinator,
    fx: &mut Vec<Effect>,
) {
    let reason = format!("{OFFSETS_TOPIC} is being made; ask again");
    let error = (ErrorCode::CoordinatorNotAvailable, reason);
    respond(shard, request, work.keys, Err(error), fx);
}

/// The topic was made, or not.
pub(super) fn created(
    shard: &mut Shard,
    request: RequestId,
    work: FindCoordinator,
    result: Result<CommandResult, CommandError>,
    fx: &mut Vec<Effect>,
) {
    let failure = match result {
        Ok(CommandResult::TopicsCreated(created)) => {
            created.into_iter().find_map(|created| created.result.err())
        }
        Ok(other) => unreachable!("{other:?} does not answer a creation of topics"),
        Err(error) => Some(error),
    };
    // Somebody else may have made it meanwhile, which is as good.
    let result = match failure {
        Some(error) if shard.image.topic(OFFSETS_TOPIC).is_none() => {
            tracing::warn!(
                code = errors::of_command(&error).code(),
                "the topic {OFFSETS_TOPIC}, which holds groups, cannot be made: {error}"
            );
            let reason = format!("{OFFSETS_TOPIC} cannot be made: {error}");
            Err((ErrorCode::CoordinatorNotAvailable, reason))
        }
        _ => Ok(()),
    };
    respond(shard, request, work.keys, result, fx);
}

fn respond(
    shard: &mut Shard,
    request: RequestId,
    keys: Vec<Str>,
    result: Result<(), (ErrorCode, String)>,
    fx: &mut Vec<Effect>,
) {
    let (host, port) = shard.advertised_for(request);
    let found = |key| match &result {
        Ok(()) => Coordinator {
            key,
            node_id: shard.node_id().0,
            host: host.as_str().into(),
            port,
            ..Default::default()
        },
        Err((error, reason)) => Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code: error.code(),
            error_message: Some(errors::message(reason)),
            ..Default::default()
        },
    };
    let mut coordinators: Vec<_> = keys.into_iter().map(found).collect();
    let response = if shard.version(request) >= BATCH_VERSION {
        FindCoordinatorResponse {
            coordinators,
            ..Default::default()
        }
    } else {
        let only = coordinators.pop().unwrap_or_default();
        FindCoordinatorResponse {
            error_code: only.error_code,
            error_message: match only.error_code {
                // Kafka names the code here also where there is no error.
                0 => Some("NONE".into()),
                _ => only.error_message,
            },
            node_id: only.node_id,
            host: only.host,
            port: only.port,
            ..Default::default()
        }
    };
    shard.respond(request, &response, fx);
}
