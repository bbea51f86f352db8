//! The state of a classic group.

use crate::record::ClassicGroupRecord;

/// A classic group.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    generation: i32,
}

impl ClassicGroup {
    /// The group as a record has it.
    pub(crate) fn restore(record: ClassicGroupRecord) -> ClassicGroup {
        ClassicGroup {
            generation: record.generation,
        }
    }

    /// Checks the group's invariants.
    pub(crate) fn validate(&self, id: &str) {
        assert!(self.generation >= 0, "the generation of {id} counts up");
    }
}
