//! InitProducerId: ids for idempotent producers, from blocks that the controller gives out (KIP-730).
//!
//! Invariant: an id is given once, ever. A block that a restart leaves half used is lost, not reused.

use std::collections::VecDeque;

use wiber_controller::Command;
use wiber_protocol::ErrorCode;
use wiber_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::*;
use crate::errors;

/// What a shard's command for more ids goes by: it belongs to no request, as the one that caused it may be gone by then.
pub(crate) const REFILL: RequestId = RequestId(u64::MAX);

/// The ids that a shard may give out, and who waits for more.
#[derive(Debug, Default)]
pub(crate) struct Block {
    next: i64,
    left: u32,
    waiting: VecDeque<RequestId>,
    asked: bool,
}

pub(super) fn begin(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    body: &InitProducerIdRequest,
    fx: &mut Vec<Effect>,
) {
    if body.transactional_id.is_some() {
        // Transactions have no coordinator here.
        let wanted =
            "named a transactional id; transactions are not served yet: produce without one";
        shard.tell_unserved(now, request, wanted);
        respond(shard, request, Err(ErrorCode::NotCoordinator), fx);
        return;
    }
    shard.put_back(request, Work::InitProducerId);
    shard.producer_ids.waiting.push_back(request);
    give(shard, fx);
    if !shard.producer_ids.waiting.is_empty() && !shard.producer_ids.asked {
        shard.producer_ids.asked = true;
        shard.command(REFILL, Command::AllocateProducerIds, fx);
    }
}

/// The controller gave a block, or not.
pub(crate) fn refilled(
    shard: &mut Shard,
    result: Result<CommandResult, CommandError>,
    fx: &mut Vec<Effect>,
) {
    shard.producer_ids.asked = false;
    match result {
        Ok(CommandResult::ProducerIds { first, count }) => {
            shard.producer_ids.next = first;
            shard.producer_ids.left = count;
            give(shard, fx);
        }
        Ok(other) => unreachable!("{other:?} does not answer an allocation of producer ids"),
        Err(error) => {
            while let Some(request) = shard.producer_ids.waiting.pop_front() {
                respond(shard, request, Err(errors::of_command(&error)), fx);
            }
        }
    }
}

pub(super) fn abandon(shard: &mut Shard, request: RequestId) {
    shard
        .producer_ids
        .waiting
        .retain(|waiting| *waiting != request);
}

fn give(shard: &mut Shard, fx: &mut Vec<Effect>) {
    while shard.producer_ids.left > 0
        && let Some(request) = shard.producer_ids.waiting.pop_front()
    {
        let id = shard.producer_ids.next;
        shard.producer_ids.next += 1;
        shard.producer_ids.left -= 1;
        respond(shard, request, Ok(id), fx);
    }
}

fn respond(
    shard: &mut Shard,
    request: RequestId,
    result: Result<i64, ErrorCode>,
    fx: &mut Vec<Effect>,
) {
    let response = InitProducerIdResponse {
        error_code: result.err().unwrap_or(ErrorCode::None).code(),
        producer_id: result.unwrap_or(-1),
        producer_epoch: if result.is_ok() { 0 } else { -1 },
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}
