//! A few runs with every check on, also where there is no time for the thousands of `tests/simulate`.

use wiber_sim::FaultSet;
use wiber_sim::coverage::Count;
use wiber_sim::runner::{Extent, Setting, check_determinism, parse_regressions, run_seeds};

fn setting() -> Setting {
    Setting {
        faults: FaultSet::ALL,
        faults_named: None,
        groups: true,
        mutant: None,
    }
}

#[test]
fn a_few_seeds_hold() {
    let extent = Extent {
        seeds: 0..40,
        threads: 2,
        failures_max: 1,
        time_max: None,
    };
    let summary = run_seeds(&extent, &setting());
    assert!(summary.failures.is_empty(), "{:?}", summary.failures);
    assert_eq!(summary.passed, 40);
    for count in [
        Count::Kills,
        Count::PowerLosses,
        Count::Checkpoints,
        Count::RecordsVerified,
    ] {
        assert!(summary.coverage.get(count) > 0, "{count:?}");
    }
}

#[test]
fn a_run_repeats_byte_for_byte() {
    for seed in 0..4 {
        let lines = check_determinism(seed, &setting()).unwrap();
        assert!(lines > 1000, "seed {seed} has {lines} lines");
    }
}

#[test]
fn the_list_of_regressions_can_be_read() {
    let seeds = parse_regressions(include_str!("../regressions.txt")).unwrap();
    assert!(!seeds.is_empty());
    assert!(parse_regressions("7 no-such-fault").is_err());
    assert!(parse_regressions("seven").is_err());
}
