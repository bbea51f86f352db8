//! Sockets, disk threads and timers: performs the effects of the broker's machines.
//!
//! A broker's machines run on a few threads: one for each shard, with that shard's clients, the first of which drives the
//! controller too; one for the write-ahead log; a pool for other disk operations; and a pool for long work. Machines are
//! told and tell what to do; nothing here decides anything about records.
//!
//! - [`Server`] starts and stops it all.
//! - [`disk::DataDirectory`] is the data directory on real files.

mod clock;
mod descriptor_limit;
pub mod disk;
mod host;
mod inbox;
mod net;
mod pool;
mod server;
mod shard_thread;
mod threads;
mod wal_thread;

pub use server::{Listening, Server, ServerOptions, Signals, StartError};
pub use wiber_broker::{BrokerOptions, broker_config, inspect, served_apis};
