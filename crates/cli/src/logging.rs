//! The log: lines on standard error, for people or for programs.

use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;

/// How the log looks and how much it says.
#[derive(Args, Clone, Copy)]
#[group(id = "logging")]
pub struct Arguments {
    /// How log lines look.
    #[arg(
        long,
        env = "WIBER_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: Format,
    /// The least important lines that are logged.
    #[arg(
        long,
        env = "WIBER_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    log_level: Level,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Arguments {
    /// Starts the log.
    pub fn init(self) {
        let level = match self.log_level {
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        };
        let lines = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            // A line that cannot be written must not end the broker: whoever read them may be gone.
            .log_internal_errors(false)
            .with_max_level(level);
        match self.log_format {
            Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
            Format::Json => lines.json().flatten_event(true).init(),
        }
    }

    /// Says why the command ends, in one line.
    pub fn end_with(self, reason: &str) {
        match self.log_format {
            Format::Text => {
                let _ = writeln!(std::io::stderr(), "wiber: {reason}");
            }
            Format::Json => tracing::error!("{reason}"),
        }
    }
}
