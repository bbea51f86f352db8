//! What happened in a run, in words, for whoever looks into a failure.
//!
//! A story costs time, so a run has none unless it is asked for; as runs repeat exactly, a failed one is run again to tell it.

use std::fmt;

use wiber_model::PartitionId;

/// What a line of a story is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    /// The broker as a whole: starts, crashes, checkpoints, faults.
    Broker,
    /// One operation of the disk.
    Disk,
    /// One client.
    Client(usize),
    /// One partition.
    Partition(PartitionId),
}

#[derive(Clone, Debug)]
struct Line {
    step: u64,
    now_ns: u64,
    about: About,
    text: String,
}

/// The lines of a story.
#[derive(Clone, Debug, Default)]
pub struct Story {
    lines: Option<Vec<Line>>,
    step: u64,
    now_ns: u64,
}

impl Story {
    /// A story that is told.
    pub fn begun() -> Story {
        Story {
            lines: Some(Vec::new()),
            ..Story::default()
        }
    }

    /// Sets the step and the time of the lines that follow.
    pub fn at(&mut self, step: u64, now_ns: u64) {
        self.step = step;
        self.now_ns = now_ns;
    }

    /// Whether there is one.
    pub fn is_told(&self) -> bool {
        self.lines.is_some()
    }

    /// Adds a line, if there is a story.
    pub fn tell(&mut self, about: About, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line {
                step: self.step,
                now_ns: self.now_ns,
                about,
                text: text(),
            });
        }
    }

    /// The last `count` lines about the broker and about `about`; about everything, if that is none.
    pub fn last(&self, count: usize, about: Option<About>) -> String {
        let wanted = |line: &&Line| match about {
            None => true,
            Some(about) => line.about == About::Broker || line.about == about,
        };
        let lines: Vec<_> = self.lines.iter().flatten().filter(wanted).collect();
        let skipped = lines.len().saturating_sub(count);
        lines[skipped..]
            .iter()
            .map(|line| format!("{line}\n"))
            .collect()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.now_ns as f64 / 1e6;
        write!(
            f,
            "{:>6} {ms:>10.3} ms  {}  {}",
            self.step, self.about, self.text
        )
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            About::Broker => f.write_str("broker"),
            About::Disk => f.write_str("disk"),
            About::Client(client) => write!(f, "client {client}"),
            About::Partition(partition) => write!(f, "{partition}"),
        }
    }
}
