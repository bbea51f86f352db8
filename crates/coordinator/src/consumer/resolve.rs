//! Resolves regular expressions: which topics each one that members subscribe to comes to.
//!
//! A heartbeat only notes that it is to be done, as in Kafka, where another thread does it: so the topics that a member names are
//! assigned to it first. It is done in steps of the coordinator's own, of a bounded length each, so that neither many topics nor many
//! expressions keep a shard from its other work. What an expression has come to is recorded in the step that finds it out, together
//! with the group's next epoch if that is something new: a crash between two steps loses only what is found out again.

use std::collections::VecDeque;

use tracing::debug;
use wiber_model::TimestampMs;

use super::pattern::Search;
use crate::groups::{Group, Groups};
use crate::record::{Record, RegexRecord};
use crate::step::Step;
use crate::timers::Timer;

/// At how many topics' names one step looks, for all expressions together: a millisecond's work, as most expressions need one
/// microsecond for a name. One that was made to be slow, such as `(a|b)*a(a|b){200}`, needs half a millisecond for a name that was, too.
const NAMES_PER_STEP: usize = 1_000;

/// As how many names an expression counts by itself, as it is compiled.
const NAMES_PER_EXPRESSION: usize = 100;

/// How long a step leaves the shard to others, if there is more to do, in milliseconds.
const PAUSE_MS: i64 = 1;

/// How long a group's regular expressions are left alone after they were resolved, in milliseconds (Kafka's
/// `REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`).
const REFRESH_MIN_INTERVAL_MS: i64 = 10_000;

/// The groups whose expressions are to be resolved. Soft: after a restart, heartbeats note them anew.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    waiting: VecDeque<String>,
    under_way: Option<Resolution>,
}

/// A group's expressions, while they are resolved.
#[derive(Debug)]
struct Resolution {
    group: String,
    /// The version of the metadata when it began: topics that come later are found the next time.
    version: i64,
    /// When it began.
    at: TimestampMs,
    /// What is to be resolved behind the expression that `search` is about.
    expressions: VecDeque<String>,
    search: Option<Search>,
    /// Whether an expression that was resolved in this step came to other topics than before.
    changed: bool,
}

impl Groups {
    /// Notes that a group's regular expressions are to be resolved, if it is time to.
    pub(super) fn refresh_regexes(&mut self, step: &mut Step<'_>, id: &str) {
        let Some(Group::Consumer(group)) = self.groups.get_mut(id) else {
            return;
        };
        if group.subscribed_regexes().len() == 0 || group.resolving {
            return;
        }
        if let Some((at, version)) = group.regexes_resolved() {
            let age_ms = step.now.wall.0.saturating_sub(at.0);
            let wanted = group.subscribed_regexes().len() != group.regexes.len()
                || version < self.topics.new_at_version()
                || age_ms > step.config.consumer_regex_refresh_interval_ms;
            // Where they were resolved in the future, the clock was set back since: that is long enough ago.
            let is_early = (0..=REFRESH_MIN_INTERVAL_MS).contains(&age_ms);
            if is_early || (age_ms >= 0 && !wanted) {
                return;
            }
        }
        group.resolving = true;
        self.resolver.waiting.push_back(id.to_owned());
        if step.timers.due(&Timer::ConsumerRegexes).is_none() {
            step.set_timer(Timer::ConsumerRegexes, 0);
        }
    }

    /// Goes on with resolving, as far as one step may.
    pub(crate) fn resolve_regexes(&mut self, step: &mut Step<'_>) {
        let mut names = NAMES_PER_STEP;
        while names > 0 {
            let under_way = self.resolver.under_way.take();
            let Some(mut resolution) = under_way.or_else(|| self.next_resolution(step)) else {
                return;
            };
            let is_done = self.go_on_with(step, &mut resolution, &mut names);
            self.note_resolved(step, &mut resolution, is_done);
            if !is_done {
                self.resolver.under_way = Some(resolution);
            }
        }
        if self.resolver.under_way.is_some() || !self.resolver.waiting.is_empty() {
            step.set_timer(Timer::ConsumerRegexes, PAUSE_MS);
        }
    }

    /// What is to be resolved next: a group's expressions as they are now.
    fn next_resolution(&mut self, step: &Step<'_>) -> Option<Resolution> {
        let group = self.resolver.waiting.pop_front()?;
        let expressions = self.consumer(&group).into_iter();
        let expressions = expressions.flat_map(|group| group.subscribed_regexes().cloned());
        Some(Resolution {
            expressions: expressions.collect(),
            group,
            version: step.cluster.version(),
            at: step.now.wall,
            search: None,
            changed: false,
        })
    }

    /// Looks at `names` topics' names at most, and takes off how many they were. Returns whether all expressions are resolved.
    fn go_on_with(
        &mut self,
        step: &mut Step<'_>,
        resolution: &mut Resolution,
        names: &mut usize,
    ) -> bool {
        while *names > 0 {
            let mut search = match resolution.search.take() {
                Some(search) => search,
                None => {
                    let Some(expression) = resolution.expressions.pop_front() else {
                        return true;
                    };
                    *names = names.saturating_sub(NAMES_PER_EXPRESSION);
                    Search::new(expression)
                }
            };
            let looked_at = search.go_on(step.cluster, *names);
            if looked_at == *names {
                *names = 0;
                resolution.search = Some(search);
                return false;
            }
            *names -= looked_at;
            self.found(step, resolution, search);
        }
        false
    }

    /// An expression is resolved. It may be that nobody subscribes to it any more.
    fn found(&mut self, step: &mut Step<'_>, resolution: &mut Resolution, search: Search) {
        let subscribers = self
            .consumer(&resolution.group)
            .map_or(0, |group| group.regex_subscribers(search.expression()));
        if subscribers == 0 {
            return;
        }
        let regex = search.expression().to_owned();
        let topics = search.finish();
        debug!(
            group = resolution.group,
            regex,
            topics = topics.len(),
            "resolved a regular expression"
        );
        let before = self
            .consumer(&resolution.group)
            .and_then(|group| group.regexes.get(&regex));
        resolution.changed |= before.map_or(&[][..], |before| &before.topics) != topics;
        let record = Record::ConsumerRegex {
            group: resolution.group.clone(),
            regex,
            value: Some(RegexRecord {
                topics,
                version: resolution.version,
                at: resolution.at,
            }),
        };
        self.emit(step, record);
    }

    /// Moves the group to its next epoch, if what was found out in this step is new.
    fn note_resolved(&mut self, step: &mut Step<'_>, resolution: &mut Resolution, is_done: bool) {
        let Some(Group::Consumer(group)) = self.groups.get_mut(&resolution.group) else {
            return;
        };
        group.resolving = !is_done;
        group.refresh_due = true;
        let changed = std::mem::take(&mut resolution.changed);
        self.bump_epoch(step, &resolution.group, changed);
    }
}
