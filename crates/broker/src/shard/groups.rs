//! The groups that a shard keeps: one coordinator for each of its partitions of `__consumer_offsets`.
//!
//! A coordinator is filled from its partition's log before it takes requests. From then on, what it stores is appended in the step in
//! which it says so, and what it replies leaves once all that it stored before is durable: nobody learns what a crash could take back.
//!
//! Invariants:
//! - A coordinator is asked to store only while its log takes records, so that its state and its log never part.
//! - Groups of a partition of which records are lost are not served: what their members committed may be among them (D8). Whoever runs the
//!   broker may say that they are to be served without, by [`UNCLEAN_LEADER`]; the log names what is left out.
//! - While nothing is asked and no time-out is due, groups cost nothing: the next time-out of each coordinator stands in one ordered set.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use wiber_coordinator::{Coordinator, Output, Record, ReplyTo, Request, Response};
use wiber_model::batch::{BatchBuilder, Compression, Records};
use wiber_model::mutant::{self, Mutant};
use wiber_model::{Batch, Batches, LeaderEpoch, Monotonic, Now, Offset, PartitionId, Rng, TopicId};
use wiber_protocol::ErrorCode;
use wiber_storage::compression::Decoder;
use wiber_storage::io::DiskError;
use wiber_storage::log::PartitionLog;
use wiber_storage::store::{Read, ReadError, ReadId, ReadOutput, Ticket, Want};

use super::{Shard, Stopping};
use crate::groups::{self, CONSUMER_PROTOCOL, Metadata, OFFSETS_TOPIC, RecordError};
use crate::machine::{Address, Effect};
use crate::message::{Answer, RequestId};
use crate::topic_config::UNCLEAN_LEADER;

/// A coordinator is filled by this many bytes of its log in a step, so that the shard's other work goes on.
const LOAD_BYTES: usize = 1024 * 1024;
/// A compressed batch of the offsets topic may unfold to so many bytes. Wiber writes them plain; a topic's settings may have others made.
const BATCH_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// What is stored in a step goes into batches of this size, or larger if one record is. No record comes near `MAX_BATCH_BYTES`.
const BATCH_TARGET_BYTES: usize = 1024 * 1024;
/// After the disk failed to give a coordinator's log, it is asked again this much later.
const FAILING_DISK_PAUSE_MS: i64 = 1000;
/// While the disk takes no records, time-outs wait for so long before they are looked at again.
const FULL_DISK_PAUSE_MS: i64 = 100;

/// The groups of a shard.
#[derive(Debug)]
pub(super) struct Groups {
    hosted: BTreeMap<PartitionId, Hosted>,
    /// When each coordinator wants to be woken, if at all.
    wakes: BTreeSet<(Monotonic, PartitionId)>,
    /// Who waits for which reply.
    waiting: BTreeMap<ReplyTo, Waiter>,
    next_reply: u64,
    /// Partitions with replies that wait for what was stored to be durable.
    holding: BTreeSet<PartitionId>,
    reads: BTreeMap<ReadId, PartitionId>,
    rng: Rng,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    to: Address,
    request: RequestId,
    part: usize,
    partition: PartitionId,
}

#[derive(Debug)]
struct Hosted {
    coordinator: Coordinator,
    stage: Stage,
    /// When it wants to be woken: its entry in [`Groups::wakes`].
    wake: Monotonic,
    /// What it stored last is durable with this.
    ticket: Ticket,
    /// Topics that changed, or went, while its log took no records: it is told of them later.
    missed: BTreeSet<String>,
    /// Replies, each with what must be durable before it leaves.
    held: VecDeque<(Ticket, Waiter, Response)>,
    /// What it was loaded without last: that is told in one piece, once its end is known.
    lost: Option<Damage>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// It is filled from its log: what lies before this offset is in.
    Loading(Offset),
    /// It takes requests.
    Active,
    /// Its log cannot be read, or written. What lies before this offset is in.
    Failed(Offset),
}

