//! A member of a group of the consumer protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wiber_model::TopicId;

use crate::held::{MEMBER_BYTES, NAMES_HELD, partitions_bytes};
use crate::record::{
    AssignedPartitions, ClassicProtocols, ConsumerMemberRecord, CurrentAssignmentRecord,
};
use crate::request::told_bytes;

/// The epoch of a member that joins.
pub(crate) const JOIN_EPOCH: i32 = 0;

/// The epoch of a member that leaves.
pub(crate) const LEAVE_EPOCH: i32 = -1;

/// The epoch of a static member that leaves for a while.
pub(crate) const LEAVE_FOR_A_WHILE_EPOCH: i32 = -2;

/// What a partition of a member takes: in what it has, and among the holders of all partitions.
const HELD_PARTITION_BYTES: usize = 32;

/// What a member told, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    /// The names that it subscribes to. Members that subscribe to the same share one set.
    pub(crate) topics: Arc<BTreeSet<String>>,
    /// The regular expression that it subscribes to; empty: none.
    pub(crate) regex: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) assignor: Option<String>,
    pub(crate) classic: Option<ClassicProtocols>,
    pub(crate) current: CurrentAssignmentRecord,
}

impl Default for Member {
    fn default() -> Member {
        Member {
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            topics: Arc::default(),
            regex: String::new(),
            rebalance_timeout_ms: -1,
            assignor: None,
            classic: None,
            current: CurrentAssignmentRecord {
                previous_epoch: -1,
                ..CurrentAssignmentRecord::default()
            },
        }
    }
}

impl Member {
    /// Takes what a record says that the member told. Its topics are set apart: they are shared.
    pub(crate) fn update(&mut self, told: ConsumerMemberRecord, topics: Arc<BTreeSet<String>>) {
        self.instance_id = told.instance_id;
        self.rack_id = told.rack_id;
        self.client_id = told.client_id;
        self.client_host = told.client_host;
        self.topics = topics;
        self.regex = told.regex.unwrap_or_default();
        self.rebalance_timeout_ms = told.rebalance_timeout_ms;
        self.assignor = told.assignor;
        self.classic = told.classic;
    }

    /// What the member told, as a record.
    pub(crate) fn told(&self) -> ConsumerMemberRecord {
        ConsumerMemberRecord {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            topics: self.topics.iter().cloned().collect(),
            regex: Some(self.regex.clone()),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            assignor: self.assignor.clone(),
            classic: self.classic.clone(),
        }
    }

    /// Whether the member speaks the classic protocol.
    pub(crate) fn is_classic(&self) -> bool {
        self.classic.is_some()
    }

    /// What it holds in memory, about, without the topics that it subscribes to: these are shared.
    pub(super) fn held_bytes(&self, id: &str) -> usize {
        let instance = self.instance_id.as_ref().map_or(0, String::len);
        let rack = self.rack_id.as_ref().map_or(0, String::len);
        let names = id.len() + instance + self.client_id.len() + self.client_host.len() + rack;
        let classic = self.classic.as_ref();
        let told = classic.map_or(0, |classic| told_bytes(&classic.protocols));
        let current = &self.current;
        let partitions = current.assigned.values().chain(current.revoking.values());
        let partitions = partitions_bytes(partitions.map(BTreeMap::len), HELD_PARTITION_BYTES);
        MEMBER_BYTES + NAMES_HELD * names + told + self.regex.len() + partitions
    }

    /// The epoch in which a partition was assigned to the member, if it has it or is to give it up.
    pub(crate) fn assignment_epoch(&self, topic: TopicId, partition: i32) -> Option<i32> {
        let of = |partitions: &AssignedPartitions| partitions.get(&topic)?.get(&partition).copied();
        of(&self.current.assigned).or_else(|| of(&self.current.revoking))
    }

    /// All partitions that nobody else may have yet.
    pub(crate) fn holds(&self) -> impl Iterator<Item = (TopicId, i32)> {
        let all = self.current.assigned.iter().chain(&self.current.revoking);
        all.flat_map(|(topic, partitions)| partitions.keys().map(|partition| (*topic, *partition)))
    }
}
