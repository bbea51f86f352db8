//! Members of groups: consumers that share partitions, process what they read and commit how far they came.
//!
//! A member is what Kafka's clients are, with one request on its way at a time. Now and then it leaves, forgets everything as a
//! process does that was killed, subscribes to something else, or is silent for longer than its session, and then goes on as if nothing
//! had been: with a commit. What it lost with a connection it asks for again.

mod assignor;
mod classic;
mod kip848;
mod work;

use wiber_model::Offset;
use wiber_protocol::{ErrorCode, Str};

use super::{Client, Connection, Hands, Phase};
use crate::checker::Checker;
use crate::coverage::Count;
use crate::exchange::{Answer, Ask, Exchange, Place};
use classic::Classic;
use kip848::Kip848;
use work::Work;

pub(crate) use assignor::{assigned as shares_of, owned as owned_by, subscribed as topics_of};
pub(crate) use kip848::assigned as assigned_to;
pub(crate) use work::told;

/// After an error it rests up to so long, in nanoseconds.
const BACKOFF_NS: u64 = 10_000_000;
/// Who left, or was killed, is away for up to so long, in nanoseconds.
const AWAY_NS: u64 = 100_000_000;
/// One commit in so many that came too late is sent all the same.
const LATE_COMMITS: u64 = 2;

/// How the members of a group share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The classic protocol; everything is given up before each rebalance.
    Eager,
    /// The classic protocol; only what changes hands is given up (KIP-429).
    Cooperative,
    /// The consumer protocol (KIP-848).
    Consumer,
}

/// How a member works.
#[derive(Clone, Debug)]
pub struct MemberPlan {
    /// Its group.
    pub group: Str,
    /// How the group shares.
    pub kind: Kind,
    /// Each life of a member may share in this other way: the group changes its protocol while it works, and back.
    pub migrates_to: Option<Kind>,
    /// Its `group.instance.id`.
    pub instance: Option<Str>,
    /// The topics that it may subscribe to.
    pub topics: Vec<Str>,
    /// Its session timeout, in milliseconds.
    pub session_ms: i32,
    /// How long it may take to join again, or to give partitions up, in milliseconds.
    pub rebalance_ms: i32,
    /// How often it says that it lives, in milliseconds; of the classic protocol.
    pub heartbeat_ms: u64,
    /// The assignor that it asks for; of the consumer protocol.
    pub assignor: Option<&'static str>,
    /// It rests up to twice so long between requests, in microseconds.
    pub pause_us: u64,
    /// It commits this often, in milliseconds; 0: after each batch.
    pub commit_ms: u64,
    /// Who is silent for so long is out, in milliseconds.
    pub silence_ms: u64,
    /// Once in so many requests something happens to it; never, if 0.
    pub mishaps: u64,
}

/// What a member is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// It is not there until then.
    Away(u64),
    /// It takes part.
    In,
    /// It wants out: it says so and goes.
    Leaving,
    /// It does nothing until then, and does not know.
    Silent(u64),
}

/// What a protocol says about a request's outcome, to the member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// It goes on.
    GoOn,
    /// It is to rest a little, as something failed.
    Rest,
    /// It is out: it left, or another one took its place.
    Out,
}

