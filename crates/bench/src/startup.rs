//! From the start of a broker's process to its first answers.
//!
//! The clock starts just before the process is made, so that all that a user waits for is in it. A connection is tried
//! again and again without a pause worth mentioning; then one request follows the other as a client's would.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::Serialize;

use crate::client::{Client, ms, retry};
use crate::error::BenchError;
use crate::groups::check_offsets;
use crate::load::wall_clock;

/// How long a broker may take to stop before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks whether it has stopped.
const STOP_PAUSE: Duration = Duration::from_millis(1);
/// Between two attempts to connect.
const CONNECT_PAUSE: Duration = Duration::from_micros(50);

/// A broker to start.
pub struct Launch {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it will listen.
    pub broker: SocketAddr,
    /// The topic to use.
    pub topic: String,
    /// The core to pin it to.
    pub broker_cpu: Option<usize>,
    /// Where its output goes.
    pub log: Option<PathBuf>,
    /// How long all of it may take.
    pub deadline: Duration,
}

/// What to ask of it.
pub enum Probe {
    /// To acknowledge a record, in a topic that is created if need be.
    Produce,
    /// To give the last of the records that it had before.
    Fetch {
        /// How many there must be.
        expect_records: i64,
    },
    /// To give what many groups have committed: all that [`crate::groups::CommitGroups`] left.
    Offsets {
        /// How many groups.
        groups: usize,
        /// For how many partitions each.
        partitions: i32,
    },
}

/// Milliseconds since the start of the process.
#[derive(Serialize, Debug)]
pub struct Times {
    /// It accepted a connection.
    pub connected_ms: f64,
    /// It answered ApiVersions.
    pub ready_ms: f64,
    /// It acknowledged the record, or gave it.
    pub first_ms: f64,
}

/// The process, killed when it is dropped.
struct Broker(Child);

impl Launch {
    /// Starts the broker, asks it, ends it.
    pub fn measure(&self, probe: &Probe) -> Result<Times, BenchError> {
        let begun = Instant::now();
        let mut broker = self.spawn()?;
        let mut client = self.connect(&mut broker, begun)?;
        let connected_ms = ms(begun.elapsed());
        client.api_versions()?;
        let ready_ms = ms(begun.elapsed());
        self.ask(&mut client, probe)?;
        let first_ms = ms(begun.elapsed());
        broker.stop()?;
        Ok(Times {
            connected_ms,
            ready_ms,
            first_ms,
        })
    }

    fn spawn(&self) -> Result<Broker, BenchError> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| BenchError::Spawn(ErrorKind::InvalidInput.into()))?;
        let (output, errors) = match &self.log {
            Some(path) => {
                let file = File::options().create(true).append(true).open(path)?;
                (file.try_clone()?.into(), file.into())
            }
            None => (Stdio::null(), Stdio::null()),
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let pinned = self.broker_cpu.map(|cpu| {
            let mut cpus = CpuSet::new();
            cpus.set(cpu);
            cpus
        });
        // SAFETY: between fork and exec only system calls are made, which is allowed there.
        unsafe {
            command.pre_exec(move || {
                // Should this process be killed, its broker goes too.
                set_parent_process_death_signal(Some(Signal::KILL))?;
                if let Some(cpus) = &pinned {
                    sched_setaffinity(None, cpus)?;
                }
                Ok(())
            });
        }
        command.spawn().map(Broker).map_err(BenchError::Spawn)
    }

    fn connect(&self, broker: &mut Broker, begun: Instant) -> Result<Client, BenchError> {
        loop {
            match Client::connect(self.broker) {
                Ok(client) => return Ok(client),
                Err(error) if begun.elapsed() > self.deadline => return Err(error),
                Err(_) => {}
            }
            if let Some(status) = broker.0.try_wait()? {
                return Err(BenchError::Exited(status));
            }
            std::thread::sleep(CONNECT_PAUSE);
        }
    }

    fn ask(&self, client: &mut Client, probe: &Probe) -> Result<(), BenchError> {
        let topic = &self.topic;
        match probe {
            Probe::Produce => {
                let names = [topic.clone()];
                retry("a leader for the topic", self.deadline, || {
                    client.check_leaders(&names, 1)
                })?;
                retry("the first acknowledgement", self.deadline, || {
                    client.produce_one(topic, wall_clock())
                })
            }
            Probe::Offsets { groups, partitions } => {
                retry("the offsets of all groups", self.deadline, || {
                    check_offsets(client, topic, *groups, *partitions)
                })
            }
            Probe::Fetch { expect_records } => {
                let found = retry("the end of the log", self.deadline, || {
                    client.end_offset(topic)
                })?;
                if found < *expect_records {
                    return Err(BenchError::Lost {
                        expected: *expect_records,
                        found,
                    });
                }
                retry("the last record", self.deadline, || {
                    client.fetch(topic, found - 1).map(drop)
                })
            }
        }
    }
}

impl Broker {
    /// Asks it to stop, as an operator does, so that the next start finds what a start usually finds.
    fn stop(mut self) -> Result<(), BenchError> {
        kill_process(Pid::from_child(&self.0), Signal::TERM).map_err(io::Error::from)?;
        let begun = Instant::now();
        while self.0.try_wait()?.is_none() {
            if begun.elapsed() > STOP_DEADLINE {
                return Err(BenchError::Deadline {
                    what: "the broker's stop",
                    deadline: STOP_DEADLINE,
                });
            }
            std::thread::sleep(STOP_PAUSE);
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Either fails only if the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
