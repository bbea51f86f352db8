//! `wiber-fuzz`: names the targets, writes their seeds, and runs one of them on given inputs.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use wiber_fuzz::{TARGETS, Target};

const USAGE: &str = "usage: wiber-fuzz list | seeds DIR | run TARGET FILE...";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["list"] => {
            for target in TARGETS {
                println!("{} {} {}", target.name, target.input_bytes_max, target.what);
            }
            Ok(())
        }
        ["seeds", directory] => write_seeds(Path::new(directory)),
        ["run", target, ref files @ ..] => run(target, files),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("wiber-fuzz: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn write_seeds(directory: &Path) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", directory.display());
    for target in TARGETS {
        let of_target = directory.join(target.name);
        fs::create_dir_all(&of_target).map_err(fail)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(of_target.join(format!("seed-{number}")), seed).map_err(fail)?;
        }
    }
    Ok(())
}

fn run(name: &str, files: &[&str]) -> Result<(), String> {
    let target: &Target = TARGETS
        .iter()
        .find(|target| target.name == name)
        .ok_or_else(|| format!("there is no target {name:?}; `wiber-fuzz list` names them"))?;
    for file in files {
        let input = fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        (target.run)(&input);
    }
    Ok(())
}
