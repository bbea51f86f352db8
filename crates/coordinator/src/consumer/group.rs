//! The durable state of a group of the consumer protocol: a fold over its records.
//!
//! Invariants ([`ConsumerGroup::validate`]):
//! - a partition is in the target assignments of at most one member, and held by at most one;
//! - no member is in a later epoch than the target assignment, nor that in a later one than the group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wiber_model::{TimestampMs, TopicId};

use super::member::{LEAVE_EPOCH, Member};
use super::reconcile;
use crate::config::GroupConfig;
use crate::error::GroupError;
use crate::held::{name_bytes, target_bytes};
use crate::record::{
    ConsumerMemberRecord, CurrentAssignmentRecord, Record, RegexRecord, TopicPartitions,
};
use crate::request::told_bytes;
use crate::response::{ConsumerDescription, DescribedConsumerMember};

/// The epoch of a group, and of its target assignment, before the first member comes.
const FIRST_EPOCH: i32 = 1;

/// The first version of OffsetCommit that members of the consumer protocol may use.
const COMMIT_VERSION_MIN: i16 = 9;

/// A group of the consumer protocol.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    pub(crate) epoch: i32,
    /// The hash of the topics' metadata that the epoch goes with.
    pub(crate) metadata_hash: i64,
    pub(crate) target_epoch: i32,
    /// When the target assignment was made; 0: unknown.
    pub(crate) target_at: TimestampMs,
    pub(crate) targets: BTreeMap<Arc<str>, TopicPartitions>,
    pub(crate) members: BTreeMap<Arc<str>, Member>,
    pub(crate) regexes: BTreeMap<String, RegexRecord>,
    /// Whether Kafka up to 4.0 left a record that is no longer used.
    pub(crate) has_partition_metadata: bool,
    /// Soft: whether the topics' metadata may differ from those that the hash was made of.
    pub(crate) refresh_due: bool,
    /// Soft: whether the regular expressions are about to be resolved.
    pub(crate) resolving: bool,
    counts: Counts,
    /// What members, without the topics that they share, targets and regular expressions hold in memory, in bytes.
    held_bytes: usize,
    /// Who holds each partition: has it, or is to give it up.
    holders: BTreeMap<TopicId, BTreeMap<i32, Arc<str>>>,
}

/// What follows from the members, counted as they come and go.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// What the distinct sets hold in memory, in bytes.
    subscribed_bytes: usize,
    /// Distinct sets of topics, so that members can share them, with how many members have each.
    subscriptions: BTreeMap<Arc<BTreeSet<String>>, usize>,
    /// Topics, with how many members and resolved regular expressions name each.
    topics: BTreeMap<String, usize>,
    /// Regular expressions, with how many members subscribe to each.
    regexes: BTreeMap<String, usize>,
    /// Assignors, with how many members ask for each.
    assignors: BTreeMap<String, usize>,
    /// Static members by their instance id.
    instances: BTreeMap<String, Arc<str>>,
    /// How many members speak the classic protocol.
    classic: usize,
    /// Their protocols, with how many members support each.
    classic_protocols: BTreeMap<String, usize>,
}

impl Default for ConsumerGroup {
    fn default() -> ConsumerGroup {
        ConsumerGroup {
            epoch: FIRST_EPOCH,
            metadata_hash: 0,
            target_epoch: FIRST_EPOCH,
            target_at: TimestampMs(0),
            targets: BTreeMap::new(),
            members: BTreeMap::new(),
            regexes: BTreeMap::new(),
            has_partition_metadata: false,
            refresh_due: true,
            resolving: false,
            counts: Counts::default(),
            held_bytes: 0,
            holders: BTreeMap::new(),
        }
    }
}

