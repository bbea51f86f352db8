//! Sockets, disk threads and timers: performs the effects of the broker's machines.

pub mod disk;
