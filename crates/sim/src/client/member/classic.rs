//! The classic protocol: members join, one of them deals the partitions out, all get their share.

use std::collections::BTreeMap;

use bytes::Bytes;
use wiber_protocol::messages as m;
use wiber_protocol::{ApiKey, ErrorCode, Str};

use super::assignor::{self, Shares};
use super::work::{Work, key};
use super::{MemberPlan, Protocol, Verdict};
use crate::checker::Checker;
use crate::client::Hands;
use crate::coverage::Count;
use crate::exchange::{Answer, Ask, Place};

/// Since this version JoinGroup tells a static member that it leads and need not deal anything out (KIP-814): before, a leader that was
/// away does not see that there are other partitions.
const JOIN_WITH_SKIPPING: i16 = 9;
/// Since this version SyncGroup, and so on, tell static members from others (KIP-345).
const SYNC_WITH_INSTANCES: i16 = 3;
const HEARTBEAT_WITH_INSTANCES: i16 = 3;
const LEAVE_WITH_MEMBERS: i16 = 3;
/// Since this version JoinGroup has a rebalance timeout of its own; before, the session timeout is taken.
const JOIN_WITH_REBALANCE_TIMEOUT: i16 = 1;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    MustJoin,
    Joining,
    MustSync,
    Syncing,
    Stable,
    Leaving,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Classic {
    cooperative: bool,
    stage: Stage,
    member: Str,
    generation: i32,
    protocol: Option<Str>,
    /// The members, if this one leads and has yet to deal out.
    led: Vec<(Str, Bytes)>,
    /// What it dealt out to each: it says the same when it has to say it again.
    assignments: Vec<(Str, Bytes)>,
    leads: bool,
    /// How many partitions its topics had when it dealt them out.
    dealt: BTreeMap<Str, usize>,
    /// Its share, by name. A topic may be away for a moment while it is deleted and created again.
    mine: Shares,
    /// What it is to give up, as it is another member's.
    revoked: Vec<Place>,
    /// It tried to commit before it gives partitions up.
    tried: bool,
    heartbeat_ns: u64,
}

impl Classic {
    pub fn new(cooperative: bool) -> Classic {
        Classic {
            cooperative,
            stage: Stage::MustJoin,
            member: Str::default(),
            generation: -1,
            protocol: None,
            led: Vec::new(),
            assignments: Vec::new(),
            leads: false,
            dealt: BTreeMap::new(),
            mine: Shares::new(),
            revoked: Vec::new(),
            tried: false,
            heartbeat_ns: 0,
        }
    }

    fn join(&mut self, plan: &MemberPlan, work: &Work, hands: &mut Hands<'_>) {
        let least = match plan.instance {
            Some(_) => JOIN_WITH_SKIPPING,
            None => JOIN_WITH_REBALANCE_TIMEOUT,
        };
        let version = hands.version_of(ApiKey::JoinGroup, least);
        let owned: Shares = match self.cooperative {
            true => work.places().iter().map(key).collect(),
            false => Shares::new(),
        };
        let metadata = assignor::subscription(&work.topics, &owned, self.generation);
        let name = if self.cooperative {
            "cooperative"
        } else {
            "range"
        };
        hands.tell(|| format!("joins as {:?}, with {owned:?}", self.member));
        let request = m::JoinGroupRequest {
            group_id: plan.group.clone(),
            session_timeout_ms: plan.session_ms,
            rebalance_timeout_ms: plan.rebalance_ms,
            member_id: self.member.clone(),
            group_instance_id: plan.instance.clone(),
            protocol_type: "consumer".into(),
            protocols: vec![m::join_group::JoinGroupRequestProtocol {
                name: name.into(),
                metadata,
            }],
            reason: None,
        };
        self.stage = Stage::Joining;
        self.tried = false;
        hands.send_version(Ask::JoinGroup(request), version);
    }

