//! DeleteTopics, by name or by id.

use wiber_controller::Command;
use wiber_model::TopicId;
use wiber_protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;
use crate::errors;

/// The first DeleteTopics version that names topics by id too (KIP-516).
const TOPIC_STATES_VERSION: i16 = 6;

/// The first DeleteTopics version that knows that deletion is disabled.
const DELETION_DISABLED_VERSION: i16 = 3;

/// A DeleteTopics under way.
#[derive(Debug)]
pub(crate) struct DeleteTopics {
    parts: Vec<Part>,
}

/// Name and id as far as they are known, and what is known to be wrong.
type Part = (Option<Str>, TopicId, Option<(ErrorCode, String)>);

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    version: i16,
    body: DeleteTopicsRequest,
    fx: &mut Vec<Effect>,
) {
    let wanted: Vec<(Option<Str>, TopicId)> = if version >= TOPIC_STATES_VERSION {
        body.topics
            .into_iter()
            .map(|topic| (topic.name.map(|n| n.detached()), topic.topic_id))
            .collect()
    } else {
        body.topic_names
            .into_iter()
            .map(|name| (Some(name.detached()), TopicId::ZERO))
            .collect()
    };
    let mut work = DeleteTopics { parts: Vec::new() };
    if !shard.options.delete_topics {
        let code = match version >= DELETION_DISABLED_VERSION {
            true => ErrorCode::TopicDeletionDisabled,
            false => ErrorCode::InvalidRequest,
        };
        let error = (code, "Topic deletion is disabled.".to_owned());
        let parts = wanted.into_iter();
        work.parts = parts
            .map(|(name, id)| (name, id, Some(error.clone())))
            .collect();
        respond(shard, request, work, fx);
        return;
    }
    let mut ids = Vec::new();
    for (name, id) in wanted {
        let found = match (&name, id) {
            (Some(_), id) if id != TopicId::ZERO => Err((
                ErrorCode::InvalidRequest,
                "give a topic's name or its id, not both".to_owned(),
            )),
            (Some(name), _) => shard.image.topic(name).ok_or_else(|| {
                (
                    ErrorCode::UnknownTopicOrPartition,
                    "there is no such topic".to_owned(),
                )
            }),
            (None, id) => shard
                .image
                .topic_by_id(id)
                .ok_or_else(|| (ErrorCode::UnknownTopicId, "no topic has this id".to_owned())),
        };
        match found {
            Ok(topic) if ids.contains(&topic.id) => {
                let error = (
                    ErrorCode::InvalidRequest,
                    "the topic is named twice".to_owned(),
                );
                work.parts.push((name, id, Some(error)));
            }
            Ok(topic) => {
                ids.push(topic.id);
                work.parts
                    .push((Some(topic.name.as_str().into()), topic.id, None));
            }
            Err(error) => work.parts.push((name, id, Some(error))),
        }
    }
    if ids.is_empty() {
        respond(shard, request, work, fx);
        return;
    }
    shard.put_back(request, Work::DeleteTopics(work));
    shard.command(request, Command::DeleteTopics { ids }, fx);
}

/// The controller has decided.
pub(super) fn done(
    shard: &mut Shard,
    request: RequestId,
    mut work: DeleteTopics,
    result: Result<CommandResult, CommandError>,
    fx: &mut Vec<Effect>,
) {
    let of = |error: &CommandError| (errors::of_command(error), error.to_string());
    match result {
        Ok(CommandResult::TopicsDeleted(results)) => {
            for (id, result) in results {
                if let Err(error) = result
                    && let Some(part) = work
                        .parts
                        .iter_mut()
                        .find(|part| part.1 == id && part.2.is_none())
                {
                    part.2 = Some(of(&error));
                }
            }
        }
        Ok(other) => unreachable!("{other:?} does not answer a deletion of topics"),
        Err(error) => {
            for part in work.parts.iter_mut().filter(|part| part.2.is_none()) {
                part.2 = Some(of(&error));
            }
        }
    }
    respond(shard, request, work, fx);
}

fn respond(shard: &mut Shard, request: RequestId, work: DeleteTopics, fx: &mut Vec<Effect>) {
    let version = shard.version(request);
    let result = |(name, topic_id, error): Part| {
        let (code, message) = error.unzip();
        DeletableTopicResult {
            // The name can be null only where topics can be named by id.
            name: name.or_else(|| (version < TOPIC_STATES_VERSION).then(Str::default)),
            topic_id,
            error_code: code.unwrap_or(ErrorCode::None).code(),
            error_message: message.map(errors::message),
        }
    };
    let response = DeleteTopicsResponse {
        responses: work.parts.into_iter().map(result).collect(),
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}
