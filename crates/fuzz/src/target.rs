//! The targets, each with the inputs that it begins with.

mod broker;
mod directory;
mod formats;
mod messages;
mod records;

/// Something that takes bytes of any kind.
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// What it takes bytes for.
    pub what: &'static str,
    /// Takes an input. What must not be is a panic.
    pub run: fn(&[u8]),
    /// Inputs that get far, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Longer inputs reach nothing new, in bytes.
    pub input_bytes_max: usize,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "requests",
        what: "every API's request at every version",
        run: messages::run_request,
        seeds: messages::request_seeds,
        input_bytes_max: 4096,
    },
    Target {
        name: "responses",
        what: "every API's response at every version, as a client reads it",
        run: messages::run_response,
        seeds: messages::response_seeds,
        input_bytes_max: 4096,
    },
    Target {
        name: "batches",
        what: "record batches, as Produce checks them and as tools read them",
        run: records::run_batches,
        seeds: records::batch_seeds,
        input_bytes_max: 64 * 1024,
    },
    Target {
        name: "compression",
        what: "payloads of each compression",
        run: records::run_compression,
        seeds: records::compression_seeds,
        input_bytes_max: 64 * 1024,
    },
    Target {
        name: "frames",
        what: "frames of the write-ahead log",
        run: formats::run_frames,
        seeds: formats::frame_seeds,
        input_bytes_max: 16 * 1024,
    },
    Target {
        name: "checkpoints",
        what: "checkpoints, and the states of logs in them",
        run: formats::run_checkpoints,
        seeds: formats::checkpoint_seeds,
        input_bytes_max: 16 * 1024,
    },
    Target {
        name: "metadata",
        what: "the metadata's records, snapshot and frames",
        run: formats::run_metadata,
        seeds: formats::metadata_seeds,
        input_bytes_max: 16 * 1024,
    },
    Target {
        name: "directories",
        what: "data directories of a broker that was killed, with damage of any kind",
        run: directory::run,
        seeds: directory::seeds,
        input_bytes_max: 4096,
    },
    Target {
        name: "broker",
        what: "requests to a whole broker, over several connections",
        run: broker::run,
        seeds: broker::seeds,
        input_bytes_max: 64 * 1024,
    },
];
