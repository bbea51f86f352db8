//! What an answer must say, as it leaves the broker.

use bytes::Bytes;
use wiber_model::{Batches, LeaderEpoch, Now, Offset, PartitionId, TopicId};
use wiber_protocol::messages::fetch::PartitionData;
use wiber_protocol::messages::list_offsets::ListOffsetsPartitionResponse;
use wiber_protocol::messages::offset_for_leader_epoch::EpochEndOffset;
use wiber_protocol::messages::produce::PartitionProduceResponse;
use wiber_protocol::messages::{
    CreateTopicsResponse, DeleteTopicsResponse, FetchResponse, InitProducerIdResponse,
    ListOffsetsResponse, MetadataResponse, OffsetForLeaderEpochResponse, ProduceResponse,
};
use wiber_protocol::{ErrorCode, Str};

use super::compacted::Found;
use super::{Checker, Partition};
use crate::coverage::{Count, Coverage};
use crate::disk::wal_watch::WalWatch;
use crate::exchange::{Answer, Ask, Exchange, Place, Seen};
use crate::story::{About, Story};

/// What there is to look at while an answer is checked.
pub struct Scene<'a> {
    /// The time.
    pub now: Now,
    /// What is durable.
    pub wal: &'a WalWatch,
    /// Counts what happens.
    pub coverage: &'a mut Coverage,
    /// The story.
    pub story: &'a mut Story,
}

impl Checker {
    /// An answer leaves the broker.
    pub fn answered(&mut self, exchange: &Exchange, answer: &Answer, scene: &mut Scene<'_>) {
        match (&exchange.ask, answer) {
            (Ask::Produce(_, parts), Answer::Produce(response)) => {
                self.produced(exchange, parts, response, scene);
            }
            (Ask::Fetch(_, positions), Answer::Fetch(response)) => {
                self.fetched(exchange, positions, response, scene);
            }
            (Ask::ListOffsets(_, places), Answer::ListOffsets(response)) => {
                self.listed(exchange, places, response, scene);
            }
            (Ask::EpochEnds(_, places), Answer::EpochEnds(response)) => {
                self.epochs_ended(exchange, places, response, scene);
            }
            (Ask::Metadata(request), Answer::Metadata(response)) => {
                scene.coverage.add(Count::MetadataAnswers);
                self.described(request.topics.is_none(), response);
            }
            (Ask::CreateTopics(_), Answer::CreateTopics(response)) => {
                self.created(exchange.version, response)
            }
            (Ask::DeleteTopics(_), Answer::DeleteTopics(response)) => self.deleted(response),
            (Ask::AlterConfigs(_), Answer::AlterConfigs(response)) => {
                let codes = response.responses.iter().map(|each| each.error_code);
                codes.for_each(|code| self.altered(exchange, code, scene));
            }
            (Ask::ReplaceConfigs(_), Answer::ReplaceConfigs(response)) => {
                let codes = response.responses.iter().map(|each| each.error_code);
                codes.for_each(|code| self.altered(exchange, code, scene));
            }
            (Ask::CreatePartitions(_), Answer::CreatePartitions(response)) => {
                self.grew(exchange, response, scene);
            }
            (Ask::DeleteRecords(_, place), Answer::DeleteRecords(response)) => {
                self.records_deleted(exchange, place, response, scene);
            }
            (Ask::InitProducerId(_), Answer::InitProducerId(response)) => {
                self.gave_producer_id(response)
            }
            (Ask::ApiVersions(_), Answer::ApiVersions(response)) => {
                if response.error_code != 0 || response.api_keys.is_empty() {
                    self.fail(About::Broker, format!("nothing is served: {response:?}"));
                }
            }
            (Ask::Produce(request, _), Answer::Nothing) if request.acks == 0 => {}
            (ask, _) if ask.is_about_groups() => {
                self.answered_about_groups(exchange, answer, scene);
            }
            (ask, _) => self.fail(
                About::Broker,
                format!("{} is answered with {answer:?}", ask.key()),
            ),
        }
    }