/// Records that a coordinator cannot be filled with.
#[derive(Debug)]
struct Damage {
    from: Offset,
    /// The offset after the last one, as far as that is known.
    to: Offset,
    problem: String,
}

impl Groups {
    pub fn new(rng: Rng) -> Groups {
        Groups {
            hosted: BTreeMap::new(),
            wakes: BTreeSet::new(),
            waiting: BTreeMap::new(),
            next_reply: 0,
            holding: BTreeSet::new(),
            reads: BTreeMap::new(),
            rng,
        }
    }

    /// When something is due next.
    pub fn wake(&self) -> Monotonic {
        self.wakes.first().map_or(Monotonic::NEVER, |(at, _)| *at)
    }

    /// Checks the invariants of all groups. While they are loaded some need not hold: compaction took records away whose successors are
    /// yet to be folded in.
    pub fn validate(&self) {
        let mut hosted = self.hosted.values();
        while let Some(active) = hosted.find(|hosted| hosted.stage == Stage::Active) {
            active.coordinator.validate();
        }
        for (at, partition) in &self.wakes {
            let hosted = self.hosted.get(partition);
            assert_eq!(
                hosted.map(|hosted| hosted.wake),
                Some(*at),
                "{partition} is to be woken at another time"
            );
        }
    }

    fn set_wake(&mut self, partition: PartitionId, at: Monotonic) {
        let Some(hosted) = self.hosted.get_mut(&partition) else {
            return;
        };
        if hosted.wake == at {
            return;
        }
        self.wakes.remove(&(hosted.wake, partition));
        hosted.wake = at;
        if at != Monotonic::NEVER {
            self.wakes.insert((at, partition));
        }
    }
}

impl Shard {
    /// Takes the groups of a partition of the offsets topic over, if this is one, and it is this shard's.
    pub(super) fn host_groups(&mut self, now: Now, partition: PartitionId) {
        let is_ours = self.store.log(partition).is_some()
            && self
                .image
                .topic_by_id(partition.topic)
                .is_some_and(|topic| topic.name == OFFSETS_TOPIC);
        if !is_ours || self.groups.hosted.contains_key(&partition) {
            return;
        }
        let start = self
            .store
            .log(partition)
            .map_or(Offset::ZERO, PartitionLog::start);
        let rng = self.groups.rng.fork();
        let config = Arc::clone(&self.options.groups);
        let hosted = Hosted {
            coordinator: Coordinator::new(config, CONSUMER_PROTOCOL, rng),
            stage: Stage::Loading(start),
            wake: Monotonic::NEVER,
            ticket: Ticket::Durable(0),
            missed: BTreeSet::new(),
            held: VecDeque::new(),
            lost: None,
        };
        self.groups.hosted.insert(partition, hosted);
        self.groups.set_wake(partition, now.monotonic);
    }

    /// Takes over the groups of all partitions that the shard has at a start.
    pub(super) fn host_all_groups(&mut self, now: Now) {
        let Some(topic) = self.image.topic(OFFSETS_TOPIC) else {
            return;
        };
        let (id, partitions) = (topic.id, topic.partitions.len());
        for partition in 0..partitions as i32 {
            let partition = PartitionId {
                topic: id,
                partition,
            };
            self.host_groups(now, partition);
        }
    }

    /// A partition is gone, and its groups with it.
    pub(super) fn drop_groups(&mut self, partition: PartitionId, fx: &mut Vec<Effect>) {
        self.groups.set_wake(partition, Monotonic::NEVER);
        self.groups.holding.remove(&partition);
        let Some(hosted) = self.groups.hosted.remove(&partition) else {
            return;
        };
        for (_, waiter, _) in hosted.held {
            self.refuse(waiter, ErrorCode::NotCoordinator, fx);
        }
        self.refuse_waiting(|waiter| waiter.partition == partition, fx);
    }

    /// The broker stops: members that wait for others are told to look for another coordinator.
    pub(super) fn end_groups(&mut self, fx: &mut Vec<Effect>) {
        self.refuse_waiting(|_| true, fx);
    }

