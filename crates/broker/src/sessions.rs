//! Incremental fetch sessions (KIP-227): what a client fetches is remembered, and only what changes is said.
//!
//! Invariant: a session's epoch rises by one with each request, from 1 to `i32::MAX` and then to 1 again; the cache holds
//! no more sessions than its limit, and makes room by dropping the longest unused one, if that rested for two minutes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use wiber_model::{Monotonic, Offset, Rng, TopicId};
use wiber_protocol::{ErrorCode, Str};

/// A session that was not used for this long may be dropped to make room, as `FetchSession.evictionMs` in Kafka.
const EVICTION_MS: u64 = 120_000;

/// A partition as a client names it: by name before Fetch version 13, by id since.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct FetchKey {
    /// The name, or the empty string.
    pub topic: Str,
    /// The id, or zero.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: i32,
}

/// What a client wants of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FetchSpec {
    pub current_leader_epoch: i32,
    pub fetch_offset: i64,
    pub last_fetched_epoch: i32,
    pub max_bytes: i32,
}

/// What a client was told last of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Told {
    high_watermark: Offset,
    log_start: Offset,
}

#[derive(Debug)]
struct Remembered {
    spec: FetchSpec,
    told: Option<Told>,
    /// Decides the order: what had data goes to the end, so that all get their turn.
    turn: u64,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    used: Monotonic,
    by_id: bool,
    entries: BTreeMap<FetchKey, Remembered>,
    next_turn: u64,
}

/// A fetch as its session, or the lack of one, makes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// The session to name in the answer; 0 for none.
    pub session: i32,
    /// Whether only changes are said.
    pub incremental: bool,
    /// What to fetch, in order.
    pub partitions: Vec<(FetchKey, FetchSpec)>,
}

/// What a request says of its session.
#[derive(Debug)]
pub(crate) struct SessionRequest {
    pub id: i32,
    pub epoch: i32,
    pub by_id: bool,
    pub partitions: Vec<(FetchKey, FetchSpec)>,
    pub forgotten: Vec<FetchKey>,
}

/// The sessions of one shard.
#[derive(Debug)]
pub(crate) struct Sessions {
    sessions: BTreeMap<i32, Session>,
    most: usize,
    rng: Rng,
}

impl Sessions {
    pub fn new(most: usize, seed: u64) -> Sessions {
        Sessions {
            sessions: BTreeMap::new(),
            most,
            rng: Rng::new(seed),
        }
    }

    /// Finds what a request means to fetch.
    ///
    /// # Errors
    /// Kafka's error for a session that is not there, or at another epoch.
    pub fn plan(&mut self, now: Monotonic, request: SessionRequest) -> Result<Plan, ErrorCode> {
        const FULL: [i32; 2] = [0, -1];
        if FULL.contains(&request.epoch) {
            self.sessions.remove(&request.id);
            let session = if request.epoch == 0 && !request.partitions.is_empty() {
                self.open(now, &request)
            } else {
                0
            };
            return Ok(Plan {
                session,
                incremental: false,
                partitions: request.partitions,
            });
        }
        let session = self
            .sessions
            .get_mut(&request.id)
            .ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.by_id != request.by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        if session.epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        session.change(request.partitions, &request.forgotten);
        if session.entries.is_empty() {
            // As in Kafka: a session of nothing ends.
            self.sessions.remove(&request.id);
            return Ok(Plan {
                session: 0,
                incremental: false,
                partitions: Vec::new(),
            });
        }
        session.used = now;
        session.epoch = next_epoch(session.epoch);
        Ok(Plan {
            session: request.id,
            incremental: true,
            partitions: session.in_order(),
        })
    }

    /// Notes what a partition's answer says, and returns whether it must be said in an incremental answer.
    pub fn tell(
        &mut self,
        session: i32,
        key: &FetchKey,
        high_watermark: Offset,
        log_start: Offset,
        has_data: bool,
        matters: bool,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&session) else {
            // There is none, or it was closed while its fetch waited.
            return session == 0 || has_data || matters;
        };
        let turn = session.next_turn;
        let Some(entry) = session.entries.get_mut(key) else {
            return true;
        };
        if has_data {
            entry.turn = turn;
            session.next_turn += 1;
        }
        let told = Told {
            high_watermark,
            log_start,
        };
        let changed = entry.told != Some(told);
        // After an error the partition is said again, whatever it says then.
        entry.told = (!matters).then_some(told);
        changed || has_data || matters
    }

    /// How many sessions there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Makes a session; 0 if there is no room for one.
    fn open(&mut self, now: Monotonic, request: &SessionRequest) -> i32 {
        if self.sessions.len() >= self.most {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used);
            match oldest {
                Some((id, session)) if now.ms_since(session.used) > EVICTION_MS => {
                    let id = *id;
                    self.sessions.remove(&id);
                }
                _ => return 0,
            }
        }
        let mut session = Session {
            epoch: 1,
            used: now,
            by_id: request.by_id,
            entries: BTreeMap::new(),
            next_turn: 0,
        };
        session.change(request.partitions.clone(), &[]);
        loop {
            let id = self.rng.range(1..i32::MAX as u64) as i32;
            if let Entry::Vacant(free) = self.sessions.entry(id) {
                free.insert(session);
                return id;
            }
        }
    }
}

