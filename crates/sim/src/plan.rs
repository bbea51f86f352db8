//! What a seed draws for a run: sizes, speeds, clients, and which faults come when.
//!
//! Each run has some of the faults and not others, and small sizes, so that in a short run much happens often.

mod groups;

use wiber_broker::{BrokerOptions, ListenerOptions};
use wiber_model::Rng;
use wiber_storage::io::BLOCK_BYTES;
use wiber_storage::store::{CleanerOptions, StoreOptions};
use wiber_storage::wal::WalOptions;

use crate::client::TopicPlan;
use crate::client::consumer::ConsumerPlan;
use crate::client::producer::ProducerPlan;
use crate::disk::{Crash, DiskFaults, DiskSpeed};
pub use groups::GroupsPlan;

/// Makes [`Fault`] and its names of one table.
macro_rules! faults {
    ($($name:ident $text:literal $doc:literal;)*) => {
        /// A kind of fault that can be switched off.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Fault {
            $(#[doc = $doc] $name,)*
        }

        /// All faults.
        pub const FAULTS: &[Fault] = &[$(Fault::$name,)*];

        impl Fault {
            /// As the command line spells it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Fault::$name => $text,)*
                }
            }
        }
    };
}

faults! {
    Kill "kill" "The process is killed.";
    Power "power" "The machine loses power; unsynced writes are lost, torn and reordered.";
    Shutdown "shutdown" "The broker is stopped in good order.";
    FailedSync "failed-sync" "A sync fails and drops pages.";
    WriteError "write-error" "A write fails in the middle.";
    ReadError "read-error" "A read fails.";
    Flip "flip" "A bit on the disk turns over.";
    Full "full" "The disk is full.";
    Slow "slow" "An operation takes long.";
    Disconnect "disconnect" "A connection breaks.";
    Stall "stall" "A machine of the broker does not get to run.";
    Clock "clock" "The clock jumps.";
    Expiry "expiry" "Producers are forgotten soon.";
}

/// Some faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultSet(u32);

impl FaultSet {
    /// All faults.
    pub const ALL: FaultSet = FaultSet(u32::MAX);
    /// No fault.
    pub const NONE: FaultSet = FaultSet(0);

    /// Whether `fault` is one of these.
    pub fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u32) != 0
    }

    /// These and `fault`.
    #[must_use]
    pub fn with(self, fault: Fault) -> FaultSet {
        FaultSet(self.0 | 1 << fault as u32)
    }

    /// The faults in a list of names with commas; `all` and `none` are names too. An error names what is unknown.
    pub fn parse(list: &str) -> Result<FaultSet, String> {
        list.split(',')
            .filter(|name| !name.is_empty())
            .try_fold(FaultSet::NONE, |set, name| match name {
                "all" => Ok(FaultSet::ALL),
                "none" => Ok(set),
                _ => {
                    let fault = FAULTS.iter().find(|fault| fault.name() == name);
                    fault.map(|fault| set.with(*fault)).ok_or_else(|| {
                        let names: Vec<_> = FAULTS.iter().map(|fault| fault.name()).collect();
                        format!(
                            "no fault is called {name}; there are: all, none, {}",
                            names.join(", ")
                        )
                    })
                }
            })
    }
}

/// Something that happens at a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Incident {
    /// The broker ends.
    Crash(Crash),
    /// The broker is asked to stop, with its clients gone or still there.
    Shutdown {
        /// Whether clients stay connected.
        clients_stay: bool,
    },
    /// A bit flips.
    Flip,
    /// So many bytes are left on the disk.
    SpaceLeft(u64),
    /// Space is freed.
    SpaceFreed,
    /// The time of day jumps, in milliseconds.
    ClockJump(i64),
    /// A connection breaks.
    Disconnect,
    /// A machine stands still for so many nanoseconds.
    Stall(u64),
}

