//! Looks for a record by its time: what ListOffsets asks once the indexes have named the batch.

use std::ops::ControlFlow;

use wiber_model::batch::TimestampType;
use wiber_model::{Batch, Offset, TimestampMs, limit::MAX_DECOMPRESSED_BATCH_BYTES};

use super::walk::{RecordsError, Sketch, walk};

/// The first record of `batch` at or after `from` whose timestamp is at least `target`: its offset and its timestamp.
/// `from` is the log start, which may lie within a batch (KIP-107).
///
/// # Errors
/// If the records cannot be read.
pub fn find_by_timestamp(
    batch: &Batch,
    target: TimestampMs,
    from: Offset,
) -> Result<Option<(Offset, TimestampMs)>, RecordsError> {
    if batch.max_timestamp() < target || batch.last_offset() < from {
        return Ok(None);
    }
    find(batch, |offset, timestamp| {
        offset >= from && timestamp >= target
    })
}

/// The first of the records of `batch` that have its largest timestamp: its offset and that timestamp. `None` if there are no
/// records, or none with a timestamp.
///
/// # Errors
/// If the records cannot be read.
pub fn max_timestamp_record(batch: &Batch) -> Result<Option<(Offset, TimestampMs)>, RecordsError> {
    let max = batch.max_timestamp();
    if max == TimestampMs::NONE {
        return Ok(None);
    }
    find(batch, |_, timestamp| timestamp == max)
}

/// The first record that `wanted` says yes to.
fn find(
    batch: &Batch,
    wanted: impl Fn(Offset, TimestampMs) -> bool,
) -> Result<Option<(Offset, TimestampMs)>, RecordsError> {
    let (base_offset, base_timestamp) = (batch.base_offset(), batch.base_timestamp());
    let for_all =
        (batch.timestamp_type() == TimestampType::LogAppendTime).then(|| batch.max_timestamp());
    let mut found = None;
    walk(batch, MAX_DECOMPRESSED_BATCH_BYTES, |sketch: Sketch| {
        let offset = base_offset.plus(i64::from(sketch.offset_delta));
        let timestamp = for_all.unwrap_or_else(|| sketch.timestamp(base_timestamp));
        if wanted(offset, timestamp) {
            found = Some((offset, timestamp));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
