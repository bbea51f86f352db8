//! The owner's side of a shard: appends to its partitions, reads them, watches them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wiber_controller::MetadataOffset;
use wiber_model::mutant::{self, Mutant};
use wiber_model::{LeaderEpoch, Now, Offset, PartitionId, ProducerId, Sequence, TimestampMs};
use wiber_protocol::ErrorCode;
use wiber_storage::log::{PartitionLog, ProducerEntry};
use wiber_storage::store::{
    CleanEnd, Placement, Read, ReadError, ReadId, ReadOutput, Ticket, Want,
};

use super::{JobFor, Shard, Stopping};
use crate::errors;
use crate::inspect::partition_name;
use crate::job::{Job, JobOutput};
use crate::machine::{Address, ConnectionId, Effect};
use crate::message::{
    Answer, AppendAnswer, Ask, FetchAnswer, FetchPart, FoundOffset, Message, OffsetAnswer,
    OffsetSpec, RememberedProducer, RequestId,
};

/// So many different failures to read are remembered as told; then all are told anew.
const TOLD_MAX: usize = 1000;

/// What the owner's side has under way.
#[derive(Debug, Default)]
pub(super) struct Owner {
    /// Connections whose waiting requests may begin.
    pub ready: VecDeque<ConnectionId>,
    /// Metadata that is applied once a ticket is done.
    pub applied: VecDeque<(MetadataOffset, Ticket)>,
    /// What is answered once a ticket is done: what must be synced, then appends to relaxed topics alone.
    strict: VecDeque<Acknowledgement>,
    relaxed: VecDeque<Acknowledgement>,
    fetches: BTreeMap<u64, FetchUnderWay>,
    lookups: BTreeMap<u64, LookupUnderWay>,
    next_group: u64,
    reads: BTreeMap<ReadId, ReadFor>,
    /// Who waits for more, by what they have seen: those that there is more for stand first, however many wait.
    watchers: BTreeMap<PartitionId, BTreeSet<Watcher>>,
    /// Failures to read that the log names already: who asks for what cannot be read asks again and again.
    told: BTreeSet<(PartitionId, String)>,
}

#[derive(Debug)]
struct Acknowledgement {
    ticket: Ticket,
    to: Address,
    request: RequestId,
    answer: Answer,
}

#[derive(Debug)]
struct FetchUnderWay {
    to: Address,
    request: RequestId,
    left: usize,
    answers: Vec<(usize, FetchAnswer)>,
}

#[derive(Debug)]
struct LookupUnderWay {
    to: Address,
    request: RequestId,
    part: usize,
    partition: PartitionId,
    spec: OffsetSpec,
    /// Where what was not looked at yet begins.
    from: Offset,
}