    fn sync(&mut self, plan: &MemberPlan, hands: &mut Hands<'_>) {
        let least = plan.instance.as_ref().map_or(0, |_| SYNC_WITH_INSTANCES);
        if !self.led.is_empty() {
            let places = places(&plan.group, hands.checker);
            self.assignments = assignor::assign(&self.led, &places, self.cooperative);
            self.dealt = counts(&places);
            self.led.clear();
        }
        let assignments = self.assignments.iter().cloned();
        let request = m::SyncGroupRequest {
            group_id: plan.group.clone(),
            generation_id: self.generation,
            member_id: self.member.clone(),
            group_instance_id: plan.instance.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: self.protocol.clone(),
            assignments: assignments
                .map(
                    |(member_id, assignment)| m::sync_group::SyncGroupRequestAssignment {
                        member_id,
                        assignment,
                    },
                )
                .collect(),
        };
        self.stage = Stage::Syncing;
        hands.send(Ask::SyncGroup(request), least);
    }

    fn heartbeat(&mut self, plan: &MemberPlan, hands: &mut Hands<'_>) {
        let least = plan
            .instance
            .as_ref()
            .map_or(0, |_| HEARTBEAT_WITH_INSTANCES);
        let request = m::HeartbeatRequest {
            group_id: plan.group.clone(),
            generation_id: self.generation,
            member_id: self.member.clone(),
            group_instance_id: plan.instance.clone(),
        };
        self.heartbeat_ns = hands.now_ns;
        hands.send(Ask::Heartbeat(request), least);
    }

    /// It has its share.
    fn share(&mut self, mine: Shares, work: &mut Work, hands: &mut Hands<'_>) {
        hands.tell(|| format!("its share in generation {} is {mine:?}", self.generation));
        self.stage = Stage::Stable;
        self.heartbeat_ns = hands.now_ns;
        let kept = |place: &Place| mine.contains(&key(place));
        self.revoked = work.places().into_iter().filter(|p| !kept(p)).collect();
        self.mine = mine;
        self.take(work, hands);
    }

    /// Takes what there is of its share.
    fn take(&mut self, work: &mut Work, hands: &mut Hands<'_>) {
        for place in hands.checker.live_places() {
            if self.mine.contains(&key(&place)) && !work.has(&place) {
                work.take(place, hands);
            }
        }
    }

    /// It has no right to anything any more.
    fn lose_all(&mut self, work: &mut Work, hands: &mut Hands<'_>) {
        work.drop_all(hands);
        self.mine.clear();
        self.revoked.clear();
        self.generation = -1;
        self.stage = Stage::MustJoin;
    }
}

/// The partitions of the topics that the group's members subscribe to.
fn places(group: &Str, checker: &Checker) -> Vec<Place> {
    let wanted = checker.groups.topics_of(group);
    let mut places = checker.live_places();
    places.retain(|place| wanted.contains(&place.name));
    places
}

fn counts(places: &[Place]) -> BTreeMap<Str, usize> {
    let mut counts = BTreeMap::new();
    for place in places {
        *counts.entry(place.name.clone()).or_default() += 1;
    }
    counts
}

impl Protocol for Classic {
    fn next(&mut self, plan: &MemberPlan, work: &mut Work, hands: &mut Hands<'_>) -> bool {
        if self.stage == Stage::Stable && !self.revoked.is_empty() {
            if !self.tried && work.is_behind() {
                self.tried = true;
                work.send_commit(&self.identity(), work.uncommitted(), false, hands);
                return true;
            }
            for place in std::mem::take(&mut self.revoked) {
                work.give_up(&place, hands);
            }
            self.stage = Stage::MustJoin;
        }
        if self.stage == Stage::Stable
            && self.leads
            && counts(&places(&plan.group, hands.checker)) != self.dealt
        {
            hands.tell(|| "sees other partitions, and has the group share anew".to_owned());
            self.stage = Stage::MustJoin;
        }
        if self.stage == Stage::Stable {
            self.take(work, hands);
        }
        match self.stage {
            Stage::MustJoin if !self.cooperative => {
                if !self.tried && self.generation >= 0 && work.is_behind() {
                    self.tried = true;
                    work.send_commit(&self.identity(), work.uncommitted(), false, hands);
                    return true;
                }
                work.drop_all(hands);
                self.join(plan, work, hands);
            }
            Stage::MustJoin => self.join(plan, work, hands),
            Stage::MustSync => self.sync(plan, hands),
            Stage::Stable if hands.now_ns >= self.heartbeat_ns + plan.heartbeat_ms * 1_000_000 => {
                self.heartbeat(plan, hands);
            }
            _ => return false,
        }
        true
    }

