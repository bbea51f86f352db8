//! Long work on the processor, as data: a pure function that production runs on a worker and simulation inline.

use bytes::Bytes;
use wiber_model::{Batch, Offset, TimestampMs};
use wiber_storage::clean::{CleanDone, CleanJob};
use wiber_storage::validate::{Allowance, Checked, Refusal, Rules, find_by_timestamp};

/// A function and its arguments.
#[derive(Debug)]
pub enum Job {
    /// Checks the batches of one Produce, each by its topic's rules.
    Validate {
        /// The records and the rules of each partition.
        parts: Vec<(Bytes, Rules)>,
        /// The time that LogAppendTime stamps.
        now: TimestampMs,
    },
    /// Finds the first record of `timestamp` or later in a batch that may have to be decompressed.
    FindTimestamp {
        /// The batch.
        batch: Batch,
        /// The timestamp.
        timestamp: TimestampMs,
        /// The first offset of interest.
        from: Offset,
    },
    /// A step of a log's compaction.
    Clean(Box<CleanJob>),
}

/// What a [`Job`] came to.
#[derive(Debug)]
pub enum JobOutput {
    /// Of [`Job::Validate`], in the same order.
    Validated(Vec<Result<Checked, Refusal>>),
    /// Of [`Job::FindTimestamp`]: offset and timestamp of the record, none if there is none or the batch cannot be read.
    Timestamp(Option<(Offset, TimestampMs)>),
    /// Of [`Job::Clean`].
    Cleaned(Box<CleanDone>),
}

impl Job {
    /// Does the work.
    #[must_use]
    pub fn run(self) -> JobOutput {
        match self {
            Job::Validate { parts, now } => {
                let mut allowance = Allowance::default();
                let validate = |(records, rules)| allowance.validate(records, &rules, now);
                JobOutput::Validated(parts.into_iter().map(validate).collect())
            }
            Job::FindTimestamp {
                batch,
                timestamp,
                from,
            } => JobOutput::Timestamp(find_by_timestamp(&batch, timestamp, from).ok().flatten()),
            Job::Clean(job) => JobOutput::Cleaned(Box::new(job.run())),
        }
    }
}
