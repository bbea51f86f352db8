//! The coordinator of the groups of one partition of `__consumer_offsets`.

use std::sync::Arc;

use tracing::warn;
use wiber_model::{Monotonic, Now, Rng};

use crate::cluster::{Cluster, ConsumerProtocol};
use crate::config::GroupConfig;
use crate::error::GroupError;
use crate::groups::Groups;
use crate::held::HELD_BYTES_MAX;
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
    /// What the groups hold in memory, in bytes: counted once all records were replayed.
    held_bytes: Option<usize>,
    /// Whether somebody was refused since there was room last.
    is_full: bool,
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
            held_bytes: None,
            is_full: false,
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
        groups.loaded(&mut step);
        let interval_ms = step.config.offsets_retention_check_interval_ms.max(1);
        step.set_timer(Timer::Expiry, interval_ms);
        self.held_bytes = Some(self.groups.held_bytes());
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
        let Some(request) = self.admit(reply_to, request, out) else {
            return;
        };
        let group = request.changes().cloned();
        self.counted(group.as_deref(), |coordinator| {
            coordinator.ask(now, cluster, reply_to, request, out);
        });
    }

    /// Refuses a request, and says so, if the groups would hold more with it than they may. Otherwise it comes back.
    fn admit(&mut self, to: ReplyTo, request: Request, out: &mut Output) -> Option<Request> {
        let more = self.groups.grows_by(&request);
        if more == 0 {
            return Some(request);
        }
        let is_full = self.held_bytes.unwrap_or(0) + more > HELD_BYTES_MAX;
        let was_full = std::mem::replace(&mut self.is_full, is_full);
        if !is_full {
            return Some(request);
        }
        if !was_full {
            warn!(
                bytes = self.held_bytes,
                "the groups of a partition hold as much as they may, {HELD_BYTES_MAX} bytes: no members and groups are taken until others go"
            );
        }
        let error = GroupError::CoordinatorNotAvailable(
            "the groups of this coordinator hold as much as they may".to_owned(),
        );
        out.replies
            .extend(request.refused(error).map(|response| (to, response)));
        None
    }

    /// Does something to a group, and counts what it holds then.
    fn counted(&mut self, group: Option<&str>, change: impl FnOnce(&mut Coordinator)) {
        let held = |groups: &Groups| group.map_or(0, |group| groups.held_by(group));
        let before = held(&self.groups);
        change(self);
        let after = held(&self.groups);
        if let Some(bytes) = &mut self.held_bytes {
            *bytes = *bytes - before + after;
        }
    }

    fn ask(
        &mut self,
        now: Now,
        cluster: &dyn Cluster,
        reply_to: ReplyTo,
        request: Request,
        out: &mut Output,
    ) {
        let (groups, mut step) = self.step(now, cluster, out);
        let step = &mut step;
        let response = match request {
            Request::Join(request) => return groups.join(step, reply_to, request),
            Request::Sync(request) => return groups.sync(step, reply_to, request),
            Request::ConsumerHeartbeat(request) => {
                return groups.consumer_heartbeat(step, reply_to, request);
            }
            Request::Heartbeat(request) => Response::Heartbeat(groups.heartbeat(step, &request)),
            Request::Leave(request) => Response::Leave(groups.leave(step, request)),
            Request::CommitOffsets(request) => {
                Response::CommitOffsets(groups.commit(step, request))
            }
            Request::FetchOffsets(request) => Response::FetchOffsets(groups.fetch(step, request)),
            Request::DeleteOffsets(request) => {
                Response::DeleteOffsets(groups.delete_offsets(step, request))
            }
            Request::DeleteGroup { group } => {
                Response::DeleteGroup(groups.delete_group(step, &group))
            }
            Request::ListGroups(request) => Response::ListGroups(groups.list(&request)),
            Request::DescribeClassic { group, version } => {
                Response::DescribeClassic(groups.describe_classic(&group, version))
            }
            Request::DescribeConsumer { group } => {
                Response::DescribeConsumer(groups.consumer_describe(step, &group))
            }
        };
        step.reply(reply_to, response);
    }

    /// When [`Coordinator::tick`] is due next.
    #[must_use]
    pub fn next_deadline(&self) -> Monotonic {
        self.timers.next_deadline()
    }

    /// Does what is due: sessions, rebalances and offsets that expire, expressions that are to be resolved.
    pub fn tick(&mut self, now: Now, cluster: &dyn Cluster, out: &mut Output) {
        while let Some(timer) = self.timers.pop(now.monotonic) {
            match timer.group().map(str::to_owned) {
                Some(group) => self.counted(Some(&group), |coordinator| {
                    coordinator.time_out(now, cluster, timer, out);
                }),
                None => {
                    self.time_out(now, cluster, timer, out);
                    self.held_bytes = Some(self.groups.held_bytes());
                }
            }
        }
    }

    fn time_out(&mut self, now: Now, cluster: &dyn Cluster, timer: Timer, out: &mut Output) {
        let (groups, mut step) = self.step(now, cluster, out);
        match timer {
            Timer::ClassicSession { group, member } => {
                groups.classic_session_timed_out(&mut step, &group, &member);
            }
            Timer::ClassicJoin { group } => groups.classic_join_timed_out(&mut step, &group),
            Timer::ClassicSync { group } => groups.classic_sync_timed_out(&mut step, &group),
            Timer::Consumer(timer) => groups.consumer_timer(&mut step, timer),
            Timer::ConsumerRegexes => groups.resolve_regexes(&mut step),
            Timer::Expiry => groups.expire(&mut step),
            Timer::Sweep => groups.sweep(&mut step),
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
        groups.forget_topics(&mut step, names);
        groups.consumer_topics_changed(&mut step, names);
    }

    /// Topics came, grew, changed or went, which could not be told at the time; some may have come anew since.
    pub fn topics_missed(
        &mut self,
        now: Now,
        cluster: &dyn Cluster,
        names: &[String],
        out: &mut Output,
    ) {
        let (groups, mut step) = self.step(now, cluster, out);
        groups.forget_lost_topics(&mut step);
        groups.consumer_topics_changed(&mut step, names);
    }

    /// Checks the invariants of all groups.
    ///
    /// # Panics
    /// If one does not hold: a bug.
    pub fn validate(&self) {
        self.timers.validate();
        self.groups.validate();
        assert_eq!(
            self.groups.sweep.is_under_way(),
            self.timers.due(&Timer::Sweep).is_some(),
            "offsets of topics that are gone go, or there are none"
        );
        let held = self.groups.held_bytes();
        assert_eq!(
            self.held_bytes.unwrap_or(held),
            held,
            "what is held is counted"
        );
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
