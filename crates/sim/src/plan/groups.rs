//! Groups of consumers: which seeds have some, and how their members work and fail.
//!
//! They are drawn from a stream of their own, so that what else a seed draws is as it would be without them.

use std::sync::Arc;

use wiber_broker::BrokerOptions;
use wiber_model::Rng;
use wiber_protocol::Str;

use super::{Plan, pick};
use crate::client::member::{Kind, MemberPlan};

/// Apart from a seed's other draws.
const STREAM: u64 = 0x6772_6f75_7073_2031;
/// Apart from those, so that they stay what they were.
const KEEPING_STREAM: u64 = 0x6772_6f75_7073_2032;
/// Apart from these, too.
const MIGRATION_STREAM: u64 = 0x6772_6f75_7073_2033;
/// One group in so many changes its protocol while it works.
const GROUPS_PER_MIGRATION: u64 = 3;
/// One seed in so many has groups.
const SEEDS_PER_GROUPS: u64 = 4;
/// With groups a run has so many times its steps: what members say among themselves takes some.
const STEPS_FACTOR: u64 = 2;
/// Producers leave time for the groups: they rest so long at least, in microseconds.
const PRODUCER_PAUSE_US: u64 = 1_000;

/// What a run has of groups.
#[derive(Clone, Debug, Default)]
pub struct GroupsPlan {
    /// The members, each with the group that it is in.
    pub members: Vec<MemberPlan>,
    /// Who looks at groups, and deletes what they leave, rests so long between requests, in microseconds; none: nobody.
    pub caretaker_pause_us: Option<u64>,
    /// `offsets.retention.minutes`, in milliseconds, if that is shorter than a run.
    pub retention_ms: Option<i64>,
}

impl GroupsPlan {
    /// The names of the groups, and how their members work together.
    pub fn groups(&self) -> impl Iterator<Item = (&Str, Kind)> {
        self.members.iter().map(|plan| (&plan.group, plan.kind))
    }
}

/// Draws whether a seed has groups, and gives them their place in its plan.
pub(super) fn add(seed: u64, plan: &mut Plan) {
    let rng = &mut Rng::new(seed ^ STREAM);
    if !rng.one_in(SEEDS_PER_GROUPS) {
        return;
    }
    plan.steps *= STEPS_FACTOR;
    plan.incidents
        .iter_mut()
        .for_each(|(at, _)| *at *= STEPS_FACTOR);
    for producer in &mut plan.producers {
        producer.pause_us = producer.pause_us.max(PRODUCER_PAUSE_US);
    }
    configure(rng, &mut plan.options);
    plan.options.offsets_partitions = 1 + rng.below(3) as i32;
    let mut members = Vec::new();
    let migrations = &mut Rng::new(seed ^ MIGRATION_STREAM);
    for group in 0..1 + rng.below(2) {
        let kind = pick(rng, &[Kind::Eager, Kind::Cooperative, Kind::Consumer]);
        let common = MemberPlan {
            group: format!("group-{group}").into(),
            kind,
            migrates_to: None,
            instance: None,
            topics: plan.topics.iter().map(|topic| topic.name.clone()).collect(),
            session_ms: pick(rng, &[60, 150]),
            rebalance_ms: pick(rng, &[80, 300]),
            heartbeat_ms: pick(rng, &[10, 25]),
            assignor: pick(rng, &[None, Some("uniform"), Some("range")]),
            pause_us: 0,
            commit_ms: 0,
            silence_ms: 0,
            mishaps: 0,
        };
        let silence_ms = match kind {
            Kind::Consumer => plan.options.groups.consumer_session_timeout_ms,
            _ => common.session_ms,
        };
        let other = match kind {
            Kind::Consumer => pick(migrations, &[Kind::Eager, Kind::Cooperative]),
            _ => Kind::Consumer,
        };
        let migrates_to = migrations.one_in(GROUPS_PER_MIGRATION).then_some(other);
        for member in 0..1 + rng.below(3) {
            // A static member that starts again has its share back without a rebalance. In the cooperative protocol nobody then asks for the
            // round that hands out what it was to give up: Kafka's clients leave that to the next rebalance, which may never come.
            let is_static = rng.one_in(3) && kind != Kind::Cooperative;
            // A static member that comes back with another protocol makes no rebalance: then no member of the classic protocol knows that
            // it is to look for new partitions.
            let is_static = is_static && migrates_to.is_none();
            let session_ms = match migrates_to {
                Some(_) => plan.options.groups.consumer_session_timeout_ms,
                None => common.session_ms,
            };
            members.push(MemberPlan {
                migrates_to,
                session_ms,
                instance: is_static.then(|| format!("instance-{group}-{member}").into()),
                pause_us: pick(rng, &[200, 1_000, 4_000]),
                commit_ms: pick(rng, &[0, 0, 20]),
                silence_ms: migrates_to.map_or(silence_ms, |_| session_ms) as u64,
                mishaps: pick(rng, &[0, 20, 100]),
                ..common.clone()
            });
        }
    }
    let retention_ms = keep(&mut Rng::new(seed ^ KEEPING_STREAM), &mut plan.options);
    plan.groups = GroupsPlan {
        members,
        caretaker_pause_us: rng.one_in(2).then(|| pick(rng, &[5_000, 20_000])),
        retention_ms,
    };
}

/// How what groups store is kept: in some runs it is compacted again and again, and in some it expires soon. Returns after which time,
/// in milliseconds, if it does.
fn keep(rng: &mut Rng, options: &mut BrokerOptions) -> Option<i64> {
    if rng.one_in(2) {
        options.offsets_segment_bytes = pick(rng, &[400, 2_000, 10_000]);
        let ratio = pick(rng, &["0.0", "0.01", "0.5"]);
        // Topics of clients that are compacted have a ratio of their own.
        let key = "min.cleanable.dirty.ratio".to_owned();
        options.topic_defaults.insert(key, ratio.to_owned());
    }
    let retention_ms = rng.one_in(3).then(|| pick(rng, &[30, 100, 400]))?;
    let config = Arc::make_mut(&mut options.groups);
    config.offsets_retention_ms = retention_ms;
    config.offsets_retention_check_interval_ms = pick(rng, &[3, 20]);
    Some(retention_ms)
}

/// Time is short in a run: whatever takes seconds by default takes milliseconds.
fn configure(rng: &mut Rng, options: &mut BrokerOptions) {
    let config = Arc::make_mut(&mut options.groups);
    config.min_session_timeout_ms = 1;
    config.initial_rebalance_delay_ms = pick(rng, &[0, 3, 20]);
    config.consumer_session_timeout_ms = pick(rng, &[60, 150]);
    config.consumer_min_session_timeout_ms = 1;
    config.consumer_heartbeat_interval_ms = pick(rng, &[8, 25]);
    config.consumer_min_heartbeat_interval_ms = 1;
    config.consumer_assignment_interval_ms = pick(rng, &[0, 0, 20]);
}
