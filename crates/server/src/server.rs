//! A broker as threads: started, waited for, stopped.

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};
use wiber_broker::broker_config::{Listener, NetworkOptions};
use wiber_broker::{Address, BrokerOptions, Event, Machine, OpenError};
use wiber_storage::recovery::Report;

use crate::clock::Clock;
use crate::descriptor_limit;
use crate::disk::{DataDirectory, DirectoryError};
use crate::host::Ways;
use crate::inbox::{Inbox, Sleeper};
use crate::net::{self, Clients, Door, Limits};
use crate::pool::Pool;
use crate::shard_thread::ShardThread;
use crate::threads::{self, Mail, Notice, Post};
use crate::wal_thread;

/// How long stopping in good order may take; a broker is to be gone 5 s after it was told.
const STOP_MAX: Duration = Duration::from_millis(4500);
/// Threads for disk operations other than the WAL's writes. One may wait for a long sync, one for zeros of a new extent.
const DISK_THREADS: usize = 4;
/// Threads for jobs.
const JOB_THREADS: usize = 2;

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The data directory; it is made if it is not there.
    pub data_dir: PathBuf,
    /// Listeners, and what clients may take.
    pub network: NetworkOptions,
    /// The broker's own settings.
    pub broker: BrokerOptions,
}

/// Why a server did not start. Each is one line that names the thing, the place and the remedy.
#[derive(Debug)]
pub enum StartError {
    /// The address cannot be listened on.
    Listen {
        /// The listener, as `NAME://HOST:PORT`.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// The data directory cannot be used.
    Directory(DirectoryError),
    /// What is in the data directory cannot be opened.
    Open {
        /// The data directory.
        path: PathBuf,
        /// Why not.
        error: OpenError,
    },
    /// The system has no thread, or nothing to wait for sockets or signals with.
    System(io::Error),
    /// The broker gave up before it served.
    Failed(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen { address, error } => {
                write!(f, "cannot listen on {address}: {error}")?;
                f.write_str(match error.kind() {
                    ErrorKind::AddrInUse => {
                        "; stop the process that uses the port, or name another with --listen or listeners (port 0 picks a free one)"
                    }
                    ErrorKind::PermissionDenied => {
                        "; ports below 1024 need privileges: name another with --listen"
                    }
                    ErrorKind::AddrNotAvailable => {
                        "; no interface of this machine has this address: name another with --listen"
                    }
                    _ => "; name another HOST:PORT with --listen",
                })
            }
            StartError::Directory(error) => error.fmt(f),
            StartError::Open { path, error } => write!(f, "{}: {error}", path.display()),
            StartError::System(error) => {
                write!(
                    f,
                    "the system refuses a thread or a descriptor: {error}; raise its limits (ulimit -u, ulimit -n)"
                )
            }
            StartError::Failed(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for StartError {}

/// The signals that stop a broker. Between their installation and [`Server::serve`] they wait.
pub struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn install() -> Result<Signals, StartError> {
        let runtime = Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(StartError::System)?;
        let context = runtime.enter();
        let catch = |kind| signal(kind).map_err(StartError::System);
        let terminate = catch(SignalKind::terminate())?;
        let interrupt = catch(SignalKind::interrupt())?;
        drop(context);
        Ok(Signals {
            runtime,
            terminate,
            interrupt,
        })
    }
}

/// The machines of a broker.
pub(crate) struct Machines {
    pub(crate) shards: Vec<Box<dyn Machine + Send>>,
    pub(crate) controller: Box<dyn Machine + Send>,
    pub(crate) disk: Box<dyn Machine + Send>,
}

/// A listener of a broker that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listening {
    /// Its name.
    pub name: String,
    /// The address that it was given; its port is never 0.
    pub address: SocketAddr,
}

/// A broker that runs. Dropped, it ends as if it had been killed, but for what its threads are at.
pub struct Server {
    ways: Arc<Ways>,
    listening: Vec<Listening>,
    threads: Vec<JoinHandle<()>>,
}

/// How a server ended.
enum Ending {
    Signal(&'static str),
    Failed(String),
}

impl Server {
    /// Starts a broker; it serves when this returns.
    ///
    /// # Errors
    /// As [`StartError`] says.
    pub fn start(options: ServerOptions) -> Result<Server, StartError> {
        let clock = Clock::new();
        let network = &options.network;
        let sockets = network.listeners.iter().map(|listener| {
            let socket = bind(listener, network)?;
            Ok((listener.name.clone(), socket))
        });
        let sockets = sockets.collect::<Result<Vec<_>, StartError>>()?;
        let shares = descriptor_limit::raise();
        let path = options.data_dir;
        DataDirectory::refuse_foreign(&path).map_err(StartError::Directory)?;
        let mut directory =
            DataDirectory::open(&path, shares.files_max).map_err(StartError::Directory)?;
        let mut settings = options.broker;
        settings.log_dir = directory.absolute_path();
        let broker = wiber_broker::open(&mut directory, settings, clock.now(), seed())
            .map_err(|error| StartError::Open { path, error })?;
        if broker.report.frames == 0 {
            info!("nothing to recover");
        } else {
            let Report {
                frames,
                replayed_bytes,
                partitions,
                ..
            } = broker.report;
            info!(
                frames,
                replayed_bytes, partitions, "recovered from the write-ahead log"
            );
        }
        let boxed = |shard| Box::new(shard) as Box<dyn Machine + Send>;
        let machines = Machines {
            shards: broker.shards.into_iter().map(boxed).collect(),
            controller: Box::new(broker.controller),
            disk: Box::new(broker.disk),
        };
        let mut limits = Limits::of(&options.network, shares.connections_max);
        if let Some(altered) = broker.admission {
            limits.admission = altered;
        }
        Server::run(machines, directory, sockets, clock, limits)
    }

    /// Runs machines on threads, and waits until they serve clients that come by the named sockets.
    pub(crate) fn run(
        machines: Machines,
        directory: DataDirectory,
        sockets: Vec<(String, TcpListener)>,
        clock: Clock,
        limits: Limits,
    ) -> Result<Server, StartError> {
        let listening = |(name, socket): &(String, TcpListener)| {
            Ok(Listening {
                name: name.clone(),
                address: socket.local_addr()?,
            })
        };
        let listening = sockets.iter().map(listening).collect::<io::Result<_>>();
        let sockets = sockets.into_iter().map(|(_, socket)| socket).enumerate();
        let doors = sockets.map(|(listener, socket)| Door { listener, socket });
        let doors = doors.collect();
        let ways = Arc::new(Ways {
            clock,
            post: Post::new(machines.shards.len()),
            disk: Pool::new(),
            jobs: Pool::new(),
            notices: Arc::new(Inbox::new()),
        });
        let mut server = Server {
            ways,
            listening: listening.map_err(StartError::System)?,
            threads: Vec::new(),
        };
        server
            .start_threads(machines, Arc::new(directory), doors, limits)
            .map_err(StartError::System)?;
        match server.wait_for_notice(None) {
            Some(Notice::Failed(reason)) => {
                server.detach();
                Err(StartError::Failed(reason))
            }
            _ => {
                for Listening { name, address } in &server.listening {
                    info!(%address, listener = name, "serving");
                }
                Ok(server)
            }
        }
    }

    fn start_threads(
        &mut self,
        machines: Machines,
        directory: Arc<DataDirectory>,
        doors: Vec<Door>,
        limits: Limits,
    ) -> io::Result<()> {
        let ways = &self.ways;
        let notices = &ways.notices;
        let (own, files) = (ways.clone(), directory.clone());
        let io = ways
            .disk
            .start("disk", DISK_THREADS, notices, move |task| {
                let event = Event::DiskDone {
                    token: task.token,
                    result: files.perform(task.op),
                };
                own.post.send(task.from, event);
            })?;
        self.threads.extend(io);
        let own = ways.clone();
        let jobs = ways.jobs.start("job", JOB_THREADS, notices, move |task| {
            let event = Event::JobDone {
                token: task.token,
                output: task.job.run(),
            };
            own.post.send(task.from, event);
        })?;
        self.threads.extend(jobs);
        let (own, disk) = (ways.clone(), machines.disk);
        let wal = move || wal_thread::run(&own, &directory, disk);
        self.threads
            .push(threads::spawn("wal".to_owned(), notices, wal)?);
        let names = self.listening.iter().map(|l| l.name.clone()).collect();
        let clients = Arc::new(Clients::new(limits, machines.shards.len(), names));
        let mut controller = Some((Address::Controller, machines.controller));
        let mut doors = Some(doors);
        for (shard, machine) in (0..).zip(machines.shards) {
            let own = [(Address::Shard(shard), machine)];
            let thread = ShardThread {
                shard,
                ways: ways.clone(),
                clients: clients.clone(),
                machines: own.into_iter().chain(controller.take()).collect(),
                doors: doors.take().unwrap_or_default(),
            };
            let name = format!("shard-{shard}");
            let thread = threads::spawn(name, notices, move || thread.run())?;
            self.threads.push(thread);
        }
        Ok(())
    }

    /// Where clients reach it, in the order of its listeners.
    #[must_use]
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Serves until a signal says to stop, and stops in good order.
    ///
    /// # Errors
    /// The reason, if the broker cannot go on. The process is then to end at once.
    pub fn serve(mut self, signals: Signals) -> Result<(), String> {
        match self.wait_for_ending(signals) {
            Ending::Signal(name) => {
                info!(signal = name, "stopping");
                self.shutdown()
            }
            Ending::Failed(reason) => {
                self.detach();
                Err(reason)
            }
        }
    }

    fn wait_for_ending(&self, mut signals: Signals) -> Ending {
        let notices = &self.ways.notices;
        let mut found = Vec::new();
        signals.runtime.block_on(poll_fn(|context| {
            let mut terminate = pin!(signals.terminate.recv());
            if terminate.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ending::Signal("SIGTERM"));
            }
            let mut interrupt = pin!(signals.interrupt.recv());
            if interrupt.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ending::Signal("SIGINT"));
            }
            loop {
                notices.poll(context, &mut found);
                if found.is_empty() {
                    return Poll::Pending;
                }
                for notice in found.drain(..) {
                    if let Notice::Failed(reason) = notice {
                        return Poll::Ready(Ending::Failed(reason));
                    }
                }
            }
        }))
    }

    /// Stops in good order: no more requests, everything on disk, nothing to recover. After a few seconds it gives up on that,
    /// and leaves it to the next start.
    ///
    /// # Errors
    /// The reason, if the broker could not go on.
    pub fn shutdown(self) -> Result<(), String> {
        self.shutdown_within(STOP_MAX)
    }

    fn shutdown_within(mut self, limit: Duration) -> Result<(), String> {
        let begun = Instant::now();
        for inbox in &self.ways.post.shards {
            inbox.push(Mail::StopServing);
        }
        self.ways.post.send(Address::Controller, Event::Shutdown);
        match self.wait_for_notice(Some(begun + limit)) {
            Some(Notice::Failed(reason)) => {
                self.detach();
                Err(reason)
            }
            Some(_) => {
                info!(milliseconds = begun.elapsed().as_millis() as u64, "stopped");
                Ok(())
            }
            None => {
                warn!("not everything was written in time: the next start will recover it");
                self.detach();
                Ok(())
            }
        }
    }

    /// The next notice, or none by then.
    fn wait_for_notice(&self, until: Option<Instant>) -> Option<Notice> {
        let mut found = Vec::new();
        self.ways
            .notices
            .wait(&Sleeper::of_this_thread(), until, &mut found);
        let failed = found
            .iter()
            .position(|notice| matches!(notice, Notice::Failed(_)));
        match failed {
            Some(at) => Some(found.swap_remove(at)),
            None => found.pop(),
        }
    }

    /// Leaves the threads to themselves: one of them may wait for a disk that does not answer.
    fn detach(&mut self) {
        self.end_threads();
        self.threads.clear();
    }

    fn end_threads(&self) {
        self.ways.disk.close();
        self.ways.jobs.close();
        self.ways.post.stop_all();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end_threads();
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn bind(listener: &Listener, network: &NetworkOptions) -> Result<TcpListener, StartError> {
    net::bind(listener, network).map_err(|error| StartError::Listen {
        address: listener.to_string(),
        error,
    })
}

/// A seed that no other start has: for ids, not for secrets.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