/// What a group is asked.
impl ConsumerGroup {
    /// Kafka's word for the group's state.
    pub(crate) fn state(&self) -> &'static str {
        let reconciled =
            |member: &Member| reconcile::is_reconciled(&member.current, self.target_epoch);
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if !self.members.values().all(reconciled) {
            "Reconciling"
        } else {
            "Stable"
        }
    }

    /// Whether the group has no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether a member is subscribed to a topic.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.counts.topics.contains_key(topic)
    }

    /// A member.
    ///
    /// # Errors
    /// [`GroupError::UnknownMemberId`].
    pub(crate) fn member(&self, member: &str) -> Result<&Member, GroupError> {
        self.members.get(member).ok_or(GroupError::UnknownMemberId)
    }

    /// The static member that has an instance id.
    pub(crate) fn static_member(&self, instance: &str) -> Option<(&Arc<str>, &Member)> {
        let id = self.counts.instances.get(instance)?;
        self.members.get_key_value(id)
    }

    /// Whether a commit by a member of this epoch is fine; `epoch` is negative for one from outside the group. Each partition has to
    /// pass [`ConsumerGroup::may_commit_partition`], too.
    ///
    /// # Errors
    /// As Kafka's `ConsumerGroup.validateOffsetCommit`.
    pub(crate) fn may_commit(
        &self,
        member: &str,
        epoch: i32,
        version: i16,
    ) -> Result<(), GroupError> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.member(member)?;
        if !member.is_classic() && version < COMMIT_VERSION_MIN {
            return Err(GroupError::UnsupportedVersion(format!(
                "OffsetCommit version {COMMIT_VERSION_MIN} or above must be used by members using the consumer group protocol"
            )));
        }
        let known = member.current.epoch;
        if epoch > known {
            return Err(stale(member, || {
                format!("Received member epoch {epoch} is newer than current member epoch {known}.")
            }));
        }
        Ok(())
    }

    /// Whether the commit, which [`ConsumerGroup::may_commit`] let pass, is fine for a partition: one that comes with an older epoch
    /// than the member's is so for what was assigned to the member by then (KIP-1251). The topic's id is needed even where the
    /// request has none.
    ///
    /// # Errors
    /// As the validator that Kafka's `ConsumerGroup.validateOffsetCommit` returns.
    pub(crate) fn may_commit_partition(
        &self,
        member: &str,
        epoch: i32,
        topic: TopicId,
        partition: i32,
    ) -> Result<(), GroupError> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.member(member)?;
        if epoch == member.current.epoch {
            return Ok(());
        }
        match member.assignment_epoch(topic, partition) {
            None => Err(stale(member, || {
                format!(
                    "Partition {topic}-{partition} is not assigned or pending revocation for member."
                )
            })),
            Some(assigned) if epoch < assigned => Err(stale(member, || {
                format!(
                    "Received member epoch {epoch} is older than assignment epoch {assigned} for partition {topic}-{partition}."
                )
            })),
            Some(_) => Ok(()),
        }
    }

    /// Whether a member of this epoch may read what is committed.
    ///
    /// # Errors
    /// As Kafka's `ConsumerGroup.validateOffsetFetch`.
    pub(crate) fn may_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), GroupError> {
        if member.is_none() && epoch < 0 {
            return Ok(());
        }
        let member = self.member(member.unwrap_or_default())?;
        let known = member.current.epoch;
        if epoch == known {
            return Ok(());
        }
        Err(stale(member, || {
            format!(
                "The received member epoch {epoch} does not match the expected member epoch {known}."
            )
        }))
    }

    /// The group as ConsumerGroupDescribe tells it.
    pub(crate) fn describe(&self, config: &GroupConfig) -> ConsumerDescription {
        let members = self.members.iter().map(|(id, member)| {
            let mut assignment = TopicPartitions::new();
            for (topic, partition) in member.holds() {
                assignment.entry(topic).or_default().push(partition);
            }
            DescribedConsumerMember {
                member_id: id.to_string(),
                instance_id: member.instance_id.clone(),
                rack_id: member.rack_id.clone(),
                epoch: member.current.epoch,
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                topics: member.topics.iter().cloned().collect(),
                regex: Some(member.regex.clone()),
                assignment,
                target: self.targets.get(id).cloned().unwrap_or_default(),
                is_classic: member.is_classic(),
            }
        });
        ConsumerDescription {
            state: self.state(),
            epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor: self.preferred_assignor(config).to_owned(),
            members: members.collect(),
        }
    }

    /// The assignor that most members ask for: of several, the one that the broker's settings name first. Who asks for none has no
    /// vote.
    pub(crate) fn preferred_assignor<'a>(&self, config: &'a GroupConfig) -> &'a str {
        let mut best: Option<(&str, usize)> = None;
        for name in &config.consumer_assignors {
            let votes = self.counts.assignors.get(name).copied().unwrap_or(0);
            if best.is_none_or(|(_, most)| votes > most) {
                best = Some((name, votes));
            }
        }
        best.map_or("uniform", |(name, _)| name)
    }

    /// The tombstones of all that is stored of the group, in the order in which Kafka writes them.
    pub(crate) fn tombstones(&self, group: &str, records: &mut Vec<Record>) {
        let group = || group.to_owned();
        let members = || self.members.keys().map(|member| member.to_string());
        records.extend(members().map(|member| Record::ConsumerCurrent {
            group: group(),
            member,
            value: None,
        }));
        records.extend(members().map(|member| Record::ConsumerTarget {
            group: group(),
            member,
            value: None,
        }));
        records.push(Record::ConsumerTargetEpoch {
            group: group(),
            value: None,
        });
        records.extend(members().map(|member| Record::ConsumerMember {
            group: group(),
            member,
            value: None,
        }));
        records.extend(self.regexes.keys().map(|regex| Record::ConsumerRegex {
            group: group(),
            regex: regex.clone(),
            value: None,
        }));
        records.push(Record::ConsumerPartitionMetadata {
            group: group(),
            value: None,
        });
        records.push(Record::ConsumerGroup {
            group: group(),
            value: None,
        });
    }

    /// The names of all topics that are subscribed to, in order.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &String> {
        self.counts.topics.keys()
    }

    /// How many members subscribe to a regular expression.
    pub(crate) fn regex_subscribers(&self, regex: &str) -> usize {
        self.counts.regexes.get(regex).copied().unwrap_or(0)
    }

    /// The regular expressions that members subscribe to, in order.
    pub(crate) fn subscribed_regexes(&self) -> impl ExactSizeIterator<Item = &String> {
        self.counts.regexes.keys()
    }

    /// When the regular expressions were resolved last, and against which version of the metadata. All are at the same time; if a
    /// crash came between, this tells of those that were not.
    pub(crate) fn regexes_resolved(&self) -> Option<(TimestampMs, i64)> {
        let at = self.regexes.values().map(|resolved| resolved.at).min()?;
        let version = self
            .regexes
            .values()
            .map(|resolved| resolved.version)
            .min()?;
        Some((at, version))
    }

    /// Whether a member subscribes to a topic, by name or by an expression that has been resolved.
    pub(crate) fn subscribes(&self, member: &Member, topic: &str) -> bool {
        member.topics.contains(topic)
            || self.regexes.get(&member.regex).is_some_and(|resolved| {
                let found = resolved.topics.binary_search_by(|name| (**name).cmp(topic));
                found.is_ok()
            })
    }

    /// Whether nobody but perhaps the member itself holds a partition.
    pub(crate) fn is_free_for(&self, member: &str, topic: TopicId, partition: i32) -> bool {
        self.holder(topic, partition)
            .is_none_or(|holder| &**holder == member)
    }

    /// Whether a member waits for partitions that others hold.
    pub(crate) fn waits_for_others(&self, id: &str, member: &Member) -> bool {
        let target = self.targets.get(id);
        let mut missing = target
            .into_iter()
            .flatten()
            .flat_map(|(topic, partitions)| {
                let has = member.current.assigned.get(topic);
                let missing = partitions
                    .iter()
                    .filter(move |p| !has.is_some_and(|has| has.contains_key(p)));
                missing.map(|partition| (*topic, *partition))
            });
        member.current.state == reconcile::state::UNRELEASED
            && missing.any(|(topic, partition)| self.holder(topic, partition).is_some())
    }

    /// How many members speak the classic protocol.
    pub(crate) fn classic_members(&self) -> usize {
        self.counts.classic
    }

    /// Whether all members that speak the classic protocol support a protocol of theirs.
    pub(crate) fn supports_classic_protocol(&self, name: &str) -> bool {
        self.counts
            .classic_protocols
            .get(name)
            .copied()
            .unwrap_or(0)
            == self.counts.classic
    }

    /// What the group's members hold in memory, about, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes + self.counts.subscribed_bytes
    }

    /// What a member that speaks the classic protocol told, in bytes, if there is one of this id or, where it comes without an id, under this
    /// `group.instance.id`.
    pub(crate) fn told_by(&self, id: &str, instance: Option<&str>) -> Option<usize> {
        let member = match instance.filter(|_| id.is_empty()) {
            Some(instance) => self.static_member(instance)?.1,
            None => self.members.get(id)?,
        };
        let classic = member.classic.as_ref()?;
        Some(told_bytes(&classic.protocols))
    }

    fn holder(&self, topic: TopicId, partition: i32) -> Option<&Arc<str>> {
        self.holders.get(&topic)?.get(&partition)
    }
}

