//! Whole brokers in a seeded simulation of network, disk and clock.
//!
//! A run is a broker over a disk that fails ([`disk`]), with clients that speak the wire protocol ([`client`]), driven by one seed
//! ([`world`], [`plan`]). The [`checker`] holds it to what it promised. The code that runs is the code that ships, opened the way
//! that it ships.
//!
//! Invariant: a run draws on nothing but its seed, so it repeats exactly.

pub mod checker;
pub mod client;
pub mod coverage;
pub mod disk;
pub mod exchange;
pub mod plan;
pub mod runner;
pub mod story;
pub mod trace;
pub mod world;

pub use plan::{Fault, FaultSet};
pub use world::{Outcome, run};
