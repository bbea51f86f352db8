//! Bytes of any kind into every decoder, into data directories and into a whole broker.
//!
//! A [`Target`] takes bytes and must come back: no panic, no run-away memory or time, and where it checks a property, that
//! holds. `tests/fuzz` looks for inputs that reach new code (libFuzzer); the tests of this crate replay what was found before, in
//! `corpus/TARGET/`, and the targets' seeds with random changes.
//!
//! Invariant: a target draws on nothing but its input, so that what fails fails again.

mod broker_in_memory;
mod memory_disk;
mod target;

pub use target::{TARGETS, Target};