/// Why a member's epoch is refused, in the words of its protocol.
fn stale(member: &Member, message: impl FnOnce() -> String) -> GroupError {
    if member.is_classic() {
        GroupError::IllegalGeneration
    } else {
        GroupError::StaleMemberEpoch(message())
    }
}

/// How records change a group.
impl ConsumerGroup {
    /// Folds one of the group's records in, other than the tombstone of the group itself.
    pub(crate) fn replay(&mut self, record: Record) {
        match record {
            Record::ConsumerGroup { value, .. } => {
                (self.epoch, self.metadata_hash) = value.unwrap_or((FIRST_EPOCH, 0));
            }
            Record::ConsumerPartitionMetadata { value, .. } => {
                self.has_partition_metadata = value.is_some();
            }
            Record::ConsumerTargetEpoch { value, .. } => {
                (self.target_epoch, self.target_at) = value.unwrap_or((-1, TimestampMs(0)));
            }
            Record::ConsumerMember { member, value, .. } => self.replay_member(&member, value),
            Record::ConsumerTarget { member, value, .. } => self.replay_target(&member, value),
            Record::ConsumerCurrent { member, value, .. } => self.replay_current(&member, value),
            Record::ConsumerRegex { regex, value, .. } => self.replay_regex(regex, value),
            Record::Offset { .. } | Record::ClassicGroup { .. } => {}
        }
    }

