//! The trace of a run: equal for equal seeds, or something draws on what is not the seed's.

use std::fmt::Debug;

use crate::checker::hash;

/// What passes through the world, as a hash and, if wanted, in full.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace; `full` ones are byte for byte.
    pub fn new(full: bool) -> Trace {
        Trace {
            hash: 0,
            lines: full.then(Vec::new),
        }
    }

    /// Adds something, which is told in short by a number.
    pub fn add(&mut self, short: u64, whole: &dyn Debug) {
        self.hash = (self.hash ^ short)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(31);
        if let Some(lines) = &mut self.lines {
            let line = format!("{whole:?}");
            self.hash ^= hash(line.as_bytes());
            lines.push(line);
        }
    }

    /// The hash of all.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// All lines of a full trace.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
