//! The log: lines on standard error, for people or for programs.

use std::io::{IsTerminal, Write};

use tracing::level_filters::LevelFilter;

/// How the log looks and how much it says.
#[derive(Clone, Copy)]
pub struct Logging {
    /// One JSON object a line, or else for people.
    is_json: bool,
    level: LevelFilter,
}

impl Logging {
    /// By the values of `wiber.log.format` and `wiber.log.level`.
    pub fn new(format: &str, level: &str) -> Logging {
        Logging {
            is_json: format == "json",
            level: match level {
                "error" => LevelFilter::ERROR,
                "warn" => LevelFilter::WARN,
                "debug" => LevelFilter::DEBUG,
                "trace" => LevelFilter::TRACE,
                _ => LevelFilter::INFO,
            },
        }
    }

    /// Starts the log.
    pub fn init(self) {
        let lines = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            // A line that cannot be written must not end the broker: whoever read them may be gone.
            .log_internal_errors(false)
            .with_max_level(self.level);
        match self.is_json {
            false => lines.with_ansi(std::io::stderr().is_terminal()).init(),
            true => lines.json().flatten_event(true).init(),
        }
    }

    /// Says why the command ends, in one line.
    pub fn end_with(self, reason: &str) {
        match self.is_json {
            false => {
                let _ = writeln!(std::io::stderr(), "wiber: {reason}");
            }
            true => tracing::error!("{reason}"),
        }
    }
}