    fn refuse_waiting(&mut self, whose: impl Fn(&Waiter) -> bool, fx: &mut Vec<Effect>) {
        let refused: Vec<_> = self
            .groups
            .waiting
            .extract_if(.., |_, waiter| whose(waiter))
            .map(|(_, waiter)| waiter)
            .collect();
        for waiter in refused {
            self.refuse(waiter, ErrorCode::NotCoordinator, fx);
        }
    }

    fn refuse(&mut self, waiter: Waiter, error: ErrorCode, fx: &mut Vec<Effect>) {
        let answer = Answer::Group(waiter.part, Err(error));
        self.answer(waiter.to, waiter.request, answer, fx);
    }

    /// Takes a request about a group.
    #[allow(clippy::too_many_arguments, reason = "an Ask's fields, spread once")]
    pub(super) fn ask_group(
        &mut self,
        now: Now,
        from: Address,
        request: RequestId,
        part: usize,
        partition: PartitionId,
        asked: Request,
        fx: &mut Vec<Effect>,
    ) {
        let waiter = Waiter {
            to: from,
            request,
            part,
            partition,
        };
        if let Err(error) = self.takes(partition, &asked) {
            self.refuse(waiter, error, fx);
            return;
        }
        let reply_to = ReplyTo(self.groups.next_reply);
        self.groups.next_reply += 1;
        self.groups.waiting.insert(reply_to, waiter);
        self.step_groups(now, partition, fx, |coordinator, cluster, out| {
            coordinator.handle(now, cluster, reply_to, asked, out);
        });
    }

    /// Whether a request can be taken now.
    fn takes(&self, partition: PartitionId, asked: &Request) -> Result<(), ErrorCode> {
        if self.stopping != Stopping::No {
            return Err(ErrorCode::NotCoordinator);
        }
        match self
            .groups
            .hosted
            .get(&partition)
            .map(|hosted| hosted.stage)
        {
            None => Err(ErrorCode::NotCoordinator),
            Some(Stage::Loading(_)) => Err(ErrorCode::CoordinatorLoadInProgress),
            // The groups that can be told are told; the log says which cannot.
            Some(Stage::Failed(_)) if matches!(asked, Request::ListGroups(_)) => {
                Err(ErrorCode::NotCoordinator)
            }
            Some(Stage::Failed(_)) => Err(ErrorCode::CoordinatorNotAvailable),
            Some(Stage::Active) if asked.stores() && !self.can_store(partition) => {
                Err(ErrorCode::CoordinatorNotAvailable)
            }
            Some(Stage::Active) => Ok(()),
        }
    }

    /// Whether an append to the partition is sure to be taken.
    fn can_store(&self, partition: PartitionId) -> bool {
        let log = self.store.log(partition);
        self.store.accepts() && log.is_some_and(|log| log.damage().is_none())
    }