/// What a seed draws.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The steps until the run is wound up.
    pub steps: u64,
    /// What happens at which step, in order.
    pub incidents: Vec<(u64, Incident)>,
    /// How the disk fails.
    pub disk_faults: DiskFaults,
    /// How fast it is.
    pub disk_speed: DiskSpeed,
    /// The broker's settings, but for the number of shards.
    pub options: BrokerOptions,
    /// The most shards.
    pub shards_max: u16,
    /// Once in so many events a message between machines is late; never, if 0.
    pub late_messages: u64,
    /// The faults of this run.
    pub faults: FaultSet,
    /// The topics.
    pub topics: Vec<TopicPlan>,
    /// The producers.
    pub producers: Vec<ProducerPlan>,
    /// The consumers.
    pub consumers: Vec<ConsumerPlan>,
    /// Pause of the prober and of the admin, in microseconds.
    pub pauses_us: (u64, u64),
    /// The groups.
    pub groups: GroupsPlan,
    /// Pause of the operator, in microseconds; none if there is none.
    pub operator_pause_us: Option<u64>,
}

/// So often is a broker started on a disk that is full to the last byte.
const SIEGE_STARTS_MAX: u64 = 12;
const KIB: u64 = 1024;

impl Plan {
    /// The plan of a seed, with no other faults than those in `allowed`.
    pub fn new(rng: &mut Rng, allowed: FaultSet) -> Plan {
        let steps = match rng.below(20) {
            0..=14 => rng.range(200..700),
            15..=18 => rng.range(700..2_000),
            _ => rng.range(2_000..8_000),
        };
        let mut faults = FaultSet::NONE;
        for fault in FAULTS {
            let odds = match fault {
                Fault::Kill | Fault::Power => 2,
                Fault::Expiry => 16,
                _ => 4,
            };
            if rng.one_in(odds) && allowed.has(*fault) {
                faults = faults.with(*fault);
            }
        }
        let topics = topics(rng);
        let is_compacted =
            |(key, value): &(String, String)| key == "cleanup.policy" && value.contains("compact");
        let keyed = topics
            .iter()
            .any(|topic| topic.configs.iter().any(is_compacted));
        Plan {
            steps,
            incidents: incidents(rng, steps, faults),
            disk_faults: disk_faults(rng, faults),
            disk_speed: DiskSpeed {
                wal_write_ns: pick(rng, &[20_000, 100_000, 100_000, 1_000_000]),
                read_ns: pick(rng, &[20_000, 100_000, 1_000_000]),
                write_ns: pick(rng, &[5_000, 50_000, 500_000]),
                sync_ns: pick(rng, &[200_000, 2_000_000, 10_000_000]),
            },
            options: options(rng, faults),
            shards_max: 1 + rng.below(3) as u16,
            late_messages: pick(rng, &[0, 4, 20]),
            faults,
            producers: (0..1 + rng.below(3))
                .map(|_| producer(rng, keyed))
                .collect(),
            topics,
            consumers: (0..rng.below(3)).map(|_| consumer(rng)).collect(),
            pauses_us: (
                pick(rng, &[500, 2_000, 10_000]),
                pick(rng, &[2_000, 10_000, 50_000]),
            ),
            operator_pause_us: rng
                .one_in(2)
                .then(|| pick(rng, &[500, 2_000, 10_000, 50_000])),
            groups: GroupsPlan::default(),
        }
    }

    /// Draws whether the seed has groups, and gives them their place.
    pub fn add_groups(&mut self, seed: u64) {
        groups::add(seed, self);
    }
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize]
}

