//! `wiber config check`: what a broker would make of its settings.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use wiber_server::broker_config::{NodeConfig, Origin};

use crate::failure::{exit_code, say};
use crate::output::{self, Format};
use crate::settings::Sources;

/// What stands for a value that is not shown.
const HIDDEN: &str = "(hidden)";

/// Checks the settings that `wiber serve` would start with, and shows them: what is set, and where.
///
/// It reads the same file, variables and flags, and starts nothing. Exit code 1 if something is wrong.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    sources: Sources,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Checks and prints.
pub fn run(arguments: &Arguments) -> ExitCode {
    let found = arguments.sources.read();
    for problem in found.as_ref().err().into_iter().flatten() {
        say(problem);
    }
    if let Err(failure) = output::open() {
        return exit_code(Err(failure));
    }
    let printed = match arguments.output {
        Format::Text => print(&found),
        Format::Json => writeln!(io::stdout(), "{}", as_json(&found)),
    };
    match (found, printed) {
        // Whoever read the output has seen enough.
        (Ok(_), Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(&format!("cannot write the output: {error}"));
            ExitCode::FAILURE
        }
        (Ok(_), _) => ExitCode::SUCCESS,
        (Err(_), _) => ExitCode::FAILURE,
    }
}

fn print(found: &Result<NodeConfig, Vec<String>>) -> io::Result<()> {
    let config = match found {
        Ok(config) => config,
        // They were said already.
        Err(_) => return Ok(()),
    };
    let mut out = io::stdout();
    let set: Vec<String> = config
        .set
        .iter()
        .map(|(name, value, _)| format!("{name} = {}", value.as_deref().unwrap_or(HIDDEN)))
        .collect();
    let width = set.iter().map(String::len).max().unwrap_or(0);
    for (line, (_, _, origin)) in set.iter().zip(&config.set) {
        writeln!(out, "{line:width$}  # {origin}")?;
    }
    for warning in &config.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    match set.len() {
        0 => writeln!(out, "Nothing is set: everything has its default."),
        _ => writeln!(
            out,
            "The settings are good. What is not set has its default."
        ),
    }
}

fn as_json(found: &Result<NodeConfig, Vec<String>>) -> Value {
    let config = match found {
        Ok(config) => config,
        Err(errors) => return json!({ "valid": false, "errors": errors }),
    };
    let set = config.set.iter().map(|(name, value, origin)| {
        let mut setting = json!({ "name": name, "value": value });
        let more = match origin {
            Origin::File { path, line } => json!({ "source": "file", "file": path, "line": line }),
            Origin::Variable(name) => json!({ "source": "variable", "variable": name }),
            Origin::Flag(name) => json!({ "source": "flag", "flag": name }),
        };
        if let (Value::Object(setting), Value::Object(more)) = (&mut setting, more) {
            setting.extend(more);
        }
        setting
    });
    let set: Vec<Value> = set.collect();
    json!({ "valid": true, "settings": set, "warnings": config.warnings })
}