#[derive(Clone, Copy, Debug)]
enum ReadFor {
    /// An index into the answers of a fetch.
    Fetch {
        group: u64,
        index: usize,
        partition: PartitionId,
        offset: Offset,
    },
    Lookup {
        group: u64,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Watcher {
    beyond: Offset,
    to: Address,
    request: RequestId,
    part: usize,
}

impl Shard {
    pub(super) fn answer_ask(
        &mut self,
        now: Now,
        from: Address,
        request: RequestId,
        ask: Ask,
        fx: &mut Vec<Effect>,
    ) {
        match ask {
            Ask::Append { batches } => self.append(now, from, request, batches, fx),
            Ask::DeleteRecords { parts } => self.delete_records(from, request, parts, fx),
            Ask::Fetch {
                parts,
                budget_bytes,
            } => self.fetch(from, request, parts, budget_bytes, fx),
            Ask::Watch { parts } => self.watch(from, request, parts, fx),
            Ask::Unwatch { parts } => self.unwatch(from, request, &parts),
            Ask::Offsets { parts } => {
                for (part, partition, current_epoch, spec) in parts {
                    self.look_up(from, request, part, partition, current_epoch, spec, fx);
                }
            }
            Ask::Producers { parts } => self.describe_producers(from, request, parts, fx),
            Ask::Sizes { parts } => {
                let size = |(part, partition)| {
                    let log = self.store.log(partition);
                    (part, log.map(PartitionLog::size_bytes))
                };
                let answer = Answer::Sizes(parts.into_iter().map(size).collect());
                self.answer(from, request, answer, fx);
            }
            Ask::EpochEnds { parts } => self.epoch_ends(from, request, parts, fx),
            Ask::Group {
                part,
                partition,
                request: asked,
            } => self.ask_group(now, from, request, part, partition, *asked, fx),
        }
    }

    pub(super) fn answer(
        &mut self,
        to: Address,
        request: RequestId,
        answer: Answer,
        fx: &mut Vec<Effect>,
    ) {
        self.send(to, Message::Answer { request, answer }, fx);
    }

    fn append(
        &mut self,
        now: Now,
        from: Address,
        request: RequestId,
        batches: Vec<(usize, PartitionId, wiber_model::Batch)>,
        fx: &mut Vec<Effect>,
    ) {
        let mut answers = Vec::with_capacity(batches.len());
        let (mut durable, mut written) = (0, 0);
        for (part, partition, batch) in batches {
            let epoch = self
                .image
                .partition(partition)
                .map_or(LeaderEpoch::NONE, |p| p.leader_epoch);
            let placed = self
                .store
                .append(now, partition, batch, epoch, &mut self.storage);
            if let Ok(Placement {
                ticket, duplicate, ..
            }) = placed
                && !(duplicate && mutant::active(Mutant::AnswerDuplicateAtOnce))
            {
                match ticket {
                    Ticket::Durable(frames) => durable = durable.max(frames),
                    Ticket::Written(frames) => written = written.max(frames),
                }
            }
            let log_start = self
                .store
                .log(partition)
                .map_or(Offset(-1), PartitionLog::start);
            let result = placed
                .map(|placement| placement.base_offset)
                .map_err(|error| (errors::of_append(&error), error.to_string()));
            answers.push((part, AppendAnswer { result, log_start }));
        }
        // What is durable is written, so the stricter ticket serves for both.
        let strict = durable > 0;
        let ticket = if strict {
            Ticket::Durable(durable.max(written))
        } else {
            Ticket::Written(written)
        };
        let queue = if strict {
            &mut self.owner.strict
        } else {
            &mut self.owner.relaxed
        };
        queue.push_back(Acknowledgement {
            ticket,
            to: from,
            request,
            answer: Answer::Appended(answers),
        });
        self.answer_appends(fx);
    }

    /// Moves log starts up. That needs no room but a frame's, for which the log keeps some: it is how a full disk gets space.
    fn delete_records(
        &mut self,
        from: Address,
        request: RequestId,
        parts: Vec<(usize, PartitionId, Option<Offset>)>,
        fx: &mut Vec<Effect>,
    ) {
        let mut answers = Vec::with_capacity(parts.len());
        for (part, partition, up_to) in parts {
            let start = self.led(partition, LeaderEpoch::NONE).and_then(|log| {
                let up_to = up_to.unwrap_or(log.visible_end());
                if (Offset::ZERO..=log.visible_end()).contains(&up_to) {
                    Ok(up_to)
                } else {
                    Err(ErrorCode::OffsetOutOfRange)
                }
            });
            let result = start.map(|start| {
                self.store.move_start(partition, start, &mut self.storage);
                // It was there already, or a hole lies behind the offset.
                self.store.log(partition).map_or(start, PartitionLog::start)
            });
            answers.push((part, result));
        }
        self.owner.strict.push_back(Acknowledgement {
            ticket: self.store.ticket(),
            to: from,
            request,
            answer: Answer::RecordsDeleted(answers),
        });
        self.answer_appends(fx);
    }

    /// Answers the appends whose tickets are done. While tails cannot be written out as fast as they come, answers wait:
    /// producers, who have only so much in flight, slow down to what the disk takes, and memory stays bounded.
    pub(super) fn answer_appends(&mut self, fx: &mut Vec<Effect>) {
        if self.store.is_behind() && self.stopping == Stopping::No {
            return;
        }
        for strict in [true, false] {
            loop {
                let queue = if strict {
                    &mut self.owner.strict
                } else {
                    &mut self.owner.relaxed
                };
                let Some(done) = queue.pop_front_if(|ack| self.store.is_done(ack.ticket)) else {
                    break;
                };
                self.answer(done.to, done.request, done.answer, fx);
            }
        }
    }

    /// The log of a partition that this broker leads, if the client's epoch is the right one (R1).
    fn led(
        &self,
        partition: PartitionId,
        current_epoch: LeaderEpoch,
    ) -> Result<&PartitionLog, ErrorCode> {
        let state = self
            .image
            .partition(partition)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if state.leader != self.node_id() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if current_epoch != LeaderEpoch::NONE {
            if current_epoch < state.leader_epoch {
                return Err(ErrorCode::FencedLeaderEpoch);
            }
            if current_epoch > state.leader_epoch {
                return Err(ErrorCode::UnknownLeaderEpoch);
            }
        }
        self.store
            .log(partition)
            .ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    fn fetch(
        &mut self,
        from: Address,
        request: RequestId,
        parts: Vec<FetchPart>,
        budget_bytes: usize,
        fx: &mut Vec<Effect>,
    ) {
        let group = self.owner.next_group;
        self.owner.next_group += 1;
        let mut under_way = FetchUnderWay {
            to: from,
            request,
            left: 0,
            answers: Vec::with_capacity(parts.len()),
        };
        let mut budget = budget_bytes;
        let mut first = true;
        for (index, part) in parts.into_iter().enumerate() {
            let (answer, want) = self.begin_fetch(&part, budget, first);
            under_way.answers.push((part.part, answer));
            let Some(want) = want else {
                continue;
            };
            match self.store.read(part.partition, want, &mut self.storage) {
                Read::Done(result) => {
                    let answer = &mut under_way.answers[index].1;
                    fill(answer, part.partition, result);
                    let bytes: usize = answer.records.iter().map(bytes::Bytes::len).sum();
                    budget = budget.saturating_sub(bytes);
                    first &= bytes == 0;
                }
                Read::Pending(read) => {
                    let partition = part.partition;
                    let fetch = ReadFor::Fetch {
                        group,
                        index,
                        partition,
                        offset: part.offset,
                    };
                    self.owner.reads.insert(read, fetch);
                    under_way.left += 1;
                    budget = budget.saturating_sub(part.max_bytes);
                    first = false;
                }
            }
        }
        if under_way.left == 0 {
            self.answer(from, request, Answer::Fetched(under_way.answers), fx);
        } else {
            self.owner.fetches.insert(group, under_way);
        }
    }

    /// The answer so far, and what is to be read for it.
    fn begin_fetch(
        &self,
        part: &FetchPart,
        budget: usize,
        first: bool,
    ) -> (FetchAnswer, Option<Want>) {
        let mut answer = FetchAnswer {
            error: ErrorCode::None,
            high_watermark: Offset(-1),
            log_start: Offset(-1),
            diverging: None,
            records: Vec::new(),
        };
        let log = match self.led(part.partition, part.current_epoch) {
            Ok(log) => log,
            Err(error) => {
                answer.error = error;
                return (answer, None);
            }
        };
        answer.high_watermark = log.visible_end();
        answer.log_start = log.start();
        if part.last_fetched_epoch != LeaderEpoch::NONE {
            match log.epochs().end_of(part.last_fetched_epoch, log.end()) {
                None => {
                    answer.error = ErrorCode::OffsetOutOfRange;
                    return (answer, None);
                }
                Some(end) if end.epoch < part.last_fetched_epoch || end.end < part.offset => {
                    answer.diverging = Some((end.epoch, end.end));
                    return (answer, None);
                }
                Some(_) => {}
            }
        }
        if part.offset >= log.end() && log.damage().is_some() {
            // There may have been more, and it may have been acknowledged (D8).
            answer.error = ErrorCode::KafkaStorageError;
            return (answer, None);
        }
        if part.offset < log.start() || part.offset > log.end() {
            answer.error = ErrorCode::OffsetOutOfRange;
            return (answer, None);
        }
        if budget == 0 && !first {
            return (answer, None);
        }
        let want = Want::Batches {
            offset: part.offset,
            limit: log.visible_end(),
            max_bytes: part.max_bytes.min(budget),
            at_least_one: first,
        };
        (answer, Some(want))
    }

    /// Logs that a read from `offset` on gave nothing: once for each place.
    fn tell(&mut self, partition: PartitionId, offset: Offset, error: &ReadError) {
        let told = &mut self.owner.told;
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        if told.insert((partition, error.to_string())) {
            let topic = self.image.topic_by_id(partition.topic);
            let partition = partition_name(topic.map(|topic| topic.name.as_str()), partition);
            tracing::warn!(partition, offset = offset.0, "{error}");
        }
    }

    /// Logs how the compaction of a log ended.
    pub(super) fn tell_cleaned(&self, partition: PartitionId, end: &CleanEnd) {
        let topic = self.image.topic_by_id(partition.topic);
        let partition = partition_name(topic.map(|topic| topic.name.as_str()), partition);
        match end {
            CleanEnd::Done {
                from,
                to,
                bytes_before,
                bytes_after,
            } => tracing::debug!(
                partition,
                from = from.0,
                to = to.0,
                bytes_before,
                bytes_after,
                "compacted"
            ),
            CleanEnd::Unreadable {
                file,
                position,
                problem,
            } => tracing::warn!(
                partition,
                "{file} is damaged at byte {position}: {problem}; the partition is not compacted any more until the broker is \
                 started again"
            ),
            CleanEnd::Failed(error) => {
                tracing::warn!(partition, "cannot be compacted for now: {error}");
            }
            CleanEnd::GivenUp => {}
        }
    }

    pub(super) fn read_done(
        &mut self,
        now: Now,
        id: ReadId,
        result: Result<ReadOutput, ReadError>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(result) = self.groups_read_done(now, id, result) else {
            return;
        };
        match self.owner.reads.remove(&id) {
            Some(ReadFor::Fetch {
                group,
                index,
                partition,
                offset,
            }) => {
                if let Err(error) = &result {
                    self.tell(partition, offset, error);
                }
                self.fetch_read(group, index, partition, result, fx);
            }
            Some(ReadFor::Lookup { group }) => self.lookup_read(group, result, fx),
            None => {}
        }
    }

    fn fetch_read(
        &mut self,
        group: u64,
        index: usize,
        partition: PartitionId,
        result: Result<ReadOutput, ReadError>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(fetch) = self.owner.fetches.get_mut(&group) else {
            return;
        };
        fill(&mut fetch.answers[index].1, partition, result);
        fetch.left -= 1;
        if fetch.left == 0
            && let Some(fetch) = self.owner.fetches.remove(&group)
        {
            self.answer(fetch.to, fetch.request, Answer::Fetched(fetch.answers), fx);
        }
    }

    fn watch(
        &mut self,
        from: Address,
        request: RequestId,
        parts: Vec<(usize, PartitionId, Offset)>,
        fx: &mut Vec<Effect>,
    ) {
        for (part, partition, beyond) in parts {
            let moved = self
                .store
                .log(partition)
                .is_none_or(|log| log.visible_end() > beyond);
            if moved {
                self.answer(from, request, Answer::Moved(part), fx);
            } else {
                let watcher = Watcher {
                    beyond,
                    to: from,
                    request,
                    part,
                };
                self.owner
                    .watchers
                    .entry(partition)
                    .or_default()
                    .insert(watcher);
            }
        }
    }

    fn unwatch(
        &mut self,
        from: Address,
        request: RequestId,
        parts: &[(usize, PartitionId, Offset)],
    ) {
        for (part, partition, beyond) in parts {
            if let Some(watchers) = self.owner.watchers.get_mut(partition) {
                watchers.remove(&Watcher {
                    beyond: *beyond,
                    to: from,
                    request,
                    part: *part,
                });
                if watchers.is_empty() {
                    self.owner.watchers.remove(partition);
                }
            }
        }
    }

    /// The visible end of a partition moved: tells who waits for it.
    pub(super) fn advanced(&mut self, partition: PartitionId, fx: &mut Vec<Effect>) {
        let Some(watchers) = self.owner.watchers.get_mut(&partition) else {
            return;
        };
        let end = self
            .store
            .log(partition)
            .map_or(Offset(i64::MAX), PartitionLog::visible_end);
        let mut woken = Vec::new();
        while let Some(watcher) = watchers.first().filter(|first| first.beyond < end) {
            woken.push(*watcher);
            watchers.pop_first();
        }
        if watchers.is_empty() {
            self.owner.watchers.remove(&partition);
        }
        for watcher in woken {
            self.answer(watcher.to, watcher.request, Answer::Moved(watcher.part), fx);
        }
    }

    /// A partition was deleted: who waits for it must learn so.
    pub(super) fn forget_partition(&mut self, partition: PartitionId, fx: &mut Vec<Effect>) {
        self.drop_groups(partition, fx);
        for watcher in self.owner.watchers.remove(&partition).unwrap_or_default() {
            self.answer(watcher.to, watcher.request, Answer::Moved(watcher.part), fx);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "an Ask's fields, spread once")]
    fn look_up(
        &mut self,
        from: Address,
        request: RequestId,
        part: usize,
        partition: PartitionId,
        current_epoch: LeaderEpoch,
        spec: OffsetSpec,
        fx: &mut Vec<Effect>,
    ) {
        if let Err(error) = self.led(partition, current_epoch) {
            let answer = Answer::Offsets(vec![(part, Err(error))]);
            self.answer(from, request, answer, fx);
            return;
        }
        let group = self.owner.next_group;
        self.owner.next_group += 1;
        let lookup = LookupUnderWay {
            to: from,
            request,
            part,
            partition,
            spec,
            from: Offset::ZERO,
        };
        self.owner.lookups.insert(group, lookup);
        self.read_for_lookup(group, fx);
    }

    /// Reads what a look-up needs, or answers it at once.
    fn read_for_lookup(&mut self, group: u64, fx: &mut Vec<Effect>) {
        let Some(lookup) = self.owner.lookups.get(&group) else {
            return;
        };
        let partition = lookup.partition;
        let log = self.store.log(partition);
        let want = match log.map(|log| want_of(log, lookup.spec, lookup.from)) {
            Some(Ok(want)) => want,
            Some(Err(known)) => return self.end_lookup(group, Ok(known), fx),
            None => {
                let error = Err(ErrorCode::UnknownTopicOrPartition);
                return self.end_lookup(group, error, fx);
            }
        };
        match self.store.read(partition, want, &mut self.storage) {
            Read::Done(result) => self.lookup_read(group, result, fx),
            Read::Pending(read) => {
                self.owner.reads.insert(read, ReadFor::Lookup { group });
            }
        }
    }

    fn lookup_read(
        &mut self,
        group: u64,
        result: Result<ReadOutput, ReadError>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(lookup) = self.owner.lookups.get_mut(&group) else {
            return;
        };
        match result {
            Ok(ReadOutput::Found(Some(batch))) => {
                let timestamp = match lookup.spec {
                    OffsetSpec::At(timestamp) => timestamp,
                    _ => batch.max_timestamp(),
                };
                let from = match lookup.spec {
                    OffsetSpec::At(_) => {
                        let log = self.store.log(lookup.partition);
                        log.map_or(Offset::ZERO, PartitionLog::start)
                    }
                    _ => Offset::ZERO,
                };
                if batch.next_offset() <= from {
                    // Retention was faster than the read: what lies behind may have an answer.
                    self.read_for_lookup(group, fx);
                    return;
                }
                lookup.from = batch.next_offset();
                let job = Job::FindTimestamp {
                    batch,
                    timestamp,
                    from,
                };
                self.emit_job(JobFor::Owner(group), job, fx);
            }
            Ok(_) => self.end_lookup(group, Ok(nothing_found()), fx),
            Err(error) => {
                let (partition, from) = (lookup.partition, lookup.from);
                self.tell(partition, from, &error);
                self.end_lookup(group, Err(errors::of_read(&error)), fx);
            }
        }
    }

    pub(super) fn lookup_done(&mut self, group: u64, output: JobOutput, fx: &mut Vec<Effect>) {
        let Some(lookup) = self.owner.lookups.get(&group) else {
            return;
        };
        let JobOutput::Timestamp(found) = output else {
            return;
        };
        if found.is_none() && matches!(lookup.spec, OffsetSpec::At(_)) {
            // The record that the batch has lies before the log start: those behind it may have another.
            self.read_for_lookup(group, fx);
            return;
        }
        let log = self.store.log(lookup.partition);
        let answer = match (found, log) {
            (Some((offset, timestamp)), Some(log)) if offset < log.visible_end() => FoundOffset {
                offset,
                timestamp,
                epoch: log.epochs().at(offset),
            },
            _ => nothing_found(),
        };
        self.end_lookup(group, Ok(answer), fx);
    }

    fn end_lookup(&mut self, group: u64, answer: OffsetAnswer, fx: &mut Vec<Effect>) {
        if let Some(lookup) = self.owner.lookups.remove(&group) {
            let answers = Answer::Offsets(vec![(lookup.part, answer)]);
            self.answer(lookup.to, lookup.request, answers, fx);
        }
    }

    fn describe_producers(
        &mut self,
        from: Address,
        request: RequestId,
        parts: Vec<((usize, usize), PartitionId)>,
        fx: &mut Vec<Effect>,
    ) {
        let describe = |(part, partition)| {
            let log = self.led(partition, LeaderEpoch::NONE);
            let producers = log.map(|log| log.producers().iter().map(remembered).collect());
            (part, producers)
        };
        let answers = parts.into_iter().map(describe).collect();
        self.answer(from, request, Answer::Producers(answers), fx);
    }

    fn epoch_ends(
        &mut self,
        from: Address,
        request: RequestId,
        parts: Vec<(usize, PartitionId, LeaderEpoch, LeaderEpoch)>,
        fx: &mut Vec<Effect>,
    ) {
        let end = |(part, partition, current, epoch)| {
            let end = self.led(partition, current).map(|log: &PartitionLog| {
                let end = log.epochs().end_of(epoch, log.end());
                end.map_or((LeaderEpoch::NONE, Offset(-1)), |end| (end.epoch, end.end))
            });
            (part, end)
        };
        let answers = parts.into_iter().map(end).collect();
        self.answer(from, request, Answer::EpochEnds(answers), fx);
    }
}

fn remembered((id, entry): (ProducerId, &ProducerEntry)) -> RememberedProducer {
    let last = entry.batches.back();
    RememberedProducer {
        id,
        epoch: entry.epoch,
        last_sequence: last.map_or(Sequence(-1), |batch| batch.last_sequence),
        last_timestamp: last.map_or(TimestampMs::NONE, |batch| batch.timestamp),
    }
}

/// Puts what was read into an answer.
fn fill(answer: &mut FetchAnswer, partition: PartitionId, result: Result<ReadOutput, ReadError>) {
    match result {
        Ok(ReadOutput::Batches(records)) => answer.records = records,
        Ok(ReadOutput::Found(_)) => unreachable!("a fetch of {partition} reads batches"),
        Err(error) => answer.error = errors::of_read(&error),
    }
}

/// What to read for an offset that is asked for; or the offset, where the log knows it without reading.
fn want_of(log: &PartitionLog, spec: OffsetSpec, from: Offset) -> Result<Want, FoundOffset> {
    let known = |offset: Offset| FoundOffset {
        offset,
        timestamp: TimestampMs::NONE,
        epoch: log.epochs().at(offset),
    };
    match spec {
        OffsetSpec::Latest => Err(FoundOffset {
            epoch: log.epochs().latest(),
            ..known(log.visible_end())
        }),
        OffsetSpec::Earliest | OffsetSpec::EarliestLocal => Err(known(log.start())),
        OffsetSpec::LatestTiered | OffsetSpec::EarliestPendingUpload => Err(nothing_found()),
        OffsetSpec::MaxTimestamp => Ok(Want::NewestTimestamp),
        OffsetSpec::At(timestamp) => Ok(Want::Timestamp {
            timestamp,
            from: from.max(log.start()),
        }),
    }
}

/// "There is none", as Kafka says it.
fn nothing_found() -> FoundOffset {
    FoundOffset {
        offset: Offset(-1),
        timestamp: TimestampMs::NONE,
        epoch: LeaderEpoch::NONE,
    }
}
