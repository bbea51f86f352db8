//! `wiber log`: looks at a data directory, also while a broker uses it.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use wiber_server::disk::DataDirectory;
use wiber_server::inspect::{self, Depth, Found, Summary};

use crate::failure::{Failure, after_printing, exit_code};
use crate::output::{self, Format};
use crate::progress::Progress;

/// Looks at a data directory, also while a broker uses it. Changes nothing.
#[derive(Subcommand)]
pub enum Command {
    /// Prints what is in it: the checkpoint, the write-ahead log behind it, the logs and their segments.
    Inspect {
        #[command(flatten)]
        place: Place,
        /// Prints each batch of each segment too.
        #[arg(long)]
        batches: bool,
        /// How to print.
        #[arg(short, long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Reads all of it and checks every checksum, offset and index entry. Exit code 1 if something is wrong.
    Verify {
        #[command(flatten)]
        place: Place,
        /// How to print.
        #[arg(short, long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
}

/// Which directory.
#[derive(Args)]
pub struct Place {
    /// The data directory.
    #[arg(
        long,
        env = "WIBER_DATA_DIR",
        value_name = "DIR",
        default_value = "./wiber-data"
    )]
    data_dir: PathBuf,
}

/// Runs the command.
pub fn run(command: &Command) -> ExitCode {
    if let Err(failure) = output::open() {
        return exit_code(Err(failure));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let (result, written) = match command {
        Command::Inspect {
            place,
            batches,
            output,
        } => {
            let depth = if *batches {
                Depth::Batches
            } else {
                Depth::Outline
            };
            let summary = look(place, depth, |found| print(&mut out, found, *output));
            (summary, Ok(()))
        }
        Command::Verify { place, output } => {
            let mut progress = Progress::new(true);
            let mut bytes = 0;
            let summary = look(place, Depth::Batches, |found| {
                if let Found::Batch { batch, .. } = found {
                    bytes += batch.size_bytes();
                    progress.show(|| format!("{:.1} MB read", bytes as f64 / 1e6));
                }
                if matches!(found, Found::Problem(_)) {
                    print(&mut out, found, *output)
                } else {
                    Ok(())
                }
            });
            let summarized = match &summary {
                Ok(summary) => summarize(&mut out, summary, *output),
                Err(_) => Ok(()),
            };
            (summary, summarized)
        }
    };
    let printed = written.and_then(|()| out.flush()).map_err(Failure::from);
    let outcome = match result {
        Ok(summary) if summary.problems.is_empty() => Ok(()),
        Ok(_) => Err(Failure::Told),
        Err(reason) => Err(Failure::Failed(reason)),
    };
    exit_code(after_printing(outcome, printed))
}

/// Inspects a directory. What cannot be printed ends the printing and not the inspection.
fn look(
    place: &Place,
    depth: Depth,
    mut tell: impl FnMut(&Found<'_>) -> io::Result<()>,
) -> Result<Summary, String> {
    let path = place.data_dir.display();
    let mut disk =
        DataDirectory::open_read_only(&place.data_dir).map_err(|error| error.to_string())?;
    let mut printed = Ok(());
    let summary = inspect::inspect(&mut disk, depth, &mut |found| {
        if printed.is_ok() {
            printed = tell(&found);
        }
    });
    summary.map_err(|error| format!("{path}: {error}"))
}

fn print(out: &mut impl Write, found: &Found<'_>, output: Format) -> io::Result<()> {
    match output {
        Format::Text => writeln!(out, "{}", text(found)),
        Format::Json => writeln!(out, "{}", as_json(found)),
    }
}

fn text(found: &Found<'_>) -> String {
    match found {
        Found::Identity(identity) => format!(
            "cluster {}, node {}, directory {}",
            identity.cluster_id, identity.node_id, identity.directory
        ),
        Found::Checkpoint(checkpoint) => format!(
            "checkpoint {}: the write-ahead log goes on in extent {} at byte {}, LSN {}",
            checkpoint.id,
            checkpoint.position.extent,
            checkpoint.position.at,
            checkpoint.position.lsn
        ),
        Found::Group { extent, at, header } => match header {
            Some(header) => format!(
                "wal extent {extent} byte {at}: group {} of {} frames from LSN {}, {} bytes",
                header.number,
                header.frame_count,
                header.first_lsn,
                header.group_bytes()
            ),
            None => format!("wal extent {extent} byte {at}: a group whose header cannot be read"),
        },
        Found::Frame {
            lsn,
            participant,
            frame,
        } => format!("  LSN {lsn} of {participant}: {}", frame_text(frame)),
        Found::Log { topic, state } => format!(
            "log {}: offsets {} to {}, leader epoch {}, {} segments, {} producers{}",
            inspect::partition_name(*topic, state.id),
            state.start,
            state.end,
            state.epochs.latest(),
            state.segments.len(),
            state.producers.len(),
            state
                .damage
                .as_deref()
                .map(|why| format!(", takes no more: {why}"))
                .unwrap_or_default()
        ),
        Found::Segment(segment) => format!(
            "  segment {}.{}: up to offset {}, {} bytes, index {} bytes, largest timestamp {}",
            segment.id.base,
            segment.id.generation,
            segment.next_offset,
            segment.bytes,
            segment.index_bytes,
            segment.max_timestamp.0
        ),
        Found::Batch { position, batch } => format!("    byte {position}: {batch:?}"),
        Found::Gap { position, gap } => format!(
            "    byte {position}: compacted away, offsets {} to before {}",
            gap.from, gap.to
        ),
        Found::Problem(problem) => format!(
            "PROBLEM {} at byte {}: {}",
            problem.file, problem.position, problem.what
        ),
    }
}

fn frame_text(frame: &inspect::Frame) -> String {
    use inspect::Frame;
    match frame {
        Frame::Batch { partition, batch } => format!("batch for {partition}: {batch:?}"),
        Frame::Epochs(starts) => format!("leader epochs of {} partitions begin", starts.len()),
        Frame::LogStart { partition, start } => format!("{partition} starts at offset {start}"),
        Frame::Metadata(bytes) => format!("metadata, {} bytes", bytes.len()),
    }
}

fn as_json(found: &Found<'_>) -> Value {
    match found {
        Found::Identity(identity) => json!({
            "found": "identity", "cluster_id": identity.cluster_id, "node_id": identity.node_id.0,
            "directory": identity.directory.to_string(),
        }),
        Found::Checkpoint(checkpoint) => json!({
            "found": "checkpoint", "id": checkpoint.id, "extent": checkpoint.position.extent,
            "byte": checkpoint.position.at, "lsn": checkpoint.position.lsn.0,
        }),
        Found::Group { extent, at, header } => json!({
            "found": "group", "extent": extent, "byte": at, "number": header.map(|h| h.number),
            "first_lsn": header.map(|h| h.first_lsn.0), "frames": header.map(|h| h.frame_count),
        }),
        Found::Frame {
            lsn,
            participant,
            frame,
        } => json!({
            "found": "frame", "lsn": lsn.0, "participant": participant.to_string(), "frame": frame_text(frame),
        }),
        Found::Log { topic, state } => json!({
            "found": "log", "topic": topic, "topic_id": state.id.topic.to_string(), "partition": state.id.partition,
            "start": state.start.0, "end": state.end.0, "leader_epoch": state.epochs.latest().0,
            "segments": state.segments.len(), "producers": state.producers.len(), "damage": state.damage,
            "compacted_to": state.cleaned_end.0,
            "holes": state.holes.entries().iter().map(|(from, to)| [from.0, to.0]).collect::<Vec<_>>(),
        }),
        Found::Segment(segment) => json!({
            "found": "segment", "base": segment.id.base.0, "generation": segment.id.generation,
            "next_offset": segment.next_offset.0, "bytes": segment.bytes, "index_bytes": segment.index_bytes,
            "max_timestamp_ms": segment.max_timestamp.0,
        }),
        Found::Batch { position, batch } => json!({
            "found": "batch", "byte": position, "base_offset": batch.base_offset().0, "last_offset": batch.last_offset().0,
            "leader_epoch": batch.leader_epoch().0, "records": batch.record_count(), "bytes": batch.size_bytes(),
            "producer_id": batch.producer_id().0, "producer_epoch": batch.producer_epoch().0,
            "base_sequence": batch.base_sequence().0, "max_timestamp_ms": batch.max_timestamp().0,
        }),
        Found::Gap { position, gap } => json!({
            "found": "gap", "byte": position, "from": gap.from.0, "to": gap.to.0,
        }),
        Found::Problem(problem) => json!({
            "found": "problem", "file": problem.file, "byte": problem.position, "what": problem.what,
        }),
    }
}

fn summarize(out: &mut impl Write, summary: &Summary, output: Format) -> io::Result<()> {
    match output {
        Format::Text => writeln!(
            out,
            "{} logs, {} segments, {} batches, {:.1} MB read; {} groups with {} frames in the write-ahead log; {}",
            summary.logs,
            summary.segments,
            summary.batches,
            summary.bytes_read as f64 / 1e6,
            summary.groups,
            summary.frames,
            match summary.problems.len() {
                0 => "all is well".to_owned(),
                1 => "1 problem".to_owned(),
                problems => format!("{problems} problems"),
            }
        ),
        Format::Json => {
            let value = json!({
                "found": "summary", "logs": summary.logs, "segments": summary.segments, "batches": summary.batches,
                "bytes_read": summary.bytes_read, "groups": summary.groups, "frames": summary.frames,
                "problems": summary.problems.len(),
            });
            writeln!(out, "{value}")
        }
    }
}
