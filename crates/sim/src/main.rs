//! The command line of the simulation.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use wiber_model::mutant::{self, Mutant};
use wiber_sim::coverage::{COUNTS, Coverage};
use wiber_sim::plan::FaultSet;
use wiber_sim::runner::{self, Extent, Setting};
use wiber_sim::story::Story;

/// Runs whole brokers in a seeded simulation of network, disk and clock, and checks that they keep their promises.
#[derive(Debug, Parser)]
#[command(name = "wiber-sim")]
struct Arguments {
    /// Run this seed.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run these seeds, the second number excluded.
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..1000")]
    seeds: std::ops::Range<u64>,
    /// Run the seeds in a list of those that once failed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seeds", "mutant"])]
    regressions: Option<PathBuf>,
    /// Only these faults, as a list with commas; `none` and `all` are names too.
    #[arg(long, value_name = "LIST")]
    faults: Option<String>,
    /// Have groups of consumers in a part of the seeds, too.
    #[arg(long)]
    groups: bool,
    /// Break a rule of the broker on purpose, or each in turn (`all`), and see whether that is noticed.
    #[arg(long, value_name = "NAME", value_parser = mutants)]
    mutant: Option<Mutants>,
    /// Print the whole story of the seed.
    #[arg(long, requires = "seed")]
    story: bool,
    /// Run each seed twice and compare the traces.
    #[arg(long)]
    check_determinism: bool,
    /// How many threads to run on; all processors by default.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Begin no more seeds after so many failures.
    #[arg(long, value_name = "N", default_value_t = 5)]
    failures: usize,
    /// Begin no more seeds after so many seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Print what happened how often.
    #[arg(long)]
    coverage: bool,
    /// Fail if something that can happen never did.
    #[arg(long)]
    complete: bool,
}

#[derive(Clone, Debug)]
struct Mutants(Vec<Mutant>);

/// How many checks held and how many did not.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("a range is like 1..1000")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok(number(from)?..number(to)?)
}

fn mutants(text: &str) -> Result<Mutants, String> {
    if text == "all" {
        return Ok(Mutants(mutant::ALL.to_vec()));
    }
    let found = mutant::ALL
        .iter()
        .find(|mutant| format!("{mutant:?}") == text);
    found.map(|mutant| Mutants(vec![*mutant])).ok_or_else(|| {
        let names: Vec<_> = mutant::ALL
            .iter()
            .map(|mutant| format!("{mutant:?}"))
            .collect();
        format!("there are: all, {}", names.join(", "))
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    runner::catch_panics();
    match run(&arguments) {
        Ok(tally) => {
            println!("{} passed, {} failed", tally.passed, tally.failed);
            if tally.failed == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("wiber-sim: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Tally, String> {
    let setting = Setting {
        faults: FaultSet::parse(arguments.faults.as_deref().unwrap_or("all"))?,
        faults_named: arguments.faults.clone(),
        groups: arguments.groups,
        mutant: None,
    };
    let extent = arguments.extent();
    if let Some(path) = &arguments.regressions {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        return Ok(run_regressions(&runner::parse_regressions(&text)?));
    }
    if arguments.check_determinism {
        return Ok(check_determinism(&extent, &setting));
    }
    Ok(match &arguments.mutant {
        None => run_seeds(&extent, &setting, arguments),
        Some(Mutants(mutants)) if arguments.seed.is_none() => hunt(mutants, &extent),
        Some(Mutants(mutants)) => {
            let mutant = mutants.first().copied();
            run_seeds(&extent, &Setting { mutant, ..setting }, arguments)
        }
    })
}

impl Arguments {
    fn extent(&self) -> Extent {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        Extent {
            seeds: self.seed.map_or(self.seeds.clone(), |seed| seed..seed + 1),
            threads: self.threads.unwrap_or_else(all),
            failures_max: self.failures,
            time_max: self.seconds.map(Duration::from_secs),
        }
    }
}

/// Runs seeds, and tells of those that fail.
fn run_seeds(extent: &Extent, setting: &Setting, arguments: &Arguments) -> Tally {
    let begun = Instant::now();
    let summary = runner::run_seeds(extent, setting);
    let seconds = begun.elapsed().as_secs_f64();
    for failure in &summary.failures {
        println!("{}", runner::tell(failure, setting, arguments.story));
    }
    if let Some(seed) = arguments
        .seed
        .filter(|_| arguments.story && summary.failures.is_empty())
    {
        let mut story = Story::begun();
        runner::run_seed(seed, setting, false, &mut story);
        print!("{}", story.last(usize::MAX, None));
    }
    if arguments.coverage {
        print_coverage(&summary.coverage);
    }
    let mut tally = Tally {
        passed: summary.passed,
        failed: summary.failures.len() as u64,
    };
    let runs = tally.passed + tally.failed;
    println!(
        "{runs} runs in {seconds:.1} s, {:.0} a second",
        runs as f64 / seconds
    );
    if arguments.complete {
        let missing = COUNTS
            .iter()
            .filter(|(count, _)| summary.coverage.get(*count) == 0);
        for (_, name) in missing {
            println!("never happened: {name}");
            tally.failed += 1;
        }
    }
    tally
}

fn print_coverage(coverage: &Coverage) {
    for (count, name) in COUNTS {
        println!("{:>12}  {name}", coverage.get(*count));
    }
}

fn run_regressions(seeds: &[(u64, Setting)]) -> Tally {
    let mut tally = Tally::default();
    for (seed, setting) in seeds {
        let outcome = runner::run_seed(*seed, setting, false, &mut Story::default());
        match outcome.violation {
            None => tally.passed += 1,
            Some(violation) => {
                let seed = *seed;
                println!(
                    "{}",
                    runner::tell(&runner::Failure { seed, violation }, setting, false)
                );
                tally.failed += 1;
            }
        }
    }
    tally
}

fn check_determinism(extent: &Extent, setting: &Setting) -> Tally {
    let mut tally = Tally::default();
    let mut lines = 0;
    for seed in extent.seeds.clone() {
        match runner::check_determinism(seed, setting) {
            Ok(equal) => {
                lines += equal;
                tally.passed += 1;
            }
            Err(error) => {
                println!("{error}");
                tally.failed += 1;
            }
        }
    }
    println!("{lines} lines of traces are equal");
    tally
}

/// Looks whether mutants are noticed.
fn hunt(mutants: &[Mutant], extent: &Extent) -> Tally {
    let mut tally = Tally::default();
    for mutant in mutants {
        let begun = Instant::now();
        match runner::hunt(*mutant, extent) {
            Some(failure) => {
                let seconds = begun.elapsed().as_secs_f64();
                println!(
                    "{mutant:?} is killed by seed {} in {seconds:.1} s: {}",
                    failure.seed, failure.violation.what
                );
                tally.passed += 1;
            }
            None => {
                println!("{mutant:?} SURVIVES seeds {:?}", extent.seeds);
                tally.failed += 1;
            }
        }
    }
    tally
}