    /// What a member told. Without it the member is gone.
    fn replay_member(&mut self, id: &str, told: Option<ConsumerMemberRecord>) {
        let Some((id, mut member)) = self.take_member(id, told.is_some()) else {
            return;
        };
        self.counts.remove(&id, &member);
        let Some(mut told) = told else {
            self.release(&id, &member);
            return;
        };
        let topics = std::mem::take(&mut told.topics).into_iter().collect();
        let topics = self.counts.shared(topics);
        member.update(told, topics);
        self.counts.add(&id, &member);
        self.put_member(id, member);
    }

    /// Where a member stands. Without it the member has left, and its other records go next.
    fn replay_current(&mut self, id: &str, current: Option<CurrentAssignmentRecord>) {
        let Some((id, mut member)) = self.take_member(id, current.is_some()) else {
            return;
        };
        self.release(&id, &member);
        member.current = current.unwrap_or_else(|| CurrentAssignmentRecord {
            epoch: LEAVE_EPOCH,
            previous_epoch: LEAVE_EPOCH,
            ..CurrentAssignmentRecord::default()
        });
        for (topic, partition) in member.holds() {
            let holders = self.holders.entry(topic).or_default();
            holders.insert(partition, Arc::clone(&id));
        }
        self.put_member(id, member);
    }