fn incidents(rng: &mut Rng, steps: u64, faults: FaultSet) -> Vec<(u64, Incident)> {
    let mut incidents = Vec::new();
    let mut add = |rng: &mut Rng, fault: Fault, most: u64, what: &dyn Fn(&mut Rng) -> Incident| {
        if faults.has(fault) {
            for _ in 0..1 + rng.below(most) {
                let at = rng.below(steps);
                let incident = what(rng);
                incidents.push((at, incident));
            }
        }
    };
    add(rng, Fault::Kill, 5, &|_| Incident::Crash(Crash::Kill));
    add(rng, Fault::Power, 5, &|_| Incident::Crash(Crash::PowerLoss));
    add(rng, Fault::Shutdown, 2, &|rng| Incident::Shutdown {
        clients_stay: rng.one_in(2),
    });
    add(rng, Fault::Flip, 3, &|_| Incident::Flip);
    add(rng, Fault::Full, 2, &|rng| {
        Incident::SpaceLeft(rng.below(128) * KIB)
    });
    add(rng, Fault::Full, 2, &|_| Incident::SpaceFreed);
    add(rng, Fault::Clock, 3, &|rng| {
        let most = pick(rng, &[20, 2_000, 1_200_000]);
        Incident::ClockJump(rng.below(2 * most) as i64 - most as i64)
    });
    add(rng, Fault::Disconnect, 8, &|_| Incident::Disconnect);
    add(rng, Fault::Stall, 8, &|rng| {
        Incident::Stall(rng.below(20_000_000))
    });
    if faults.has(Fault::Full) && rng.one_in(2) {
        // Not a byte is left, and the broker is started again and again.
        let mut at = rng.below(steps);
        incidents.push((at, Incident::SpaceLeft(0)));
        for _ in 0..rng.below(SIEGE_STARTS_MAX) {
            at += rng.range(1..200);
            incidents.push((
                at,
                Incident::Crash(pick(rng, &[Crash::Kill, Crash::PowerLoss])),
            ));
        }
    }
    incidents.sort_by_key(|(at, _)| *at);
    incidents
}

fn disk_faults(rng: &mut Rng, faults: FaultSet) -> DiskFaults {
    let mut rate = |fault, rates: &[u64]| {
        if faults.has(fault) {
            pick(rng, rates)
        } else {
            0
        }
    };
    DiskFaults {
        failed_sync: rate(Fault::FailedSync, &[20, 100, 300]),
        read_error: rate(Fault::ReadError, &[3, 20, 100]),
        write_error: rate(Fault::WriteError, &[20, 100, 300]),
        slow: rate(Fault::Slow, &[3, 20, 100]),
    }
}

fn options(rng: &mut Rng, faults: FaultSet) -> BrokerOptions {
    let extent_bytes = pick(rng, &[32, 64, 128]) * KIB;
    let wal = WalOptions {
        initial_extent_bytes: pick(rng, &[8, 16, 32]) * KIB,
        extent_bytes,
        wal_bytes_max: extent_bytes * rng.range(3..8),
        checkpoint_bytes: extent_bytes * rng.range(1..3),
        group_bytes_max: pick(rng, &[BLOCK_BYTES, 2 * BLOCK_BYTES, 8 * BLOCK_BYTES]),
        reserve_bytes: pick(rng, &[8, 16, 32]) * KIB,
    };
    let store = StoreOptions {
        dirty_bytes_max: pick(rng, &[500, 4_000, 20_000, 100_000]),
        behind_bytes: pick(rng, &[2_000, 50_000, 10_000_000]),
        tail_bytes_max: pick(rng, &[1, 2_000, 10_000, 200_000]),
        index_cache_bytes_max: pick(rng, &[16, 200, 4_000]),
    };
    let expiry = faults.has(Fault::Expiry);
    BrokerOptions {
        log_dir: "/simulated".to_owned(),
        listeners: vec![ListenerOptions {
            name: "PLAINTEXT".to_owned(),
            advertised: rng.one_in(2).then(|| ("broker.example".to_owned(), 9092)),
        }],
        num_partitions: 1 + rng.below(3) as i32,
        retention_check_interval_ms: pick(rng, &[5, 50, 500]),
        producer_id_expiration_ms: if expiry {
            pick(rng, &[20, 200])
        } else {
            86_400_000
        },
        fetch_sessions_max: pick(rng, &[1, 2, 100]),
        cleaner: CleanerOptions {
            rounds_max: pick(rng, &[1, 1, 3]),
            map_bytes_max: pick(rng, &[50, 200, 100_000]),
            buffer_bytes: pick(rng, &[0, 500, 20_000]),
            bytes_per_second: pick(rng, &[1e5, 1e7, f64::MAX]),
            backoff_ms: pick(rng, &[1, 5, 50]),
            ..CleanerOptions::default()
        },
        wal,
        store,
        ..BrokerOptions::default()
    }
}