    /// A client is going to ask for the end of a topic.
    pub fn doom(&mut self, name: &str) {
        let named = |topic: &&mut super::Topic| &*topic.name == name;
        self.topics
            .values_mut()
            .filter(named)
            .for_each(|topic| topic.doomed = true);
    }

    /// The topic of a name that the running broker has.
    pub(super) fn present_topic(&self, name: &str) -> Option<TopicId> {
        let mut there = self
            .partitions
            .values()
            .filter(|p| p.present)
            .map(|p| p.id.topic);
        there.find(|id| {
            self.topics
                .get(id)
                .is_some_and(|t| &*t.name == name && !t.gone)
        })
    }

    fn produced(
        &mut self,
        exchange: &Exchange,
        parts: &[(Place, u64)],
        response: &ProduceResponse,
        scene: &mut Scene<'_>,
    ) {
        let answers: Vec<(&Str, TopicId, &PartitionProduceResponse)> = response
            .responses
            .iter()
            .flat_map(|topic| {
                topic
                    .partition_responses
                    .iter()
                    .map(|part| (&topic.name, topic.topic_id, part))
            })
            .collect();
        if answers.len() != parts.len() {
            let what = format!(
                "{} partitions were asked for and {} answered",
                parts.len(),
                answers.len()
            );
            self.fail(About::Broker, what);
            return;
        }
        let by_id = exchange.ask.is_by_id(exchange.version);
        for (i, (place, content)) in parts.iter().enumerate() {
            let matches = |(name, id, part): &&(&Str, TopicId, &PartitionProduceResponse)| {
                let topic = if by_id {
                    *id == place.topic
                } else {
                    **name == place.name
                };
                topic && part.index == place.index
            };
            match answers.iter().find(matches) {
                Some((_, _, part)) => self.produced_part(exchange, i, place, *content, part, scene),
                None => self.fail(
                    About::Broker,
                    format!("{place:?} was asked for and not answered"),
                ),
            }
        }
    }