impl Session {
    fn change(&mut self, partitions: Vec<(FetchKey, FetchSpec)>, forgotten: &[FetchKey]) {
        for (key, spec) in partitions {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.spec = spec;
                continue;
            }
            // What is kept for long must not keep a whole frame in memory.
            let key = FetchKey {
                topic: key.topic.detached(),
                ..key
            };
            let turn = self.next_turn;
            self.next_turn += 1;
            self.entries.insert(
                key,
                Remembered {
                    spec,
                    told: None,
                    turn,
                },
            );
        }
        for key in forgotten {
            self.entries.remove(key);
        }
    }

    fn in_order(&self) -> Vec<(FetchKey, FetchSpec)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(_, entry)| entry.turn);
        entries
            .into_iter()
            .map(|(key, entry)| (key.clone(), entry.spec))
            .collect()
    }
}

fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> FetchKey {
        FetchKey {
            topic: "t".into(),
            topic_id: TopicId::ZERO,
            partition,
        }
    }

    fn spec(fetch_offset: i64) -> FetchSpec {
        FetchSpec {
            current_leader_epoch: -1,
            fetch_offset,
            last_fetched_epoch: -1,
            max_bytes: 100,
        }
    }

    fn request(
        id: i32,
        epoch: i32,
        partitions: &[(i32, i64)],
        forgotten: &[i32],
    ) -> SessionRequest {
        SessionRequest {
            id,
            epoch,
            by_id: false,
            partitions: partitions
                .iter()
                .map(|(p, o)| (key(*p), spec(*o)))
                .collect(),
            forgotten: forgotten.iter().map(|p| key(*p)).collect(),
        }
    }

    fn order(plan: &Plan) -> Vec<(i32, i64)> {
        plan.partitions
            .iter()
            .map(|(k, s)| (k.partition, s.fetch_offset))
            .collect()
    }

    #[test]
    fn a_session_remembers_changes_and_forgets() {
        let mut sessions = Sessions::new(10, 1);
        let now = Monotonic(0);
        let opened = sessions
            .plan(now, request(0, 0, &[(0, 5), (1, 6)], &[]))
            .unwrap();
        assert!(opened.session > 0 && !opened.incremental);
        let id = opened.session;
        let next = sessions
            .plan(now, request(id, 1, &[(1, 7), (2, 0)], &[0]))
            .unwrap();
        assert!(next.incremental);
        assert_eq!(order(&next), [(1, 7), (2, 0)]);
        assert_eq!(
            sessions.plan(now, request(id, 1, &[], &[])),
            Err(ErrorCode::InvalidFetchSessionEpoch)
        );
        assert_eq!(
            sessions.plan(now, request(id + 1, 1, &[], &[])),
            Err(ErrorCode::FetchSessionIdNotFound)
        );
        let closed = sessions.plan(now, request(id, -1, &[(0, 5)], &[])).unwrap();
        assert_eq!((closed.session, order(&closed)), (0, vec![(0, 5)]));
        assert_eq!(sessions.len(), 0);
    }

    #[test]
    fn only_news_is_told_and_data_goes_last() {
        let mut sessions = Sessions::new(10, 1);
        let now = Monotonic(0);
        let id = sessions
            .plan(now, request(0, 0, &[(0, 0), (1, 0)], &[]))
            .unwrap()
            .session;
        let mut tell =
            |p, hw, data, matters| sessions.tell(id, &key(p), Offset(hw), Offset(0), data, matters);
        assert!(tell(0, 10, true, false));
        assert!(tell(1, 0, false, false));
        assert!(!tell(1, 0, false, false));
        assert!(tell(1, 1, false, false));
        assert!(tell(1, 1, false, true));
        assert!(tell(1, 1, false, false), "the end of an error is news");
        let plan = sessions.plan(now, request(id, 1, &[], &[])).unwrap();
        assert_eq!(order(&plan), [(1, 0), (0, 0)]);
    }

    #[test]
    fn the_cache_is_bounded_and_drops_what_rests() {
        let mut sessions = Sessions::new(2, 1);
        let open = |sessions: &mut Sessions, at_ms: u64| {
            let now = Monotonic(at_ms * 1_000_000);
            sessions
                .plan(now, request(0, 0, &[(0, 0)], &[]))
                .unwrap()
                .session
        };
        let first = open(&mut sessions, 0);
        let second = open(&mut sessions, 1);
        assert_ne!(first, second);
        assert_eq!(open(&mut sessions, EVICTION_MS), 0);
        assert_ne!(open(&mut sessions, EVICTION_MS + 1), 0);
        assert_eq!(
            sessions.plan(Monotonic(0), request(first, 1, &[], &[])),
            Err(ErrorCode::FetchSessionIdNotFound)
        );
    }

    #[test]
    fn epochs_wrap_to_one() {
        assert_eq!(next_epoch(i32::MAX), 1);
    }
}