    /// What a member is to have.
    fn replay_target(&mut self, id: &str, target: Option<TopicPartitions>) {
        let before = match target {
            Some(mut target) => {
                for partitions in target.values_mut() {
                    partitions.sort_unstable();
                    partitions.dedup();
                }
                let id = self.shared_id(id);
                self.held_bytes += target_bytes(&target);
                self.targets.insert(id, target)
            }
            None => self.targets.remove(id),
        };
        self.held_bytes -= before.as_ref().map_or(0, target_bytes);
    }

    /// What a regular expression came to.
    fn replay_regex(&mut self, regex: String, resolved: Option<RegexRecord>) {
        let before = match resolved {
            Some(mut resolved) => {
                resolved.topics.sort_unstable();
                resolved.topics.dedup();
                for topic in &resolved.topics {
                    count(&mut self.counts.topics, topic);
                }
                self.held_bytes += resolved_bytes(&resolved);
                self.regexes.insert(regex, resolved)
            }
            None => self.regexes.remove(&regex),
        };
        self.held_bytes -= before.as_ref().map_or(0, resolved_bytes);
        for topic in before.into_iter().flat_map(|before| before.topics) {
            uncount(&mut self.counts.topics, &topic);
        }
    }

    /// Takes a member out, to be put back changed; or a new one, if it is to be made.
    fn take_member(&mut self, id: &str, make: bool) -> Option<(Arc<str>, Member)> {
        if let Some((id, member)) = self.members.remove_entry(id) {
            self.held_bytes -= member.held_bytes(&id);
            return Some((id, member));
        }
        let (id, member) = make.then(|| (self.shared_id(id), Member::default()))?;
        self.counts.add(&id, &member);
        Some((id, member))
    }

    /// Puts a member in, or back.
    fn put_member(&mut self, id: Arc<str>, member: Member) {
        self.held_bytes += member.held_bytes(&id);
        self.members.insert(id, member);
    }

    /// What a member holds is free. What has another holder by now is that one's: the later record counts.
    fn release(&mut self, id: &Arc<str>, member: &Member) {
        for (topic, partition) in member.holds() {
            let Some(holders) = self.holders.get_mut(&topic) else {
                continue;
            };
            if holders.get(&partition) == Some(id) {
                holders.remove(&partition);
            }
            if holders.is_empty() {
                self.holders.remove(&topic);
            }
        }
    }

    /// A member's id, shared if the group has it.
    fn shared_id(&self, id: &str) -> Arc<str> {
        let member = self.members.get_key_value(id).map(|(id, _)| id);
        let known = member.or_else(|| self.targets.get_key_value(id).map(|(id, _)| id));
        known.map_or_else(|| Arc::from(id), Arc::clone)
    }

