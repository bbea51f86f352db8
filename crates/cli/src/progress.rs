//! How far long work is, on a line of the terminal that is written over.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line is written.
const INTERVAL: Duration = Duration::from_millis(200);

/// A line on standard error, where that is a terminal. It goes away when this is dropped.
#[derive(Debug)]
pub struct Progress {
    visible: bool,
    next: Instant,
    shown: bool,
}

impl Progress {
    /// A line that is first shown when the work has taken a moment; never, unless `wanted`.
    pub fn new(wanted: bool) -> Progress {
        Progress {
            visible: wanted && io::stderr().is_terminal(),
            next: Instant::now() + INTERVAL,
            shown: false,
        }
    }

    /// Shows `line` if it is time.
    pub fn show(&mut self, line: impl FnOnce() -> String) {
        if self.visible && self.next <= Instant::now() {
            self.next = Instant::now() + INTERVAL;
            self.shown = true;
            let _ = write!(io::stderr(), "\r{}\x1b[K", line());
        }
    }

    /// Takes the line away, so that another may be written.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
