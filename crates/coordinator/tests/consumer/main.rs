//! Groups of the consumer protocol (KIP-848), driven through the coordinator's public surface.
//!
//! What is checked here is what Kafka's own tests of its group coordinator check, in words and code of our own.

#![allow(
    clippy::unwrap_used,
    reason = "what is not as it should be fails the test"
)]

mod classic;
mod convert;
mod epochs;
mod harness;
mod join;
mod mixed;
mod regex;
mod scale;
mod simulated;
mod static_members;