    fn produced_part(
        &mut self,
        exchange: &Exchange,
        part: usize,
        place: &Place,
        content: u64,
        answer: &PartitionProduceResponse,
        scene: &mut Scene<'_>,
    ) {
        let seen = exchange.seen.get(part).copied().flatten();
        let id = seen.map_or(place.partition(), |seen| seen.partition);
        let about = About::Partition(id);
        scene.story.tell(about, || {
            let error = error_name(answer.error_code);
            format!(
                "produce of content {content:016x} is answered: {error}, offset {}",
                answer.base_offset
            )
        });
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {
                let before = |issued: &super::Issued| {
                    issued.appended > 0
                        && issued.idempotent
                        && Some(issued.appended_ns) < exchange.arrived_ns
                };
                if self.issued.get(&content).is_some_and(before) {
                    scene.coverage.add(Count::DuplicatesAnswered);
                }
                self.acknowledged(id, content, Offset(answer.base_offset), scene);
            }
            Some(ErrorCode::KafkaStorageError) => {
                scene.coverage.add(Count::StorageErrors);
                let damaged = self
                    .partitions
                    .get(&id)
                    .is_some_and(|partition| partition.damaged);
                if self.excuses.space && !damaged {
                    scene.coverage.add(Count::ProduceRefusedForSpace);
                }
                if !self.excuses.space && !damaged {
                    self.fail(
                        about,
                        format!(
                            "a produce is refused for no reason: {:?}",
                            answer.error_message
                        ),
                    );
                }
            }
            Some(ErrorCode::RequestTimedOut) => {
                scene.coverage.add(Count::ProduceTimeouts);
                let Ask::Produce(request, _) = &exchange.ask else {
                    return;
                };
                let waited = scene.now.monotonic.0 - exchange.arrived_ns.unwrap_or(0);
                if waited < request.timeout_ms.max(0) as u64 * 1_000_000 {
                    self.fail(
                        about,
                        format!(
                            "a produce timed out after {waited} ns of {} ms",
                            request.timeout_ms
                        ),
                    );
                }
            }
            Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) => {
                self.unknown(about, place, seen);
            }
            // Whether these are right only the client knows.
            Some(ErrorCode::OutOfOrderSequenceNumber) => {
                scene.coverage.add(Count::OutOfOrderSequences)
            }
            Some(ErrorCode::InvalidProducerEpoch) => {}
            _ => {
                let error = error_name(answer.error_code);
                self.fail(
                    about,
                    format!("a produce is answered {error}: {:?}", answer.error_message),
                );
            }
        }
    }

    /// A batch is acknowledged: it must be where the answer says, and on disk.
    fn acknowledged(&mut self, id: PartitionId, content: u64, base: Offset, scene: &mut Scene<'_>) {
        scene.coverage.add(Count::BatchesAcknowledged);
        let about = About::Partition(id);
        let appended = self
            .issued
            .get(&content)
            .map_or(0, |issued| issued.appended);
        let Some(partition) = self.partitions.get_mut(&id) else {
            self.fail(
                about,
                format!("a batch is acknowledged at {base}, and there is no such partition"),
            );
            return;
        };
        if !partition.present {
            return;
        }
        let Some(entry) = partition.at(base).filter(|entry| entry.content == content) else {
            let there = format!("{:?}", partition.at(base));
            self.fail(
                about,
                format!("a batch is acknowledged at {base}, where there is {there}"),
            );
            return;
        };
        let next = entry.next;
        let stable_end = partition.stable_end(scene.wal);
        partition.promised_end = partition.promised_end.max(next);
        if next > stable_end {
            let what = format!(
                "invariant 1: offsets {base} to {next} are acknowledged, and the disk has them up to {stable_end}"
            );
            self.fail(about, what);
        }
        if appended == 0 {
            self.fail(
                about,
                format!("a batch is acknowledged at {base} and was never appended"),
            );
        }
    }

    fn fetched(
        &mut self,
        exchange: &Exchange,
        positions: &[(Place, Offset)],
        response: &FetchResponse,
        scene: &mut Scene<'_>,
    ) {
        match ErrorCode::from_code(response.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch) => {
                scene.coverage.add(Count::SessionErrors);
                return;
            }
            _ => {
                let error = error_name(response.error_code);
                self.fail(About::Broker, format!("a fetch is answered {error}"));
                return;
            }
        }
        let by_id = exchange.ask.is_by_id(exchange.version);
        let (mut batches, mut bytes, mut errors) = (0, 0, 0);
        for topic in &response.responses {
            for data in &topic.partitions {
                let asked = |(place, _): &&(Place, Offset)| {
                    let same = if by_id {
                        place.topic == topic.topic_id
                    } else {
                        place.name == topic.topic
                    };
                    same && place.index == data.partition_index
                };
                let Some(i) = positions.iter().position(|p| asked(&p)) else {
                    let what = format!(
                        "a fetch answers for {} {}, which it does not read",
                        topic.topic, data.partition_index
                    );
                    self.fail(About::Broker, what);
                    continue;
                };
                let seen = exchange.seen.get(i).copied().flatten();
                errors += usize::from(data.error_code != 0);
                bytes += data
                    .records
                    .as_ref()
                    .map_or(0, wiber_protocol::Records::len);
                batches += self.fetched_part(&positions[i], seen, data, scene);
            }
        }
        if batches > 0 {
            scene.coverage.add(Count::FetchesWithRecords);
        }
        let Ask::Fetch(request, _) = &exchange.ask else {
            return;
        };
        if batches > 1 && bytes > request.max_bytes.max(0) as usize {
            self.fail(
                About::Broker,
                format!(
                    "a fetch of {} bytes gives {bytes} in {batches} batches",
                    request.max_bytes
                ),
            );
        }
        if batches == 0 && errors == 0 {
            self.check_that_nothing_was_there(exchange, positions, scene.now);
        }
    }

    /// A fetch gave nothing: then no partition that it reads had anything when it came in.
    fn check_that_nothing_was_there(
        &mut self,
        exchange: &Exchange,
        positions: &[(Place, Offset)],
        now: Now,
    ) {
        let had = |((_, offset), seen): (&(Place, Offset), &Option<Seen>)| {
            let seen = seen.filter(|seen| (seen.start..seen.visible_end).contains(offset))?;
            let partition = self.partitions.get(&seen.partition)?;
            partition.present.then_some((*offset, seen, partition))
        };
        let had: Vec<_> = positions
            .iter()
            .zip(&exchange.seen)
            .filter_map(had)
            .collect();
        // What was compacted away while the disk was slow to give it is rightly not there, and the answer's bytes were meant for it.
        let goes = |(offset, _, partition): &(Offset, Seen, &Partition)| {
            partition.may_be_gone(*offset, now)
        };
        if had.iter().any(goes) {
            return;
        }
        if let Some((offset, seen, _)) = had.first() {
            let what = format!(
                "a fetch at {offset} gives nothing, and the high watermark was {}",
                seen.visible_end
            );
            self.fail(About::Partition(seen.partition), what);
        }
    }

    /// Returns how many batches there are.
    fn fetched_part(
        &mut self,
        (place, offset): &(Place, Offset),
        seen: Option<Seen>,
        data: &PartitionData,
        scene: &mut Scene<'_>,
    ) -> usize {
        let id = seen.map_or(place.partition(), |seen| seen.partition);
        let about = About::Partition(id);
        let records = data.records.as_ref().map(|records| records.to_bytes());
        let Some(records) = records else {
            self.fail(about, "records are null, which librdkafka does not take");
            return 0;
        };
        let error = ErrorCode::from_code(data.error_code);
        if error != Some(ErrorCode::None) {
            if !records.is_empty() {
                self.fail(about, "an error comes with records");
            }
            self.fetch_failed(place, seen, *offset, data, scene);
            return 0;
        }
        let Some(partition) = self.partitions.get(&id) else {
            self.fail(about, "a fetch reads a partition that does not exist");
            return 0;
        };
        if !partition.present {
            return Batches::new(records).count();
        }
        if partition.damaged
            && records.is_empty()
            && *offset >= partition.end
            && *offset < partition.promised_end
        {
            let what = format!(
                "D8: a fetch at {offset} gives nothing, though records up to {} were acknowledged and are lost",
                partition.promised_end
            );
            self.fail(about, what);
            return 0;
        }
        match check_records(partition, *offset, seen, data, records, scene.now) {
            Ok((batches, found)) => {
                scene
                    .coverage
                    .add_many(Count::RecordsVerified, found.records);
                scene.coverage.add_many(Count::RecordsCompacted, found.gone);
                batches
            }
            Err(what) => {
                self.fail(about, what);
                0
            }
        }
    }

    fn fetch_failed(
        &mut self,
        place: &Place,
        seen: Option<Seen>,
        offset: Offset,
        data: &PartitionData,
        scene: &mut Scene<'_>,
    ) {
        let id = seen.map_or(place.partition(), |seen| seen.partition);
        let about = About::Partition(id);
        let error = error_name(data.error_code);
        scene
            .story
            .tell(about, || format!("a fetch at {offset} is answered {error}"));
        match ErrorCode::from_code(data.error_code) {
            Some(ErrorCode::OffsetOutOfRange) => {
                scene.coverage.add(Count::OutOfRangeFetches);
                let range = self
                    .partitions
                    .get(&id)
                    .map(|p| (p.start, p.end, p.damaged, p.promised_end, p.present));
                let Some((start, _, damaged, promised, true)) = range else {
                    return;
                };
                let visible_end = seen.map_or(Offset::ZERO, |seen| seen.visible_end);
                if offset >= start && offset <= visible_end {
                    let what = format!(
                        "offset {offset} is out of range, and the log goes from {start} to {visible_end}"
                    );
                    self.fail(about, what);
                } else if damaged && offset >= start && offset < promised {
                    let what = format!(
                        "D8: offset {offset} was acknowledged and is lost, and the answer is {error}"
                    );
                    self.fail(about, what);
                }
            }
            Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) => {
                self.unknown(about, place, seen)
            }
            Some(ErrorCode::CorruptMessage | ErrorCode::KafkaStorageError) => {
                let partition = self.partitions.get(&id).filter(|p| p.present);
                let hole = partition.is_some_and(|p| p.is_hole(offset));
                let excused = partition.is_none_or(|p| p.is_unreadable_from(offset, scene.now));
                scene.coverage.add_many(Count::HoleFetches, u64::from(hole));
                self.storage_error(about, error, excused, scene)
            }
            _ => self.fail(about, format!("a fetch at {offset} is answered {error}")),
        }
    }

    /// The broker says that its disk failed it. Flipped bits may excuse that.
    fn storage_error(&mut self, about: About, error: &str, excused: bool, scene: &mut Scene<'_>) {
        scene.coverage.add(Count::StorageErrors);
        if !excused && !self.excuses.read_errors {
            self.fail(
                about,
                format!("a read is answered {error}, and nothing is wrong with the disk"),
            );
        }
    }

    /// The broker does not know a partition: then nobody was told that it exists, or it was to go.
    pub(super) fn unknown(&mut self, about: About, place: &Place, seen: Option<Seen>) {
        let same =
            |topic: &&super::Topic| topic.name == place.name && place.index < topic.partitions;
        let known = self.topics.values().filter(same);
        let promised = known.clone().any(|topic| topic.acknowledged)
            && known.clone().all(|topic| !topic.doomed);
        if promised && seen.is_some() {
            self.fail(
                about,
                format!("{place:?} is not known to the broker, and should be"),
            );
        }
    }

    fn listed(
        &mut self,
        exchange: &Exchange,
        places: &[Place],
        response: &ListOffsetsResponse,
        scene: &mut Scene<'_>,
    ) {
        let Ask::ListOffsets(request, _) = &exchange.ask else {
            return;
        };
        let asked = request.topics.iter().flat_map(|topic| &topic.partitions);
        let answers = response
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|part| (&topic.name, part)));
        let answers: Vec<_> = answers.collect();
        if answers.len() != places.len() {
            self.fail(
                About::Broker,
                format!(
                    "{} partitions were asked for and {} answered",
                    places.len(),
                    answers.len()
                ),
            );
        }
        for (((place, asked), (name, answer)), seen) in
            places.iter().zip(asked).zip(answers).zip(&exchange.seen)
        {
            let timestamp = asked.timestamp;
            if (name, answer.partition_index) != (&place.name, place.index) {
                self.fail(About::Broker, "partitions are answered in another order");
                return;
            }
            let id = seen.map_or(place.partition(), |seen| seen.partition);
            let about = About::Partition(id);
            let error = ErrorCode::from_code(answer.error_code);
            let present = self.partitions.get(&id).filter(|p| p.present);
            if let Some(partition) = present
                && exchange.version >= FIRST_WITH_EPOCHS
                && !partition.damaged
                && let Some(expected) = epoch_error(asked.current_leader_epoch, partition.epoch)
            {
                scene.coverage.add(Count::EpochsRefused);
                if error != Some(expected) {
                    let what = format!(
                        "R1: epoch {} is believed in, it is {}, and the answer is {answer:?}",
                        asked.current_leader_epoch, partition.epoch
                    );
                    self.fail(about, what);
                }
                continue;
            }
            match error {
                Some(ErrorCode::None) => {
                    scene.coverage.add(Count::OffsetLookups);
                    if timestamp >= 0 && answer.offset >= 0 {
                        scene.coverage.add(Count::TimestampLookups);
                    }
                    let (Some(seen), Some(partition)) = (seen, self.partitions.get(&id)) else {
                        continue;
                    };
                    if partition.present
                        && let Err(what) =
                            check_offset(partition, *seen, timestamp, answer, scene.now)
                    {
                        self.fail(about, what);
                    }
                }
                Some(ErrorCode::UnknownTopicOrPartition) => self.unknown(about, place, *seen),
                // The topic went while it was looked at; or epochs begin no more in the log.
                Some(ErrorCode::FencedLeaderEpoch | ErrorCode::UnknownLeaderEpoch)
                    if !self
                        .partitions
                        .get(&id)
                        .is_some_and(|p| p.present && !p.damaged) => {}
                Some(ErrorCode::CorruptMessage | ErrorCode::KafkaStorageError) => {
                    let hit = self
                        .partitions
                        .get(&id)
                        .is_none_or(|p| !p.unreadable.is_empty());
                    self.storage_error(about, error_name(answer.error_code), hit, scene);
                }
                _ => self.fail(
                    about,
                    format!("ListOffsets is answered {}", error_name(answer.error_code)),
                ),
            }
        }
    }

    fn epochs_ended(
        &mut self,
        exchange: &Exchange,
        places: &[Place],
        response: &OffsetForLeaderEpochResponse,
        scene: &mut Scene<'_>,
    ) {
        let Ask::EpochEnds(request, _) = &exchange.ask else {
            return;
        };
        let asked = request
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|part| part.leader_epoch));
        let answers = response
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter());
        for (((place, epoch), answer), seen) in
            places.iter().zip(asked).zip(answers).zip(&exchange.seen)
        {
            let id = seen.map_or(place.partition(), |seen| seen.partition);
            let about = About::Partition(id);
            match ErrorCode::from_code(answer.error_code) {
                Some(ErrorCode::None) => {
                    scene.coverage.add(Count::EpochLookups);
                    if let Some(partition) = self
                        .partitions
                        .get(&id)
                        .filter(|partition| partition.present)
                        && let Err(what) =
                            check_epoch_end(partition, *seen, LeaderEpoch(epoch), answer)
                    {
                        self.fail(about, what);
                    }
                }
                Some(ErrorCode::UnknownTopicOrPartition) => self.unknown(about, place, *seen),
                _ => self.fail(
                    about,
                    format!(
                        "OffsetForLeaderEpoch is answered {}",
                        error_name(answer.error_code)
                    ),
                ),
            }
        }
    }

    fn described(&mut self, all: bool, response: &MetadataResponse) {
        let mut named = Vec::new();
        for topic in &response.topics {
            if topic.error_code != 0 {
                let excused = [
                    ErrorCode::UnknownTopicOrPartition,
                    ErrorCode::UnknownTopicId,
                    ErrorCode::LeaderNotAvailable,
                ];
                if !excused.iter().any(|code| code.code() == topic.error_code) {
                    self.fail(
                        About::Broker,
                        format!(
                            "metadata of {:?}: {}",
                            topic.name,
                            error_name(topic.error_code)
                        ),
                    );
                }
                continue;
            }
            named.extend(topic.name.clone());
            // Answers before version 10 do not say the id.
            let named_so = topic
                .name
                .as_ref()
                .and_then(|name| self.present_topic(name));
            let id = match topic.topic_id {
                TopicId::ZERO => named_so,
                id => Some(id),
            };
            let found = id.and_then(|id| self.topics.get_mut(&id));
            match found {
                // The shard that answers may know of a topic before those that own its partitions.
                None => {}
                Some(known) if known.gone => {
                    self.fail(
                        About::Broker,
                        format!("metadata tell of a topic that is gone: {topic:?}"),
                    );
                }
                Some(known) => {
                    known.acknowledged = true;
                    let count = topic.partitions.len() as i32;
                    let right = (known.partitions..=known.partitions_seen).contains(&count);
                    known.partitions_told = known.partitions_told.max(count);
                    if !right || topic.partitions.iter().any(|p| p.leader_id != 1) {
                        self.fail(About::Broker, format!("metadata are wrong about {topic:?}"));
                    }
                }
            }
        }
        if all && self.ready {
            let missing = self
                .live_topics()
                .find(|(_, topic)| !named.contains(&topic.name));
            if let Some((_, topic)) = missing {
                let what = format!("metadata do not tell of {}", topic.name);
                self.fail(About::Broker, what);
            }
        }
    }

    fn created(&mut self, version: i16, response: &CreateTopicsResponse) {
        const FIRST_WITH_IDS: i16 = 7;
        for topic in &response.topics {
            match ErrorCode::from_code(topic.error_code) {
                Some(ErrorCode::None) => {
                    let id = match version >= FIRST_WITH_IDS {
                        true => Some(topic.topic_id),
                        false => self.present_topic(&topic.name),
                    };
                    match id.and_then(|id| self.topics.get_mut(&id)) {
                        Some(known) => known.acknowledged = true,
                        None => self.fail(
                            About::Broker,
                            format!("{} was created, and no shard has it", topic.name),
                        ),
                    }
                }
                // An answer was lost, and the topic is there all the same.
                Some(ErrorCode::TopicAlreadyExists) => {
                    let id = self.present_topic(&topic.name);
                    if let Some(known) = id.and_then(|id| self.topics.get_mut(&id)) {
                        known.acknowledged = true;
                    }
                }
                Some(ErrorCode::RequestTimedOut) => {}
                _ => self.fail(About::Broker, format!("CreateTopics is answered {topic:?}")),
            }
        }
    }

    fn deleted(&mut self, response: &DeleteTopicsResponse) {
        for topic in &response.responses {
            match ErrorCode::from_code(topic.error_code) {
                Some(ErrorCode::None) => {
                    let Some(name) = &topic.name else {
                        continue;
                    };
                    let gone = |id: &TopicId| {
                        self.partitions
                            .values()
                            .all(|p| p.id.topic != *id || !p.present)
                    };
                    let ids: Vec<_> = self
                        .topics
                        .iter()
                        .filter(|(_, t)| t.name == *name && t.doomed)
                        .map(|(id, _)| *id)
                        .collect();
                    let left: Vec<_> = ids.iter().filter(|id| !gone(id)).copied().collect();
                    for id in &ids {
                        if let Some(topic) = self.topics.get_mut(id) {
                            topic.gone |= !left.contains(id);
                        }
                    }
                    if !ids.is_empty() && left.len() == ids.len() {
                        self.fail(
                            About::Broker,
                            format!("{name} was deleted, and a shard still has it"),
                        );
                    }
                }
                Some(
                    ErrorCode::UnknownTopicOrPartition
                    | ErrorCode::UnknownTopicId
                    | ErrorCode::RequestTimedOut,
                ) => {}
                _ => self.fail(About::Broker, format!("DeleteTopics is answered {topic:?}")),
            }
        }
    }

    fn gave_producer_id(&mut self, response: &InitProducerIdResponse) {
        if response.error_code != 0 {
            self.fail(
                About::Broker,
                format!(
                    "InitProducerId is answered {}",
                    error_name(response.error_code)
                ),
            );
        } else if response.producer_id < 0 || !self.producer_ids.insert(response.producer_id) {
            self.fail(
                About::Broker,
                format!("producer id {} is given again", response.producer_id),
            );
        }
    }
}