    /// Checks the group's invariants.
    pub(crate) fn validate(&self, group: &str) {
        let mut holders: BTreeMap<TopicId, BTreeMap<i32, Arc<str>>> = BTreeMap::new();
        let mut counts = Counts::default();
        for (id, member) in &self.members {
            counts.add(id, member);
            assert!(
                member.current.epoch <= self.target_epoch,
                "{group}: member {id} is not ahead of the target assignment"
            );
            for (topic, partition) in member.holds() {
                let other = holders
                    .entry(topic)
                    .or_default()
                    .insert(partition, Arc::clone(id));
                assert_eq!(
                    other, None,
                    "{group}: {topic}-{partition} has one holder besides {id}"
                );
            }
        }
        for topic in self.regexes.values().flat_map(|resolved| &resolved.topics) {
            count(&mut counts.topics, topic);
        }
        let members = self
            .members
            .iter()
            .map(|(id, member)| member.held_bytes(id));
        let targets = self.targets.values().map(target_bytes);
        let regexes = self.regexes.values().map(resolved_bytes);
        assert_eq!(
            self.held_bytes,
            members.chain(targets).chain(regexes).sum::<usize>(),
            "{group}: what is held is counted"
        );
        assert_eq!(holders, self.holders, "{group}: holders are those who hold");
        assert_eq!(
            counts, self.counts,
            "{group}: what is counted is what there is"
        );
        assert!(
            self.target_epoch <= self.epoch,
            "{group}: no target is ahead of the group"
        );

        let mut targets = BTreeSet::new();
        for (id, target) in &self.targets {
            assert!(
                self.members.contains_key(id),
                "{group}: the target of {id} is a member's"
            );
            for (topic, partitions) in target {
                for partition in partitions {
                    let new = targets.insert((*topic, *partition));
                    assert!(
                        new,
                        "{group}: {topic}-{partition} is in one target besides {id}'s"
                    );
                }
            }
        }
        for regex in self.regexes.keys() {
            assert!(
                self.regex_subscribers(regex) > 0,
                "{group}: somebody subscribes to {regex}"
            );
        }
    }
}

impl Counts {
    /// The set that is equal to `topics`, if some member has it.
    fn shared(&self, topics: BTreeSet<String>) -> Arc<BTreeSet<String>> {
        let known = self.subscriptions.get_key_value(&topics);
        known.map_or_else(|| Arc::new(topics), |(known, _)| Arc::clone(known))
    }

    fn add(&mut self, id: &Arc<str>, member: &Member) {
        let Counts {
            topics,
            regexes,
            assignors,
            classic_protocols,
            ..
        } = self;
        member.topics.iter().for_each(|topic| count(topics, topic));
        member
            .assignor
            .iter()
            .for_each(|name| count(assignors, name));
        if !member.regex.is_empty() {
            count(regexes, &member.regex);
        }
        for (name, _) in member.classic.iter().flat_map(|classic| &classic.protocols) {
            count(classic_protocols, name);
        }
        self.classic += usize::from(member.is_classic());
        let members = self.subscriptions.entry(Arc::clone(&member.topics));
        let members = members.or_default();
        if *members == 0 {
            self.subscribed_bytes += subscription_bytes(&member.topics);
        }
        *members += 1;
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), Arc::clone(id));
        }
    }

    fn remove(&mut self, id: &Arc<str>, member: &Member) {
        let Counts {
            topics,
            regexes,
            assignors,
            classic_protocols,
            ..
        } = self;
        member
            .topics
            .iter()
            .for_each(|topic| uncount(topics, topic));
        member
            .assignor
            .iter()
            .for_each(|name| uncount(assignors, name));
        if !member.regex.is_empty() {
            uncount(regexes, &member.regex);
        }
        for (name, _) in member.classic.iter().flat_map(|classic| &classic.protocols) {
            uncount(classic_protocols, name);
        }
        self.classic -= usize::from(member.is_classic());
        if let Some(members) = self.subscriptions.get_mut(&member.topics) {
            *members -= 1;
            if *members == 0 {
                self.subscriptions.remove(&member.topics);
                self.subscribed_bytes -= subscription_bytes(&member.topics);
            }
        }
        if let Some(instance) = &member.instance_id
            && self.instances.get(instance) == Some(id)
        {
            self.instances.remove(instance);
        }
    }
}

fn subscription_bytes(topics: &BTreeSet<String>) -> usize {
    topics.iter().map(|name| name_bytes(name)).sum()
}

fn resolved_bytes(resolved: &RegexRecord) -> usize {
    resolved.topics.iter().map(|name| name_bytes(name)).sum()
}

fn count(counts: &mut BTreeMap<String, usize>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}

fn uncount(counts: &mut BTreeMap<String, usize>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}
