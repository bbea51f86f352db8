//! One broker as deterministic machines: shards, controller, disk.
//!
//! This crate joins the log, the metadata and the protocol, and is the only one that translates between wire and domain.
//! [`open`] brings a data directory back to life and returns the machines; [`machine`] says how they are driven.
//!
//! Invariants:
//! - Requests on one connection are answered in the order in which they came, each exactly once.
//! - A Produce is answered only when every batch of it is durable (or written, on a relaxed topic), S2 and S7.
//! - A consumer sees nothing at or beyond the high watermark, which is read once per fetch (R14).
//! - Nothing is decoded, allocated or kept that a named limit does not bound (D9).

pub mod broker_config;
mod controller;
mod disk;
mod errors;
mod group_config;
mod groups;
mod handlers;
pub mod inspect;
pub mod job;
pub mod machine;
pub mod message;
mod open;
mod options;
mod sessions;
mod shard;
mod topic_config;

pub use controller::ControllerMachine;
pub use disk::DiskMachine;
pub use handlers::served_apis;
pub use job::{Job, JobOutput};
pub use machine::{Address, ConnectionId, Effect, Event, JobToken, Machine};
pub use message::Message;
pub use open::{Broker, OpenError, open};
pub use options::{BrokerOptions, ListenerOptions};
pub use shard::Shard;