/// The first version of ListOffsets that says which epoch the client believes in.
const FIRST_WITH_EPOCHS: i16 = 4;

/// The error for a client that believes in `epoch` (R1), if it is wrong.
fn epoch_error(epoch: i32, current: LeaderEpoch) -> Option<ErrorCode> {
    match epoch {
        ..0 => None,
        _ if epoch < current.0 => Some(ErrorCode::FencedLeaderEpoch),
        _ if epoch > current.0 => Some(ErrorCode::UnknownLeaderEpoch),
        _ => None,
    }
}

/// Kafka's name of an error code.
pub fn error_name(code: i16) -> &'static str {
    ErrorCode::from_code(code).map_or("an unknown error", ErrorCode::name)
}

/// Checks what a fetch gives of a partition. Returns how many batches and records it is.
fn check_records(
    partition: &Partition,
    offset: Offset,
    seen: Option<Seen>,
    data: &PartitionData,
    records: Bytes,
    now: Now,
) -> Result<(usize, Found), String> {
    let high_watermark = Offset(data.high_watermark);
    if high_watermark > partition.visible_end
        || seen.is_some_and(|seen| high_watermark < seen.visible_end)
    {
        return Err(format!(
            "invariant 8: a fetch gives high watermark {high_watermark}, and it was {:?} and is {}",
            seen.map(|seen| seen.visible_end),
            partition.visible_end
        ));
    }
    if data.last_stable_offset != data.high_watermark || data.log_start_offset > partition.start.0 {
        return Err(format!(
            "a fetch gives last stable offset {}, log start {}; they are {high_watermark} and {}",
            data.last_stable_offset, data.log_start_offset, partition.start
        ));
    }
    let mut next = offset;
    let (mut count, mut found) = (0, Found::default());
    for batch in Batches::new(records) {
        let batch = batch
            .map_err(|error| format!("a fetch at {offset} gives what is no batch: {error}"))?;
        let context = |what| format!("a fetch at {offset} gives {batch:?}: {what}");
        let in_order = batch.next_offset() > next && (count == 0 || batch.base_offset() >= next);
        if !in_order {
            return Err(context(format!("invariant 11: it does not follow {next}")));
        }
        if batch.next_offset() > high_watermark {
            return Err(format!(
                "a fetch gives {batch:?} beyond its high watermark {high_watermark}"
            ));
        }
        let before = partition.check_all_gone(next, batch.base_offset(), now);
        let of_batch = partition.check_compacted(&batch, now).map_err(context)?;
        found.records += of_batch.records;
        found.gone += of_batch.gone + before.map_err(context)?;
        next = batch.next_offset();
        count += 1;
    }
    Ok((count, found))
}

