//! A member of a classic group.

use bytes::Bytes;

use crate::coordinator::ReplyTo;
use crate::error::GroupError;
use crate::held::{MEMBER_BYTES, NAMES_HELD};
use crate::request::{Caller, told_bytes};
use crate::response::{DescribedClassicMember, Response};
use crate::step::Step;

/// A member of a classic group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) caller: Caller,
    /// How long it may take to rejoin.
    pub(crate) rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub(crate) session_timeout_ms: i32,
    /// Names and metadata, the best first; each name once.
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// What the leader assigned to it.
    pub(crate) assignment: Bytes,
    /// Who waits for its JoinGroup.
    pub(super) join: Option<ReplyTo>,
    /// Who waits for its SyncGroup.
    pub(super) sync: Option<ReplyTo>,
    /// Whether its first JoinGroup was not answered yet.
    pub(super) is_new: bool,
}

impl Member {
    /// A member that nobody waits for.
    pub(crate) fn new(
        id: String,
        instance_id: Option<String>,
        caller: Caller,
        rebalance_timeout_ms: i32,
        session_timeout_ms: i32,
        protocols: Vec<(String, Bytes)>,
    ) -> Member {
        Member {
            id,
            instance_id,
            caller,
            rebalance_timeout_ms,
            session_timeout_ms,
            protocols: each_once(protocols),
            assignment: Bytes::new(),
            join: None,
            sync: None,
            is_new: false,
        }
    }

    /// Whether its silence is excused: it waits for the others. A new one is not: it cannot be told from one that is gone.
    pub(super) fn waits(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }

    /// Its metadata for a protocol; empty if it does not support that.
    pub(crate) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| Some(name.as_str()) == protocol)
            .map_or_else(Bytes::new, |(_, metadata)| metadata.clone())
    }

    /// What a record has of it besides its metadata and its assignment, about.
    pub(super) fn names_bytes(&self) -> usize {
        /// Lengths and time-outs.
        const NUMBERS_BYTES: usize = 32;
        let instance = self.instance_id.as_ref().map_or(0, String::len);
        let caller = self.caller.client_id.len() + self.caller.host.len();
        self.id.len() + instance + caller + NUMBERS_BYTES
    }

    /// What it holds in memory, about.
    pub(super) fn held_bytes(&self) -> usize {
        let told = told_bytes(&self.protocols) + self.assignment.len();
        MEMBER_BYTES + NAMES_HELD * self.names_bytes() + told
    }

    /// Ends its wait for SyncGroup with an error, if it waits.
    pub(super) fn fail_sync(&mut self, step: &mut Step<'_>, error: GroupError) {
        if let Some(to) = self.sync.take() {
            step.reply(to, Response::Sync(Err(error)));
        }
    }

    /// The member as a list of members shows it; with its metadata if a protocol is settled.
    pub(super) fn describe(&self, protocol: Option<&str>) -> DescribedClassicMember {
        DescribedClassicMember {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.caller.client_id.clone(),
            client_host: self.caller.host.clone(),
            metadata: self.metadata(protocol),
            assignment: self.assignment.clone(),
        }
    }
}

/// The protocols, each name once: the first counts.
pub(super) fn each_once(mut protocols: Vec<(String, Bytes)>) -> Vec<(String, Bytes)> {
    let mut seen = std::collections::BTreeSet::new();
    protocols.retain(|(name, _)| seen.insert(name.clone()));
    protocols
}