    /// Runs one step of a coordinator: stores what it wants stored, and replies.
    fn step_groups(
        &mut self,
        now: Now,
        partition: PartitionId,
        fx: &mut Vec<Effect>,
        step: impl FnOnce(&mut Coordinator, &Metadata<'_>, &mut Output),
    ) {
        let Some(hosted) = self.groups.hosted.get_mut(&partition) else {
            return;
        };
        let mut out = Output::default();
        let metadata = Metadata(&self.image, &self.options.groups);
        step(&mut hosted.coordinator, &metadata, &mut out);
        let mut wake = hosted.coordinator.next_deadline();
        if !hosted.missed.is_empty() {
            wake = wake.min(now.monotonic.plus_ms(FULL_DISK_PAUSE_MS));
        }
        self.groups.set_wake(partition, wake);
        self.store_records(now, partition, &out.records);
        for (reply_to, response) in out.replies {
            let Some(waiter) = self.groups.waiting.remove(&reply_to) else {
                continue;
            };
            let Some(hosted) = self.groups.hosted.get_mut(&partition) else {
                continue;
            };
            let durable = hosted.held.is_empty() && self.store.is_done(hosted.ticket);
            if durable || mutant::active(Mutant::ReplyBeforeGroupIsDurable) {
                let answer = Answer::Group(waiter.part, Ok(response));
                self.answer(waiter.to, waiter.request, answer, fx);
            } else {
                hosted.held.push_back((hosted.ticket, waiter, response));
                self.groups.holding.insert(partition);
            }
        }
    }

    /// Appends records to the partition, as one batch if they are not too many.
    fn store_records(&mut self, now: Now, partition: PartitionId, records: &[Record]) {
        let mut batch = BatchBuilder::new(now.wall);
        for record in records {
            let (key, value) = groups::encode(record).unwrap_or_else(|error| {
                // The request's own strings came in the same encoding, so there is none that does not fit.
                unreachable!("a group's record cannot be written: {error}: {record:?}")
            });
            let filled = batch.payload().len();
            let bytes = key.len() + value.as_ref().map_or(0, |value| value.len());
            if filled > 0 && filled + bytes > BATCH_TARGET_BYTES {
                let full = std::mem::replace(&mut batch, BatchBuilder::new(now.wall));
                self.store_batch(now, partition, full.build());
            }
            batch.push(now.wall, Some(&key), value.as_deref(), &[]);
        }
        if !records.is_empty() {
            self.store_batch(now, partition, batch.build());
        }
    }

    fn store_batch(&mut self, now: Now, partition: PartitionId, batch: Batch) {
        let epoch = self
            .image
            .partition(partition)
            .map_or(LeaderEpoch::NONE, |p| p.leader_epoch);
        let placed = self
            .store
            .append(now, partition, batch, epoch, &mut self.storage);
        match placed {
            Ok(placement) => {
                if let Some(hosted) = self.groups.hosted.get_mut(&partition) {
                    hosted.ticket = placement.ticket;
                }
            }
            Err(error) => unreachable!("{partition} takes records, and refused some: {error}"),
        }
    }

    /// Sends the replies that waited for what is durable now.
    pub(super) fn reply_to_groups(&mut self, fx: &mut Vec<Effect>) {
        let mut done = Vec::new();
        for partition in &self.groups.holding {
            let Some(hosted) = self.groups.hosted.get_mut(partition) else {
                continue;
            };
            while let Some((_, waiter, response)) = hosted
                .held
                .pop_front_if(|(ticket, _, _)| self.store.is_done(*ticket))
            {
                done.push((waiter, response));
            }
        }
        if done.is_empty() {
            return;
        }
        let hosted = &self.groups.hosted;
        self.groups
            .holding
            .retain(|partition| hosted.get(partition).is_some_and(|h| !h.held.is_empty()));
        for (waiter, response) in done {
            let answer = Answer::Group(waiter.part, Ok(response));
            self.answer(waiter.to, waiter.request, answer, fx);
        }
    }

    /// Does what is due: goes on with loading, and lets time pass for the coordinators that asked for it.
    pub(super) fn tick_groups(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let due: Vec<_> = self
            .groups
            .wakes
            .iter()
            .take_while(|(at, _)| *at <= now.monotonic)
            .map(|(_, partition)| *partition)
            .collect();
        for partition in due {
            let stage = self
                .groups
                .hosted
                .get(&partition)
                .map(|hosted| hosted.stage);
            match stage {
                Some(Stage::Loading(from)) => {
                    self.groups.set_wake(partition, Monotonic::NEVER);
                    if self.load_groups(now, partition, from, fx) {
                        // The shard's other work comes first; what is left is due still.
                        break;
                    }
                }
                Some(Stage::Active) if self.stopping != Stopping::No => {
                    self.groups.set_wake(partition, Monotonic::NEVER);
                }
                Some(Stage::Active) if !self.can_store(partition) => {
                    let later = now.monotonic.plus_ms(FULL_DISK_PAUSE_MS);
                    self.groups.set_wake(partition, later);
                }
                Some(Stage::Active) => {
                    let missed = self.groups.hosted.get_mut(&partition);
                    let missed = missed.map(|hosted| std::mem::take(&mut hosted.missed));
                    let missed: Vec<_> = missed.into_iter().flatten().collect();
                    self.step_groups(now, partition, fx, |coordinator, cluster, out| {
                        if !missed.is_empty() {
                            coordinator.topics_missed(now, cluster, &missed, out);
                        }
                        coordinator.tick(now, cluster, out);
                    });
                }
                Some(Stage::Failed(_)) | None => self.groups.set_wake(partition, Monotonic::NEVER),
            }
        }
    }

    /// Topics changed, or are gone: `names`.
    pub(super) fn tell_groups(
        &mut self,
        now: Now,
        changed: &[String],
        deleted: &[String],
        fx: &mut Vec<Effect>,
    ) {
        let active: Vec<_> = self
            .groups
            .hosted
            .iter()
            .filter(|(_, hosted)| hosted.stage == Stage::Active)
            .map(|(partition, _)| *partition)
            .filter(|_| self.stopping == Stopping::No)
            .collect();
        for partition in active {
            if !self.can_store(partition) {
                if let Some(hosted) = self.groups.hosted.get_mut(&partition) {
                    hosted.missed.extend(changed.iter().chain(deleted).cloned());
                }
                let later = now.monotonic.plus_ms(FULL_DISK_PAUSE_MS);
                self.groups.set_wake(partition, later);
                continue;
            }
            self.step_groups(now, partition, fx, |coordinator, cluster, out| {
                if !changed.is_empty() {
                    coordinator.topics_changed(now, cluster, changed, out);
                }
                if !deleted.is_empty() {
                    coordinator.topics_deleted(now, cluster, deleted, out);
                }
            });
        }
    }

    /// Gives every coordinator the settings that the broker has now.
    pub(super) fn configure_groups(&mut self) {
        for hosted in self.groups.hosted.values_mut() {
            hosted
                .coordinator
                .configure(Arc::clone(&self.options.groups));
        }
    }

    /// Reads a coordinator's log from an offset on. Returns whether there was much to do.
    fn load_groups(
        &mut self,
        now: Now,
        partition: PartitionId,
        from: Offset,
        fx: &mut Vec<Effect>,
    ) -> bool {
        let Some(log) = self.store.log(partition) else {
            return false;
        };
        let (from, end) = (from.max(log.start()), log.visible_end());
        if from >= end {
            // All that recovery found is durable, and nobody else writes here.
            self.groups_loaded(now, partition, fx);
            return false;
        }
        let want = Want::Batches {
            offset: from,
            limit: end,
            max_bytes: LOAD_BYTES,
            at_least_one: true,
        };
        match self.store.read(partition, want, &mut self.storage) {
            Read::Done(result) => {
                self.groups_read(now, partition, result);
                true
            }
            Read::Pending(read) => {
                self.groups.reads.insert(read, partition);
                false
            }
        }
    }

    /// A read for a coordinator is done, if `id` is one. Otherwise its result comes back.
    pub(super) fn groups_read_done(
        &mut self,
        now: Now,
        id: ReadId,
        result: Result<ReadOutput, ReadError>,
    ) -> Option<Result<ReadOutput, ReadError>> {
        let Some(partition) = self.groups.reads.remove(&id) else {
            return Some(result);
        };
        self.groups_read(now, partition, result);
        None
    }

    fn groups_read(
        &mut self,
        now: Now,
        partition: PartitionId,
        result: Result<ReadOutput, ReadError>,
    ) {
        let visible_end = self.store.log(partition).map(PartitionLog::visible_end);
        let Some(hosted) = self.groups.hosted.get_mut(&partition) else {
            return;
        };
        let Stage::Loading(from) = hosted.stage else {
            return;
        };
        let loaded = match result {
            Ok(ReadOutput::Batches(pieces)) => replay(&mut hosted.coordinator, from, pieces),
            Ok(ReadOutput::Found(_)) => unreachable!("a coordinator reads batches"),
            // The log start moved meanwhile, or the partition is gone.
            Err(ReadError::OutOfRange { .. } | ReadError::UnknownPartition) => {
                self.groups.set_wake(partition, now.monotonic);
                return;
            }
            Err(error) => match Damage::of(from, &error) {
                Some(damage) => Err(damage),
                None => {
                    // A disk may come back.
                    tracing::warn!(
                        partition = partition.partition,
                        "the groups of {OFFSETS_TOPIC} cannot be loaded yet: {error}"
                    );
                    let later = now.monotonic.plus_ms(FAILING_DISK_PAUSE_MS);
                    self.groups.set_wake(partition, later);
                    return;
                }
            },
        };
        match loaded {
            Ok(next) => {
                // Nothing came: what is left up to the end was compacted away.
                let end = visible_end.unwrap_or(next);
                hosted.stage = Stage::Loading(if next == from { end } else { next });
                hosted.tell_lost(partition);
                self.groups.set_wake(partition, now.monotonic);
            }
            Err(damage) => self.groups_damaged(now, partition, damage),
        }
    }

    /// Records are lost that a coordinator would have been filled with.
    fn groups_damaged(&mut self, now: Now, partition: PartitionId, damage: Damage) {
        let goes_on = self.is_served_with_losses(partition);
        let Some(hosted) = self.groups.hosted.get_mut(&partition) else {
            return;
        };
        if goes_on {
            hosted.stage = Stage::Loading(damage.to);
            match &mut hosted.lost {
                Some(lost) if lost.to == damage.from => lost.to = damage.to,
                _ => {
                    hosted.tell_lost(partition);
                    hosted.lost = Some(damage);
                }
            }
            self.groups.set_wake(partition, now.monotonic);
            return;
        }
        hosted.stage = Stage::Failed(damage.from);
        tracing::error!(
            partition = partition.partition,
            offset = %damage.from,
            "the groups of {OFFSETS_TOPIC} cannot be loaded, and are not served: {}. To have them served without what is lost, set {UNCLEAN_LEADER}=true \
             for the topic: they go back to what they had committed before it",
            damage.problem
        );
    }

    /// Whether groups are to be served although records of theirs are lost.
    fn is_served_with_losses(&self, partition: PartitionId) -> bool {
        let config = self.configs.get(&partition.topic);
        config.is_some_and(|config| config.unclean_leader())
    }

    /// A topic's settings changed: coordinators that failed may go on with them.
    pub(super) fn retry_groups(&mut self, now: Now, topic: TopicId) {
        let hosted = self.groups.hosted.iter();
        let failed: Vec<_> = hosted
            .filter(|(partition, _)| partition.topic == topic)
            .filter_map(|(partition, hosted)| match hosted.stage {
                Stage::Failed(from) => Some((*partition, from)),
                Stage::Loading(_) | Stage::Active => None,
            })
            .collect();
        for (partition, from) in failed {
            if !self.is_served_with_losses(partition) {
                continue;
            }
            if let Some(hosted) = self.groups.hosted.get_mut(&partition) {
                hosted.stage = Stage::Loading(from);
            }
            self.groups.set_wake(partition, now.monotonic);
        }
    }

    fn groups_loaded(&mut self, now: Now, partition: PartitionId, fx: &mut Vec<Effect>) {
        let log = self.store.log(partition);
        let (end, damage) = log.map_or((Offset::ZERO, None), |log| (log.end(), log.damage()));
        let Some(hosted) = self.groups.hosted.get_mut(&partition) else {
            return;
        };
        hosted.tell_lost(partition);
        if let Some(damage) = damage {
            hosted.stage = Stage::Failed(end);
            tracing::error!(
                partition = partition.partition,
                offset = %end,
                "the groups of {OFFSETS_TOPIC} are not served, as nothing can be stored for them: {damage}. To have groups begin anew, all of \
                 them, delete the topic: it is made again when a group is asked for"
            );
            return;
        }
        if !self.can_store(partition) || self.stopping != Stopping::No {
            // It cannot store what it wants to; the log does not take records now, and the groups wait with it.
            if let Some(hosted) = self.groups.hosted.get_mut(&partition) {
                hosted.stage = Stage::Loading(Offset(i64::MAX));
            }
            let later = now.monotonic.plus_ms(FULL_DISK_PAUSE_MS);
            self.groups.set_wake(partition, later);
            return;
        }
        if let Some(hosted) = self.groups.hosted.get_mut(&partition) {
            hosted.stage = Stage::Active;
        }
        self.step_groups(now, partition, fx, |coordinator, cluster, out| {
            coordinator.loaded(now, cluster, out);
        });
    }
}

impl Hosted {
    /// Tells what the groups were loaded without.
    fn tell_lost(&mut self, partition: PartitionId) {
        if let Some(lost) = self.lost.take() {
            tracing::error!(
                partition = partition.partition,
                "the groups of {OFFSETS_TOPIC} are served without what they had stored at offsets {} to {}: {}",
                lost.from,
                lost.to,
                lost.problem
            );
        }
    }
}

impl Damage {
    /// What a read at `from` met, if that is going to stay so. Who reads on one offset further gets behind it in the end.
    fn of(from: Offset, error: &ReadError) -> Option<Damage> {
        let (from, to) = match error {
            ReadError::Lost { from: first, to } => (from.max(*first), *to),
            ReadError::Corrupt { .. }
            | ReadError::Disk {
                error: DiskError::NotFound,
                ..
            } => (from, from.plus(1)),
            ReadError::Disk { .. } | ReadError::OutOfRange { .. } | ReadError::UnknownPartition => {
                return None;
            }
        };
        let problem = error.to_string();
        Some(Damage { from, to, problem })
    }
}

/// Folds batches from `from` on in. Returns the offset behind the last.
fn replay(
    coordinator: &mut Coordinator,
    from: Offset,
    pieces: Vec<Bytes>,
) -> Result<Offset, Damage> {
    let mut next = from;
    for piece in pieces {
        for batch in Batches::new(piece) {
            let damage = |to, problem| Damage {
                from: next,
                to,
                problem,
            };
            let batch = batch.map_err(|error| damage(next.plus(1), error.to_string()))?;
            replay_batch(coordinator, &batch, from)
                .map_err(|problem| damage(batch.next_offset(), problem))?;
            next = batch.next_offset();
        }
    }
    Ok(next)
}

fn replay_batch(coordinator: &mut Coordinator, batch: &Batch, from: Offset) -> Result<(), String> {
    if batch.is_control() {
        return Ok(());
    }
    let compression = batch.compression().map_err(|error| error.to_string())?;
    let mut payload = batch.payload();
    if compression != Compression::None {
        let unfolded = Decoder::new(compression, &payload, BATCH_BYTES_MAX)
            .and_then(Decoder::into_vec)
            .map_err(|error| error.to_string())?;
        payload = unfolded.into();
    }
    for record in Records::new(&payload, batch.record_count()) {
        let record = record.map_err(|error| error.to_string())?;
        let offset = batch.base_offset().plus(i64::from(record.offset_delta));
        if offset < from {
            continue;
        }
        let bytes = |bytes: &[u8]| payload.slice_ref(bytes);
        match groups::read(record.key.map(bytes), record.value.map(bytes)) {
            Ok(Some(record)) => coordinator.replay(record),
            Ok(None) => {}
            // As in Kafka: a newer release may have written it, and what this one knows does not depend on it.
            Err(RecordError::UnknownKey(kind)) => {
                tracing::warn!(%offset, kind, "a record of {OFFSETS_TOPIC} is of a type that this release does not know");
            }
            Err(error) => return Err(format!("at offset {offset}: {error}")),
        }
    }
    Ok(())
}