/// Checks an offset that was looked up.
fn check_offset(
    partition: &Partition,
    seen: Seen,
    timestamp: i64,
    answer: &ListOffsetsPartitionResponse,
    now: Now,
) -> Result<(), String> {
    const LATEST: i64 = -1;
    const EARLIEST: i64 = -2;
    const MAX_TIMESTAMP: i64 = -3;
    const EARLIEST_LOCAL: i64 = -4;
    let offset = Offset(answer.offset);
    let wrong = |should: String| {
        Err(format!(
            "ListOffsets of {timestamp} gives {answer:?}; {should}"
        ))
    };
    match timestamp {
        LATEST if offset < seen.visible_end || offset > partition.visible_end => wrong(format!(
            "the high watermark was {} and is {}",
            seen.visible_end, partition.visible_end
        )),
        EARLIEST | EARLIEST_LOCAL if offset < seen.start || offset > partition.start => {
            wrong(format!(
                "the log start was {} and is {}",
                seen.start, partition.start
            ))
        }
        MAX_TIMESTAMP => {
            let least = partition.max_timestamp(partition.start, seen.visible_end, now);
            let there = partition.timestamp_of(offset);
            // As in Kafka there is no answer while the newest record is not visible.
            let none = offset.0 == -1 && (least.is_none() || partition.end > seen.visible_end);
            let right =
                there == Some(answer.timestamp) && there >= least && offset < partition.visible_end;
            if none || right {
                Ok(())
            } else {
                wrong(format!("the largest timestamp was {least:?}"))
            }
        }
        0.. => {
            let before = if offset.0 < 0 {
                seen.visible_end
            } else {
                offset
            };
            let earlier = partition.find_timestamp(timestamp, partition.start, before, now);
            let there = partition.timestamp_of(offset);
            let fits = there == Some(answer.timestamp)
                && there >= Some(timestamp)
                && offset < partition.visible_end;
            if earlier.is_none() && (offset.0 == -1 || (fits && offset >= seen.start)) {
                Ok(())
            } else {
                wrong(format!(
                    "the record there has {there:?}, and the first that fits is {earlier:?}"
                ))
            }
        }
        _ => Ok(()),
    }
}

/// Checks where an epoch ended.
fn check_epoch_end(
    partition: &Partition,
    seen: Option<Seen>,
    epoch: LeaderEpoch,
    answer: &EpochEndOffset,
) -> Result<(), String> {
    // What was appended since the request came in need not be in the answer.
    let visible_end = seen.map_or(Offset::ZERO, |seen| seen.visible_end);
    let of_epoch = |entry: &&super::Entry| entry.epoch == epoch && entry.next <= visible_end;
    let last = partition.readable(partition.start).rfind(of_epoch);
    let next = partition
        .readable(partition.start)
        .find(|entry| entry.epoch > epoch);
    let end = Offset(answer.end_offset);
    let wrong = last.is_some_and(|last| answer.leader_epoch != epoch.0 || end < last.next)
        // The log may begin within the first batch of an epoch.
        || next.is_some_and(|next| end > next.base.max(partition.start))
        || end > partition.end
        || answer.leader_epoch > epoch.0;
    if wrong {
        return Err(format!(
            "invariant 10: epoch {epoch} is said to end so: {answer:?}; its last batch is {last:?}, the next one {next:?}"
        ));
    }
    Ok(())
}