/// One of the protocols by which groups share.
trait Protocol: std::fmt::Debug {
    /// Sends what is due. Returns whether something was.
    fn next(&mut self, plan: &MemberPlan, work: &mut Work, hands: &mut Hands<'_>) -> bool;
    /// Says good-bye.
    fn leave(&mut self, plan: &MemberPlan, hands: &mut Hands<'_>);
    /// A request of the protocol was answered.
    fn answered(
        &mut self,
        plan: &MemberPlan,
        work: &mut Work,
        answer: &Answer,
        hands: &mut Hands<'_>,
    ) -> Verdict;
    /// A commit, or a look at what was committed, was refused.
    fn refused(&mut self, work: &mut Work, error: ErrorCode, hands: &mut Hands<'_>) -> Verdict;
    /// The connection is gone.
    fn lost(&mut self);
    /// The member subscribes to something else.
    fn resubscribe(&mut self);
    /// The generation or the epoch, and the member's id.
    fn identity(&self) -> (i32, Str);
    /// Whether it is in the group, and may read and commit.
    fn is_in(&self) -> bool;
    /// Whether nothing is on its way to change.
    fn is_settled(&self) -> bool;
}

/// A commit that the member no longer has a right to.
#[derive(Clone, Debug)]
struct LateCommit {
    identity: (i32, Str),
    parts: Vec<(Place, Offset)>,
}

/// See the module.
#[derive(Debug)]
pub struct Member {
    plan: MemberPlan,
    connection: Connection,
    life: Life,
    /// It knows its coordinator.
    found: bool,
    busy: bool,
    protocol: Box<dyn Protocol>,
    work: Work,
    late: Option<LateCommit>,
    /// Counts its lives.
    incarnation: u32,
    rests_until_ns: u64,
}

impl Member {
    /// A member that has not joined yet.
    pub fn new(plan: MemberPlan) -> Member {
        Member {
            connection: Connection::default(),
            life: Life::Away(0),
            found: false,
            busy: false,
            protocol: protocol(plan.kind, String::new()),
            work: Work::new(plan.group.clone(), plan.kind, plan.instance.clone()),
            late: None,
            incarnation: 0,
            rests_until_ns: 0,
            plan,
        }
    }

    /// Begins a new life.
    fn come(&mut self, hands: &mut Hands<'_>) {
        self.incarnation += 1;
        let name = format!("member-{}-{}", hands.client, self.incarnation);
        let mut kind = self.plan.kind;
        if let Some(other) = self.plan.migrates_to {
            if hands.rng.one_in(2) {
                kind = other;
            }
            // What the other protocol's member would have committed has no place in this one's requests.
            self.late = None;
            hands.tell(|| format!("shares by {kind:?}"));
        }
        self.protocol = protocol(kind, name);
        self.work.drop_all(hands);
        self.work.kind = kind;
        self.choose_topics(hands);
        self.life = Life::In;
        self.found = false;
    }

    fn choose_topics(&mut self, hands: &mut Hands<'_>) {
        let mut topics = self.plan.topics.clone();
        if hands.rng.one_in(3) {
            topics.retain(|_| hands.rng.one_in(2));
        }
        if topics.is_empty() {
            topics.extend(self.plan.topics.first().cloned());
        }
        self.work.subscribe(topics, hands);
    }

    /// Away, with everything forgotten.
    fn go(&mut self, hands: &mut Hands<'_>) {
        self.work.drop_all(hands);
        self.life = Life::Away(hands.now_ns + 1 + hands.rng.below(AWAY_NS));
    }

    /// Lets something happen to the member, now and then. Returns whether it goes on.
    fn suffer(&mut self, hands: &mut Hands<'_>) -> bool {
        let spared = self.plan.mishaps == 0 || !hands.rng.one_in(self.plan.mishaps);
        if spared || hands.phase == Phase::WindingDown || self.life == Life::Leaving {
            return true;
        }
        match hands.rng.below(6) {
            0 => {
                self.life = Life::Leaving;
                true
            }
            1 => {
                hands.coverage.add(Count::MembersKilled);
                hands.tell(|| "is killed".to_owned());
                hands.actions.push(super::Action::Disconnect);
                self.go(hands);
                false
            }
            2 | 3 => {
                hands.coverage.add(Count::MembersSilent);
                let silence_ns = self.plan.silence_ms * 1_000_000;
                let ns = silence_ns + hands.rng.below(silence_ns);
                hands.tell(|| format!("is silent for {} ms", ns / 1_000_000));
                self.life = Life::Silent(hands.now_ns + ns);
                false
            }
            4 => {
                self.choose_topics(hands);
                let topics = &self.work.topics;
                hands.tell(|| format!("subscribes to {topics:?}"));
                self.protocol.resubscribe();
                true
            }
            _ => {
                // An answer is lost that may be on its way.
                hands.actions.push(super::Action::Disconnect);
                false
            }
        }
    }

    fn act(&mut self, hands: &mut Hands<'_>) {
        if !self.found {
            self.find(hands);
        } else if self.life == Life::Leaving {
            if self.protocol.is_in() && self.work.is_behind() && hands.rng.one_in(2) {
                self.commit(hands);
            }
            if !self.busy {
                self.protocol.leave(&self.plan, hands);
                self.busy = true;
            }
        } else if let Some(late) = self.late.take() {
            if hands.rng.one_in(LATE_COMMITS) {
                hands.coverage.add(Count::LateCommits);
                self.work
                    .send_commit(&late.identity, late.parts, true, hands);
                self.busy = true;
            }
        } else if self.step_protocol(hands) {
            self.busy = true;
        } else if self.protocol.is_in() {
            let identity = self.protocol.identity();
            let due = self.work.is_commit_due(self.plan.commit_ms, hands);
            if due && self.work.is_behind() {
                self.commit(hands);
            } else {
                self.busy = self.work.next(&identity, self.plan.heartbeat_ms, hands);
            }
        }
    }

    fn step_protocol(&mut self, hands: &mut Hands<'_>) -> bool {
        let before = self.claim();
        let acted = self.protocol.next(&self.plan, &mut self.work, hands);
        self.keep_late(&before);
        acted
    }

    fn commit(&mut self, hands: &mut Hands<'_>) {
        let identity = self.protocol.identity();
        let parts = self.work.uncommitted();
        self.work.send_commit(&identity, parts, false, hands);
        self.busy = true;
    }

    fn find(&mut self, hands: &mut Hands<'_>) {
        const FIRST_WITH_KEYS: i16 = 4;
        let version = hands.version_of(wiber_protocol::ApiKey::FindCoordinator, 0);
        let mut request = wiber_protocol::messages::FindCoordinatorRequest::default();
        if version >= FIRST_WITH_KEYS {
            request.coordinator_keys = vec![self.plan.group.clone()];
        } else {
            request.key = self.plan.group.clone();
        }
        self.busy = true;
        hands.send_version(Ask::FindCoordinator(request), version);
    }

    fn follow(&mut self, verdict: Verdict, before: &LateCommit, hands: &mut Hands<'_>) {
        match verdict {
            Verdict::GoOn => {}
            Verdict::Rest => self.rests_until_ns = hands.now_ns + hands.rng.below(BACKOFF_NS),
            Verdict::Out => self.go(hands),
        }
        self.keep_late(before);
    }

    /// Keeps what it would have committed, and may not any more.
    fn keep_late(&mut self, before: &LateCommit) {
        let gave_up = |(place, _): &&(Place, Offset)| !self.work.has(place);
        let parts: Vec<_> = before.parts.iter().filter(gave_up).cloned().collect();
        if !parts.is_empty() {
            self.late = Some(LateCommit {
                identity: before.identity.clone(),
                parts,
            });
        }
    }

    /// What it would commit now.
    fn claim(&self) -> LateCommit {
        LateCommit {
            identity: self.protocol.identity(),
            parts: self.work.positions(),
        }
    }
}

fn protocol(kind: Kind, name: String) -> Box<dyn Protocol> {
    match kind {
        Kind::Eager => Box::new(Classic::new(false)),
        Kind::Cooperative => Box::new(Classic::new(true)),
        Kind::Consumer => Box::new(Kip848::new(name)),
    }
}

impl Client for Member {
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn wake(&mut self, hands: &mut Hands<'_>) -> u64 {
        match self.life {
            Life::Away(until) | Life::Silent(until)
                if hands.now_ns < until && hands.phase == Phase::Chaos =>
            {
                return self.plan.pause_us;
            }
            Life::Away(_) => {
                if hands.checker.live_topics().next().is_none() {
                    return self.plan.pause_us;
                }
                self.come(hands);
            }
            Life::Silent(_) => {
                self.life = Life::In;
                hands.tell(|| "goes on as if nothing had been".to_owned());
                if self.protocol.is_in() && !self.busy && self.work.is_behind() {
                    if self.connection.is_usable(hands) {
                        self.commit(hands);
                    }
                    return self.plan.pause_us;
                }
            }
            Life::In | Life::Leaving => {}
        }
        let rests = self.busy || hands.now_ns < self.rests_until_ns;
        if self.connection.is_usable(hands) && !rests && self.suffer(hands) {
            self.act(hands);
        }
        self.plan.pause_us
    }

    fn answered(&mut self, exchange: &Exchange, answer: &Answer, hands: &mut Hands<'_>) {
        self.busy = false;
        if matches!(self.life, Life::Away(_)) {
            return;
        }
        let before = self.claim();
        let verdict = match (&exchange.ask, answer) {
            (Ask::FindCoordinator(_), Answer::FindCoordinator(response)) => {
                let codes = response.coordinators.iter().map(|found| found.error_code);
                let code = codes.chain([response.error_code]).find(|code| *code != 0);
                self.found = code.is_none();
                if self.found {
                    Verdict::GoOn
                } else {
                    Verdict::Rest
                }
            }
            (Ask::OffsetCommit(request, parts), Answer::OffsetCommit(response)) => {
                let (epoch, id) = (request.generation_id_or_member_epoch, &request.member_id);
                let is_late = (epoch, id) != (before.identity.0, &before.identity.1);
                match self.work.committed(parts, response, hands) {
                    ErrorCode::None => Verdict::GoOn,
                    // That says nothing about what it is now.
                    _ if is_late => Verdict::GoOn,
                    error => self.protocol.refused(&mut self.work, error, hands),
                }
            }
            (Ask::OffsetFetch(_, places), Answer::OffsetFetch(response)) => {
                match self
                    .work
                    .told_offsets(exchange.group.number, places, response, hands)
                {
                    ErrorCode::None => Verdict::GoOn,
                    error => self.protocol.refused(&mut self.work, error, hands),
                }
            }
            (Ask::Fetch(..), Answer::Fetch(response)) => {
                let by_id = exchange.ask.is_by_id(exchange.version);
                match self.work.fetched(response, by_id, hands) {
                    true => Verdict::GoOn,
                    false => Verdict::Rest,
                }
            }
            (Ask::ListOffsets(_, places), Answer::ListOffsets(response)) => {
                self.work.reset_to(places, response, hands.checker);
                Verdict::GoOn
            }
            _ => self
                .protocol
                .answered(&self.plan, &mut self.work, answer, hands),
        };
        self.follow(verdict, &before, hands);
    }

    fn lost(&mut self, _hands: &mut Hands<'_>) {
        self.busy = false;
        self.found = false;
        self.protocol.lost();
    }

    fn unfinished(&self, checker: &Checker) -> Option<String> {
        if checker.excuses.flips {
            return None;
        }
        let group = &self.plan.group;
        if self.life != Life::In || !self.protocol.is_in() || !self.protocol.is_settled() {
            return Some(format!("a member of {group} has not settled"));
        }
        if let Some(place) = self.work.is_unfinished(checker) {
            return Some(format!("a member of {group} is not through with {place:?}"));
        }
        checker.groups.unowned(group, checker)
    }
}
