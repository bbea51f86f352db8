//! Classic groups and committed offsets, driven through the coordinator's public surface.
//!
//! What is checked here is what Kafka's own tests of its group coordinator check, in words and code of our own.

mod expiry;
mod groups;
mod harness;
mod held;
mod hostile;
mod join;
mod offsets;
mod random;
mod static_members;
mod sync;
