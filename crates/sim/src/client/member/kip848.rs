//! The consumer protocol (KIP-848): the coordinator deals the partitions out, and members say by heartbeats what they have.

use std::collections::{BTreeMap, BTreeSet};

use wiber_model::{PartitionId, TopicId};
use wiber_protocol::messages as m;
use wiber_protocol::messages::consumer_group_heartbeat as chb;
use wiber_protocol::{ErrorCode, Str};

use super::work::Work;
use super::{MemberPlan, Protocol, Verdict};
use crate::client::Hands;
use crate::coverage::Count;
use crate::exchange::{Answer, Ask, Place};

/// Epochs that say something else (KIP-848).
const JOINS: i32 = 0;
const LEAVES: i32 = -1;
const LEAVES_FOR_A_WHILE: i32 = -2;

/// See the module.
#[derive(Debug)]
pub(super) struct Kip848 {
    member: Str,
    epoch: i32,
    /// The next heartbeat says everything.
    full: bool,
    /// What it is to have.
    target: Option<BTreeSet<PartitionId>>,
    /// What the coordinator was told that it has.
    told: BTreeSet<PartitionId>,
    /// It was told what to have, and is to say what it has.
    acknowledges: bool,
    tried: bool,
    due_ns: u64,
    leaving: bool,
}

impl Kip848 {
    pub fn new(member: String) -> Kip848 {
        Kip848 {
            member: member.into(),
            epoch: JOINS,
            full: true,
            target: None,
            told: BTreeSet::new(),
            acknowledges: false,
            tried: false,
            due_ns: 0,
            leaving: false,
        }
    }

    fn owned(work: &Work) -> BTreeSet<PartitionId> {
        work.places().iter().map(Place::partition).collect()
    }

    /// What it has and is not to have.
    fn revoked(&self, work: &Work) -> Vec<Place> {
        let Some(target) = &self.target else {
            return Vec::new();
        };
        let mut places = work.places();
        places.retain(|place| !target.contains(&place.partition()));
        places
    }

    /// Takes what it is to have, once it has given up what it is not to have.
    fn take(&mut self, work: &mut Work, hands: &mut Hands<'_>) {
        let Some(target) = &self.target else {
            return;
        };
        let mut places = hands.checker.live_places();
        places.retain(|place| target.contains(&place.partition()) && !work.has(place));
        for place in places {
            work.take(place, hands);
            self.due_ns = 0;
        }
    }

    fn heartbeat(&mut self, plan: &MemberPlan, work: &Work, hands: &mut Hands<'_>) {
        let owned = Kip848::owned(work);
        let mut request = m::ConsumerGroupHeartbeatRequest {
            group_id: plan.group.clone(),
            member_id: self.member.clone(),
            member_epoch: self.epoch,
            instance_id: plan.instance.clone(),
            ..Default::default()
        };
        if self.full || self.epoch == JOINS {
            request.rebalance_timeout_ms = plan.rebalance_ms;
            request.subscribed_topic_names = Some(work.topics.iter().cloned().collect());
            request.server_assignor = plan.assignor.map(Str::from_static);
        }
        if self.full || self.acknowledges || owned != self.told || self.epoch == JOINS {
            request.topic_partitions = Some(by_topic(&owned));
        }
        hands.tell(|| {
            let (member, epoch) = (&self.member, self.epoch);
            format!(
                "says as {member} in epoch {epoch} that it has {:?}",
                request.topic_partitions
            )
        });
        self.told = owned;
        self.full = false;
        self.acknowledges = false;
        self.due_ns = hands.now_ns + plan.heartbeat_ms * 1_000_000;
        hands.send(Ask::ConsumerHeartbeat(request), 0);
    }

    fn lose_all(&mut self, work: &mut Work, hands: &mut Hands<'_>) {
        work.drop_all(hands);
        self.target = None;
        self.epoch = JOINS;
        self.full = true;
        self.due_ns = 0;
        self.told.clear();
    }
}

fn by_topic(partitions: &BTreeSet<PartitionId>) -> Vec<chb::RequestTopicPartitions> {
    let mut topics: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for id in partitions {
        topics.entry(id.topic).or_default().push(id.partition);
    }
    topics
        .into_iter()
        .map(|(topic_id, partitions)| chb::RequestTopicPartitions {
            topic_id,
            partitions,
        })
        .collect()
}

