//! The command line of the simulation.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use wiber_model::mutant::{self, Mutant};
use wiber_sim::coverage::{COUNTS, Coverage};
use wiber_sim::plan::{FAULTS, FaultSet};
use wiber_sim::runner::{self, Setting};
use wiber_sim::story::Story;

/// Runs whole brokers in a seeded simulation of network, disk and clock, and checks that they keep their promises.
#[derive(Debug, Parser)]
#[command(name = "wiber-sim")]
struct Arguments {
    /// Run this seed.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run these seeds, the second number excluded.
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Option<std::ops::Range<u64>>,
    /// Only these faults, as a list with commas; `none` and `all` are names too.
    #[arg(long, value_name = "LIST")]
    faults: Option<String>,
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
    /// Stop after so many failures.
    #[arg(long, value_name = "N", default_value_t = 5)]
    failures: usize,
    /// Print what happened how often.
    #[arg(long)]
    coverage: bool,
}

#[derive(Clone, Debug)]
struct Mutants(Vec<Mutant>);

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
    let faults = match FaultSet::parse(arguments.faults.as_deref().unwrap_or("all")) {
        Ok(faults) => faults,
        Err(error) => {
            eprintln!("wiber-sim: {error}");
            return ExitCode::from(2);
        }
    };
    runner::catch_panics();
    let setting = Setting {
        faults,
        faults_named: arguments.faults.clone(),
        mutant: None,
    };
    let seeds = match (arguments.seed, &arguments.seeds) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(seeds)) => seeds.clone(),
        (None, None) => 0..1000,
    };
    let failed = match &arguments.mutant {
        _ if arguments.check_determinism => check_determinism(seeds, &setting),
        Some(Mutants(mutants)) if arguments.seed.is_none() => hunt(mutants, seeds, &arguments),
        mutants => {
            let mutant = mutants
                .as_ref()
                .and_then(|Mutants(mutants)| mutants.first().copied());
            run(seeds, &Setting { mutant, ..setting }, &arguments)
        }
    };
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn threads(arguments: &Arguments) -> usize {
    arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Runs seeds, and tells of those that fail. Returns how many do.
fn run(seeds: std::ops::Range<u64>, setting: &Setting, arguments: &Arguments) -> usize {
    let begun = Instant::now();
    let summary = runner::run_seeds(seeds, setting, threads(arguments), arguments.failures);
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
    let runs = summary.passed + summary.failures.len() as u64;
    println!(
        "{runs} runs in {seconds:.1} s, {:.0} a second",
        runs as f64 / seconds
    );
    println!(
        "{} passed, {} failed",
        summary.passed,
        summary.failures.len()
    );
    summary.failures.len()
}

fn print_coverage(coverage: &Coverage) {
    for (count, name) in COUNTS {
        println!("{:>12}  {name}", coverage.get(*count));
    }
    println!(
        "faults: {}",
        FAULTS
            .iter()
            .map(|fault| fault.name())
            .collect::<Vec<_>>()
            .join(", ")
    );
}

fn check_determinism(seeds: std::ops::Range<u64>, setting: &Setting) -> usize {
    let (mut passed, mut failed) = (0, 0);
    for seed in seeds {
        match runner::check_determinism(seed, setting) {
            Ok(_) => passed += 1,
            Err(error) => {
                println!("{error}");
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    failed
}

/// Looks whether mutants are noticed. Returns how many are not.
fn hunt(mutants: &[Mutant], seeds: std::ops::Range<u64>, arguments: &Arguments) -> usize {
    let mut survivors = 0;
    for mutant in mutants {
        let begun = Instant::now();
        match runner::hunt(*mutant, seeds.clone(), threads(arguments)) {
            Some(failure) => {
                let seconds = begun.elapsed().as_secs_f64();
                println!(
                    "{mutant:?} is killed by seed {} in {seconds:.1} s: {}",
                    failure.seed, failure.violation.what
                );
            }
            None => {
                println!("{mutant:?} SURVIVES seeds {} to {}", seeds.start, seeds.end);
                survivors += 1;
            }
        }
    }
    println!("{} passed, {survivors} failed", mutants.len() - survivors);
    survivors
}
