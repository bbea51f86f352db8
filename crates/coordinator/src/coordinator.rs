//! The coordinator of the groups of one partition of `__consumer_offsets`.

use std::sync::Arc;

use wiber_model::{Monotonic, Now, Rng};

use crate::cluster::{Cluster, ConsumerProtocol};
use crate::config::GroupConfig;
use crate::groups::Groups;
use crate::record::Record;
use crate::request::Request;
use crate::response::Response;
use crate::step::Step;
use crate::timers::{Timer, Timers};

/// Who waits for a reply: the broker's number for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReplyTo(pub u64);

/// What a step of a coordinator came to.
#[derive(Debug, Default)]
pub struct Output {
    /// To be appended, in order, in the same step; the coordinator holds them for done.
    pub records: Vec<Record>,
    /// To be sent once all that was appended until now is durable.
    pub replies: Vec<(ReplyTo, Response)>,
}

/// The groups of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct Coordinator {
    config: Arc<GroupConfig>,
    rng: Rng,
    timers: Timers,
    groups: Groups,
}

impl Coordinator {
    /// A coordinator without groups: for an empty partition, or to be filled by [`Coordinator::replay`].
    #[must_use]
    pub fn new(config: Arc<GroupConfig>, protocol: ConsumerProtocol, rng: Rng) -> Coordinator {
        Coordinator {
            config,
            rng,
            timers: Timers::default(),
            groups: Groups::new(protocol),
        }
    }

    /// Takes other settings from here on.
    pub fn configure(&mut self, config: Arc<GroupConfig>) {
        self.config = config;
    }

    /// Folds a record of the partition in, on recovery.
    pub fn replay(&mut self, record: Record) {
        self.groups.replay(record);
    }

    /// All records were replayed: members have their session timeouts from now on.
    pub fn loaded(&mut self, now: Now, cluster: &dyn Cluster, out: &mut Output) {
        let (groups, mut step) = self.step(now, cluster, out);
        groups.consumer_loaded(&mut step);
    }

    /// Takes a request. The reply is in `out` at once or comes with a later call.
    pub fn handle(
        &mut self,
        now: Now,
        cluster: &dyn Cluster,
        reply_to: ReplyTo,
        request: Request,
        out: &mut Output,
    ) {
        let (groups, mut step) = self.step(now, cluster, out);
        let step = &mut step;
        match request {
            Request::ConsumerHeartbeat(request) => {
                groups.consumer_heartbeat(step, reply_to, request);
            }
            Request::DescribeConsumer { group } => {
                let description = groups.consumer_describe(&group);
                step.reply(reply_to, Response::DescribeConsumer(description));
            }
            _ => {}
        }
    }

    /// When [`Coordinator::tick`] is due next.
    #[must_use]
    pub fn next_deadline(&self) -> Monotonic {
        self.timers.next_deadline()
    }

    /// Does what is due: sessions, rebalances and offsets that expire.
    pub fn tick(&mut self, now: Now, cluster: &dyn Cluster, out: &mut Output) {
        let (groups, mut step) = self.step(now, cluster, out);
        while let Some(timer) = step.timers.pop(now.monotonic) {
            if let Timer::Consumer(timer) = timer {
                groups.consumer_timer(&mut step, timer);
            }
        }
    }

    /// Topics came, grew or changed.
    pub fn topics_changed(
        &mut self,
        now: Now,
        cluster: &dyn Cluster,
        names: &[String],
        out: &mut Output,
    ) {
        let (groups, mut step) = self.step(now, cluster, out);
        groups.consumer_topics_changed(&mut step, names);
    }

    /// Topics were deleted: what is committed for them goes, too.
    pub fn topics_deleted(
        &mut self,
        now: Now,
        cluster: &dyn Cluster,
        names: &[String],
        out: &mut Output,
    ) {
        let (groups, mut step) = self.step(now, cluster, out);
        groups.consumer_topics_changed(&mut step, names);
    }

    /// Checks the invariants of all groups.
    ///
    /// # Panics
    /// If one does not hold: a bug.
    pub fn validate(&self) {
        self.timers.validate();
        self.groups.validate();
    }

    /// The groups, and what a step works with besides.
    fn step<'a>(
        &'a mut self,
        now: Now,
        cluster: &'a dyn Cluster,
        out: &'a mut Output,
    ) -> (&'a mut Groups, Step<'a>) {
        let step = Step {
            now,
            cluster,
            config: &self.config,
            rng: &mut self.rng,
            timers: &mut self.timers,
            out,
        };
        (&mut self.groups, step)
    }
}