/// What an answer assigns.
pub(crate) fn assigned(assignment: &chb::Assignment) -> BTreeSet<PartitionId> {
    let topics = assignment.topic_partitions.iter();
    topics
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| PartitionId {
                topic: topic.topic_id,
                partition: *partition,
            })
        })
        .collect()
}

impl Protocol for Kip848 {
    fn next(&mut self, plan: &MemberPlan, work: &mut Work, hands: &mut Hands<'_>) -> bool {
        let revoked = self.revoked(work);
        if !revoked.is_empty() {
            if !self.tried && work.is_behind() {
                self.tried = true;
                work.send_commit(&self.identity(), work.uncommitted(), false, hands);
                return true;
            }
            revoked.iter().for_each(|place| work.give_up(place, hands));
            self.due_ns = 0;
        }
        self.take(work, hands);
        let due = self.full || self.acknowledges || hands.now_ns >= self.due_ns;
        if due {
            self.heartbeat(plan, work, hands);
        }
        due
    }

    fn leave(&mut self, plan: &MemberPlan, hands: &mut Hands<'_>) {
        let for_a_while = plan.instance.is_some() && hands.rng.one_in(2);
        hands.tell(|| format!("leaves as {}, for a while: {for_a_while}", self.member));
        self.leaving = true;
        let request = m::ConsumerGroupHeartbeatRequest {
            group_id: plan.group.clone(),
            member_id: self.member.clone(),
            member_epoch: if for_a_while {
                LEAVES_FOR_A_WHILE
            } else {
                LEAVES
            },
            instance_id: plan.instance.clone(),
            ..Default::default()
        };
        hands.send(Ask::ConsumerHeartbeat(request), 0);
    }

    fn answered(
        &mut self,
        _plan: &MemberPlan,
        work: &mut Work,
        answer: &Answer,
        hands: &mut Hands<'_>,
    ) -> Verdict {
        let Answer::ConsumerHeartbeat(response) = answer else {
            return Verdict::GoOn;
        };
        if self.leaving {
            return Verdict::Out;
        }
        match ErrorCode::from_code(response.error_code) {
            Some(ErrorCode::None) => {
                if self.epoch == JOINS {
                    hands.coverage.add(Count::ConsumersJoined);
                }
                self.epoch = response.member_epoch;
                if let Some(assignment) = &response.assignment {
                    hands.coverage.add(Count::ConsumerAssignments);
                    let target = assigned(assignment);
                    hands.tell(|| {
                        format!("is to have {target:?} in epoch {}", response.member_epoch)
                    });
                    self.target = Some(target);
                    self.tried = false;
                    self.acknowledges = true;
                }
                let wait_ns = response.heartbeat_interval_ms.max(1) as u64 * 1_000_000;
                self.due_ns = hands.now_ns + wait_ns;
                Verdict::GoOn
            }
            error => {
                self.full = true;
                let error = error.unwrap_or(ErrorCode::UnknownServerError);
                self.refused(work, error, hands)
            }
        }
    }

    fn refused(&mut self, work: &mut Work, error: ErrorCode, hands: &mut Hands<'_>) -> Verdict {
        hands.tell(|| format!("is refused: {error}"));
        match error {
            ErrorCode::UnknownMemberId
            | ErrorCode::FencedMemberEpoch
            | ErrorCode::GroupIdNotFound => {
                hands.coverage.add(Count::MembersFenced);
                self.lose_all(work, hands);
                Verdict::GoOn
            }
            // A heartbeat tells what the epoch is now.
            ErrorCode::StaleMemberEpoch => {
                self.due_ns = 0;
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
        self.full = true;
    }

    fn resubscribe(&mut self) {
        self.full = true;
    }

    fn identity(&self) -> (i32, Str) {
        (self.epoch, self.member.clone())
    }

    fn is_in(&self) -> bool {
        self.epoch > JOINS && !self.leaving
    }

    fn is_settled(&self) -> bool {
        self.target.is_some() && !self.full && !self.acknowledges
    }
}
