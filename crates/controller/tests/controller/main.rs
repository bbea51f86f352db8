//! The controller against a write-ahead log that may lose what was not durable.

#![allow(clippy::unwrap_used)]

mod commands;
mod crashes;
mod formats;
mod hostile;
mod node;
mod scale;
