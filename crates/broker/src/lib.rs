//! One broker as deterministic machines: shards, controller, disk.
