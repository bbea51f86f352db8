//! Deliberate faults in the code, for the simulator to prove that its checkers see them.
//!
//! Without the feature `mutants`, [`active`] is constantly false and the compiler drops what hangs on it. With it, a
//! thread may switch one mutant on for itself.

/// A rule of durability, or of groups, that can be broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// Frames count as durable when their write is issued.
    AcknowledgeBeforeSync,
    /// A checkpoint does not sync the directories of the segments it lists.
    SkipDirectorySync,
    /// A checkpoint does not wait for the sync of the segments it lists, so the WAL is freed too early.
    FreeWalBeforeSegmentSync,
    /// Recovery takes any bad frame for a torn tail.
    TruncateAtAnyBadFrame,
    /// A duplicate is answered at once, though its original may not be durable.
    AnswerDuplicateAtOnce,
    /// A start of the broker begins no new leader epoch.
    NoNewEpochOnRestart,
    /// A checkpoint's section holds the state of when it was written, not of its cut.
    CheckpointStateOfAnotherLsn,
    /// Compaction takes the newest record of a key for an older one.
    CompactionDropsNewestValue,
    /// Compaction deletes the segments that it replaced while the newest checkpoint lists them still.
    CompactionDeletesBeforeCheckpoint,
    /// A reply about a group leaves before what the group stored is durable.
    ReplyBeforeGroupIsDurable,
    /// A classic group takes commits of older generations.
    StaleGenerationCommits,
    /// A rebalance of a classic group begins no new generation.
    RebalanceKeepsGeneration,
    /// A group of the consumer protocol takes commits from whoever was a member in whichever epoch.
    StaleEpochCommits,
    /// A group of the consumer protocol gives partitions away before their owners gave them up.
    AssignBeforeRevocation,
}

/// All mutants.
pub const ALL: [Mutant; 14] = [
    Mutant::AcknowledgeBeforeSync,
    Mutant::SkipDirectorySync,
    Mutant::FreeWalBeforeSegmentSync,
    Mutant::TruncateAtAnyBadFrame,
    Mutant::AnswerDuplicateAtOnce,
    Mutant::NoNewEpochOnRestart,
    Mutant::CheckpointStateOfAnotherLsn,
    Mutant::CompactionDropsNewestValue,
    Mutant::CompactionDeletesBeforeCheckpoint,
    Mutant::ReplyBeforeGroupIsDurable,
    Mutant::StaleGenerationCommits,
    Mutant::RebalanceKeepsGeneration,
    Mutant::StaleEpochCommits,
    Mutant::AssignBeforeRevocation,
];

#[cfg(feature = "mutants")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Switches a mutant on for this thread, or all off.
#[cfg(feature = "mutants")]
pub fn activate(mutant: Option<Mutant>) {
    ACTIVE.set(mutant);
}

/// Whether `mutant` is on.
#[cfg(feature = "mutants")]
#[must_use]
pub fn active(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(mutant)
}

/// Whether `mutant` is on: never, in this build.
#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn active(_: Mutant) -> bool {
    false
}