    fn leave(&mut self, plan: &MemberPlan, hands: &mut Hands<'_>) {
        hands.tell(|| format!("leaves as {:?}", self.member));
        self.stage = Stage::Leaving;
        let least = plan.instance.as_ref().map_or(0, |_| LEAVE_WITH_MEMBERS);
        let version = hands.version_of(ApiKey::LeaveGroup, least);
        let mut request = m::LeaveGroupRequest {
            group_id: plan.group.clone(),
            ..Default::default()
        };
        if version >= LEAVE_WITH_MEMBERS {
            request.members = vec![m::leave_group::MemberIdentity {
                member_id: self.member.clone(),
                group_instance_id: plan.instance.clone(),
                reason: None,
            }];
        } else {
            request.member_id = self.member.clone();
        }
        hands.send_version(Ask::LeaveGroup(request), version);
    }

    fn answered(
        &mut self,
        _plan: &MemberPlan,
        work: &mut Work,
        answer: &Answer,
        hands: &mut Hands<'_>,
    ) -> Verdict {
        let code = match answer {
            Answer::JoinGroup(response) => response.error_code,
            Answer::SyncGroup(response) => response.error_code,
            Answer::Heartbeat(response) => response.error_code,
            Answer::LeaveGroup(_) => return Verdict::Out,
            _ => return Verdict::GoOn,
        };
        let error = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
        match (answer, error) {
            (Answer::JoinGroup(response), ErrorCode::None) => {
                hands.coverage.add(Count::GroupsJoined);
                self.member = response.member_id.clone();
                self.generation = response.generation_id;
                self.protocol = response.protocol_name.clone();
                self.leads = response.leader == response.member_id;
                let deals = self.leads && !response.skip_assignment;
                self.assignments.clear();
                self.led = match deals {
                    true => response
                        .members
                        .iter()
                        .map(|member| (member.member_id.clone(), member.metadata.clone()))
                        .collect(),
                    false => Vec::new(),
                };
                if self.leads && !deals {
                    // It does not know what was dealt out before it came back, and has the group share anew.
                    self.dealt.clear();
                }
                self.stage = Stage::MustSync;
                let generation = self.generation;
                let leads = self.leads;
                hands.tell(|| format!("is in generation {generation}, leads: {leads}"));
                Verdict::GoOn
            }
            (Answer::JoinGroup(response), ErrorCode::MemberIdRequired) => {
                self.member = response.member_id.clone();
                self.stage = Stage::MustJoin;
                Verdict::GoOn
            }
            (Answer::SyncGroup(response), ErrorCode::None) => {
                hands.coverage.add(Count::GroupShares);
                self.share(assignor::assigned(&response.assignment), work, hands);
                Verdict::GoOn
            }
            (Answer::Heartbeat(_), ErrorCode::None) => Verdict::GoOn,
            (_, error) => {
                if self.stage != Stage::Stable {
                    self.stage = Stage::MustJoin;
                }
                self.refused(work, error, hands)
            }
        }
    }

    fn refused(&mut self, work: &mut Work, error: ErrorCode, hands: &mut Hands<'_>) -> Verdict {
        hands.tell(|| format!("is refused: {error}"));
        match error {
            ErrorCode::RebalanceInProgress => {
                self.stage = Stage::MustJoin;
                Verdict::GoOn
            }
            ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound => {
                hands.coverage.add(Count::MembersFenced);
                self.member = Str::default();
                self.lose_all(work, hands);
                Verdict::GoOn
            }
            ErrorCode::IllegalGeneration => {
                hands.coverage.add(Count::MembersFenced);
                self.lose_all(work, hands);
                Verdict::GoOn
            }
            ErrorCode::FencedInstanceId => {
                hands.coverage.add(Count::MembersFenced);
                Verdict::Out
            }
            _ => Verdict::Rest,
        }
    }

    fn lost(&mut self) {
        match self.stage {
            Stage::Joining => self.stage = Stage::MustJoin,
            Stage::Syncing => self.stage = Stage::MustSync,
            _ => {}
        }
    }

    fn resubscribe(&mut self) {
        if self.stage == Stage::Stable {
            self.stage = Stage::MustJoin;
        }
    }

    fn identity(&self) -> (i32, Str) {
        (self.generation, self.member.clone())
    }

    fn is_in(&self) -> bool {
        self.stage == Stage::Stable
    }

    fn is_settled(&self) -> bool {
        self.stage == Stage::Stable && self.revoked.is_empty()
    }
}
