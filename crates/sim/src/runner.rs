//! Runs seeds, on as many threads as there are, and mutants; tells what failed and how to see it again.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wiber_model::mutant::{self, Mutant};

use crate::checker::Violation;
use crate::coverage::Coverage;
use crate::plan::FaultSet;
use crate::story::{About, Story};
use crate::world::{self, Outcome};

/// How many lines of its story a failure prints.
const STORY_LINES: usize = 120;

/// What runs have in common.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The faults that may occur.
    pub faults: FaultSet,
    /// As the command line has them, to print.
    pub faults_named: Option<String>,
    /// Whether a part of the seeds has groups of consumers.
    pub groups: bool,
    /// The mutant that is on.
    pub mutant: Option<Mutant>,
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What went wrong.
    pub violation: Violation,
}

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    /// The seeds that held.
    pub passed: u64,
    /// Those that failed, in order.
    pub failures: Vec<Failure>,
    /// What happened how often.
    pub coverage: Coverage,
}

thread_local! {
    static PANIC: std::cell::RefCell<Option<String>> = const { std::cell::RefCell::new(None) };
}

/// Keeps what a panic says, instead of printing it: a seed that fails so is reported like any other.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|info| {
        PANIC.with(|panic| *panic.borrow_mut() = Some(info.to_string()));
    }));
}

/// Runs one seed. A panic counts as a broken promise.
pub fn run_seed(seed: u64, setting: &Setting, full_trace: bool, story: &mut Story) -> Outcome {
    mutant::activate(setting.mutant);
    let run = || world::run(seed, setting.faults, setting.groups, full_trace, story);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    mutant::activate(None);
    outcome.unwrap_or_else(|_| Outcome {
        violation: Some(Violation {
            about: About::Broker,
            what: PANIC
                .with(|panic| panic.take())
                .unwrap_or_else(|| "a panic".to_owned()),
        }),
        coverage: Coverage::default(),
        trace: crate::trace::Trace::new(false),
    })
}

/// How far to go.
#[derive(Clone, Debug)]
pub struct Extent {
    /// The seeds.
    pub seeds: Range<u64>,
    /// On so many threads.
    pub threads: usize,
    /// No seed is begun after so many have failed.
    pub failures_max: usize,
    /// Nor after so long.
    pub time_max: Option<Duration>,
}

/// Runs seeds.
pub fn run_seeds(extent: &Extent, setting: &Setting) -> Summary {
    let begun = Instant::now();
    let next = AtomicU64::new(extent.seeds.start);
    let failed = AtomicUsize::new(0);
    let goes_on = || {
        let in_time = extent.time_max.is_none_or(|most| begun.elapsed() < most);
        in_time && failed.load(Ordering::Relaxed) < extent.failures_max
    };
    let work = || {
        let mut summary = Summary::default();
        while goes_on() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= extent.seeds.end {
                break;
            }
            let outcome = run_seed(seed, setting, false, &mut Story::default());
            summary.coverage.merge(&outcome.coverage);
            match outcome.violation {
                None => summary.passed += 1,
                Some(violation) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    summary.failures.push(Failure { seed, violation });
                }
            }
        }
        summary
    };
    let mut all = Summary::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..extent.threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            match thread.join() {
                Ok(summary) => all.add(summary),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    all.failures.sort_by_key(|failure| failure.seed);
    all
}

impl Summary {
    fn add(&mut self, other: Summary) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
        self.coverage.merge(&other.coverage);
    }
}

/// The first seed at which a mutant is caught, and how.
pub fn hunt(mutant: Mutant, extent: &Extent) -> Option<Failure> {
    let setting = Setting {
        faults: FaultSet::ALL,
        faults_named: None,
        groups: true,
        mutant: Some(mutant),
    };
    let extent = Extent {
        failures_max: 1,
        ..extent.clone()
    };
    run_seeds(&extent, &setting).failures.into_iter().next()
}

/// Runs a seed twice and compares the traces byte for byte. An error shows where they part.
pub fn check_determinism(seed: u64, setting: &Setting) -> Result<usize, String> {
    let first = run_seed(seed, setting, true, &mut Story::default());
    let second = run_seed(seed, setting, true, &mut Story::default());
    let (a, b) = (first.trace.lines(), second.trace.lines());
    if let Some(at) = (0..a.len().max(b.len())).find(|at| a.get(*at) != b.get(*at)) {
        let line = |lines: &[String]| {
            lines.get(at).map_or("the end".to_owned(), |line| {
                line.chars().take(500).collect()
            })
        };
        return Err(format!(
            "seed {seed}: the traces part at line {at}:\n  {}\n  {}",
            line(a),
            line(b)
        ));
    }
    if first.trace.hash() != second.trace.hash() {
        return Err(format!("seed {seed}: equal lines and different hashes"));
    }
    Ok(a.len())
}

/// The seeds in a list of those that once failed: one a line, with the faults if they were not all, `groups` if there were some, and
/// after `#` what it showed.
///
/// # Errors
/// Names the line that cannot be read.
pub fn parse_regressions(text: &str) -> Result<Vec<(u64, Setting)>, String> {
    let mut seeds = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(seed) = words.next() else {
            continue;
        };
        let seed = seed.parse().map_err(|error| format!("{line}: {error}"))?;
        let (groups, faults): (Vec<_>, Vec<_>) = words.partition(|word| *word == "groups");
        if groups.len() > 1 || faults.len() > 1 {
            return Err(format!("{line}: a word too many"));
        }
        let faults_named = faults.first().map(|faults| (*faults).to_owned());
        let setting = Setting {
            faults: FaultSet::parse(faults_named.as_deref().unwrap_or("all"))?,
            faults_named,
            groups: !groups.is_empty(),
            mutant: None,
        };
        seeds.push((seed, setting));
    }
    Ok(seeds)
}

/// The command that runs a seed again.
pub fn command(seed: u64, setting: &Setting) -> String {
    let mut command = format!("cargo run --profile sim -p wiber-sim -- --seed {seed}");
    if let Some(faults) = &setting.faults_named {
        command.push_str(&format!(" --faults {faults}"));
    }
    if setting.groups {
        command.push_str(" --groups");
    }
    if let Some(mutant) = setting.mutant {
        command.push_str(&format!(" --mutant {mutant:?}"));
    }
    command
}

/// Runs a failed seed again, to tell its story: what led to the failure, or all.
pub fn tell(failure: &Failure, setting: &Setting, all: bool) -> String {
    let mut story = Story::begun();
    let outcome = run_seed(failure.seed, setting, false, &mut story);
    let again = outcome.violation.map(|violation| violation.what);
    let mut text = format!(
        "seed {} failed: {}: {}\n  again: {}\n",
        failure.seed,
        failure.violation.about,
        failure.violation.what,
        command(failure.seed, setting)
    );
    if again.as_deref() != Some(&failure.violation.what) {
        text.push_str(&format!("  the second run ended otherwise: {again:?}\n"));
    }
    let (lines, about) = match failure.violation.about {
        _ if all => (usize::MAX, None),
        About::Broker => (STORY_LINES, None),
        about => (STORY_LINES, Some(about)),
    };
    text.push_str(&story.last(lines, about));
    text
}