/// The settings that topics have in a run, some from the beginning and some later.
pub const SETTINGS: &[&str] = &[
    "compression.type",
    "index.interval.bytes",
    "message.timestamp.type",
    "retention.bytes",
    "retention.ms",
    "segment.ms",
    "wiber.durability",
];

/// What a setting may be set to.
pub fn value_of(rng: &mut Rng, key: &str) -> &'static str {
    let values: &[&str] = match key {
        "compression.type" => &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
        "index.interval.bytes" => &["0", "100", "1000"],
        "message.timestamp.type" => &["LogAppendTime", "LogAppendTime", "CreateTime"],
        "retention.bytes" => &["0", "1000", "20000"],
        "retention.ms" => &["5", "50", "500"],
        "segment.ms" => &["1", "5", "20", "100"],
        _ => &["relaxed", "relaxed", "synced"],
    };
    pick(rng, values)
}

fn topics(rng: &mut Rng) -> Vec<TopicPlan> {
    let count = 1 + rng.below(3);
    let topic = |rng: &mut Rng, i: u64| {
        let mut configs = Vec::new();
        for key in SETTINGS {
            let odds = match *key {
                "segment.ms" | "index.interval.bytes" => 2,
                "wiber.durability" => 3,
                "retention.bytes" | "retention.ms" => 4,
                _ => 6,
            };
            if rng.one_in(odds) {
                configs.push(((*key).to_owned(), value_of(rng, key).to_owned()));
            }
        }
        if rng.one_in(3) {
            configs.extend(compaction(rng));
        }
        TopicPlan {
            name: format!("topic-{i}").into(),
            partitions: 1 + rng.below(3) as i32,
            configs,
            restless: rng.one_in(4),
        }
    };
    (0..count).map(|i| topic(rng, i)).collect()
}

/// The settings of a topic that is compacted; they stay.
fn compaction(rng: &mut Rng) -> Vec<(String, String)> {
    let settings: [(&str, &[&str]); 5] = [
        ("cleanup.policy", &["compact", "compact", "compact,delete"]),
        ("min.cleanable.dirty.ratio", &["0.0", "0.01", "0.5"]),
        ("delete.retention.ms", &["0", "20", "200", "86400000"]),
        ("min.compaction.lag.ms", &["0", "0", "0", "20"]),
        ("max.compaction.lag.ms", &["50", "1000", "1000000"]),
    ];
    let draw = |(key, values): (&str, &[&str])| (key.to_owned(), pick(rng, values).to_owned());
    settings.map(draw).into_iter().collect()
}

fn producer(rng: &mut Rng, keyed: bool) -> ProducerPlan {
    let idempotent = !rng.one_in(3);
    ProducerPlan {
        idempotent,
        batches: pick(rng, &[20, 200, 1000]),
        pause_us: pick(rng, &[20, 100, 1_000, 5_000]),
        records_max: pick(rng, &[1, 3, 10]),
        keyed,
        value_bytes_max: pick(rng, &[10, 100, 1_500]),
        compressed: pick(rng, &[0, 0, 0, 10]),
        time_spread_ms: pick(rng, &[0, 0, 20, 200]),
        acks: if idempotent {
            -1
        } else {
            pick(rng, &[-1, 1, 1, 0])
        },
    }
}

fn consumer(rng: &mut Rng) -> ConsumerPlan {
    ConsumerPlan {
        session: !rng.one_in(3),
        pause_us: pick(rng, &[50, 500, 5_000]),
        seeks: pick(rng, &[0, 3, 20]),
        wait_ms: pick(rng, &[0, 1, 20, 500]),
        min_bytes: pick(rng, &[0, 1, 1, 1_000]),
        max_bytes: pick(rng, &[1, 1_000, 50_000, i32::MAX]),
        partition_bytes: pick(rng, &[1, 500, 10_000, 1 << 20]),
    }
}
