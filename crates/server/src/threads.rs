//! The broker's threads: how they are started, what they tell the main thread, and the mail between them.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::JoinHandle;

use wiber_broker::{Address, Event};

use crate::inbox::Inbox;
use crate::net::Origin;

/// What the main thread must know.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The broker serves.
    Ready,
    /// All is on disk.
    Stopped,
    /// The broker cannot go on.
    Failed(String),
}

/// Where the main thread gets its notices.
pub(crate) type Notices = Arc<Inbox<Notice>>;

/// Starts a named thread. If it panics, the broker fails.
///
/// # Errors
/// If the system has no more threads.
pub(crate) fn spawn(
    name: String,
    notices: &Notices,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let guard = PanicGuard {
        name: name.clone(),
        notices: notices.clone(),
    };
    std::thread::Builder::new().name(name).spawn(move || {
        run();
        drop(guard);
    })
}

struct PanicGuard {
    name: String,
    notices: Notices,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = format!("a bug: thread {} panicked", self.name);
            self.notices.push(Notice::Failed(reason));
        }
    }
}

/// What a thread that drives machines finds in its inbox.
#[derive(Debug)]
pub(crate) enum Mail {
    /// For a machine that the thread drives.
    Event {
        /// Which one.
        to: Address,
        /// What happens to it.
        event: Event,
    },
    /// For a shard's thread: a client that was accepted.
    Connection(Accepted),
    /// For a shard's thread: take no more clients and requests; what was taken is still answered.
    StopServing,
    /// End.
    Stop,
}

/// A client's connection that no shard serves yet.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) origin: Origin,
}

/// The inboxes of all threads that drive machines.
pub(crate) struct Post {
    /// One for each shard; the first one's thread drives the controller too.
    pub(crate) shards: Vec<Inbox<Mail>>,
    /// Of the thread that drives the disk.
    pub(crate) disk: Inbox<Mail>,
}

impl Post {
    pub(crate) fn new(shards: usize) -> Post {
        Post {
            shards: (0..shards).map(|_| Inbox::new()).collect(),
            disk: Inbox::new(),
        }
    }

    /// How many inboxes there are; each has a number below it.
    pub(crate) fn len(&self) -> usize {
        self.shards.len() + 1
    }

    /// The number of the inbox of the thread that drives a machine.
    pub(crate) fn number(&self, address: Address) -> usize {
        match address {
            Address::Shard(shard) => usize::from(shard),
            Address::Controller => 0,
            Address::Disk => self.shards.len(),
        }
    }

    /// An inbox by its number.
    pub(crate) fn inbox(&self, number: usize) -> &Inbox<Mail> {
        self.shards.get(number).unwrap_or(&self.disk)
    }

    /// Puts an event into the inbox of the thread that drives a machine.
    pub(crate) fn send(&self, to: Address, event: Event) {
        self.inbox(self.number(to)).push(Mail::Event { to, event });
    }

    /// Tells every thread to end.
    pub(crate) fn stop_all(&self) {
        for number in 0..self.len() {
            self.inbox(number).push(Mail::Stop);
        }
    }
}
