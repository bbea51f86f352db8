//! The thread of the write-ahead log: drives the disk's machine, and performs its WAL writes itself.
//!
//! A write that returns is told to the machine after the appends that came meanwhile, so that the next group holds them all
//! and the log is not taken for idle.

use std::sync::Arc;

use wiber_broker::{Address, Event, Machine};
use wiber_storage::{DiskOp, DiskResult, FileId, OpToken};

use crate::disk::DataDirectory;
use crate::host::{Edge, Host, Ways};
use crate::inbox::Sleeper;
use crate::threads::Mail;

/// Runs until the mail says to stop.
pub(crate) fn run(ways: &Arc<Ways>, directory: &DataDirectory, machine: Box<dyn Machine + Send>) {
    let mut host = Host::new(ways, [(Address::Disk, machine)]);
    let mut own = OwnOps::default();
    let sleeper = Sleeper::of_this_thread();
    let mut mail = Vec::new();
    loop {
        if own.done.is_empty() && !host.has_events() {
            let until = ways.clock.instant(host.wake_at());
            ways.post.disk.wait(&sleeper, until, &mut mail);
        } else {
            ways.post.disk.take(&mut mail);
        }
        for mail in mail.drain(..) {
            match mail {
                Mail::Event { to, event } => host.push(to, event),
                Mail::Stop => return,
                Mail::Connection(_) | Mail::StopServing => {}
            }
        }
        for (token, result) in own.done.drain(..) {
            host.push(Address::Disk, Event::DiskDone { token, result });
        }
        host.step(&mut own);
        if host.has_failed() {
            return;
        }
        for (token, op) in own.waiting.drain(..) {
            own.done.push((token, directory.perform(op)));
        }
    }
}

/// The operations that the thread performs itself.
#[derive(Default)]
struct OwnOps {
    waiting: Vec<(OpToken, DiskOp)>,
    done: Vec<(OpToken, DiskResult)>,
}

impl Edge for OwnOps {
    fn take_disk_op(&mut self, op: DiskOp, token: OpToken) -> Option<DiskOp> {
        let own = match &op {
            DiskOp::WalWrite { .. } => true,
            DiskOp::Sync { files } => files.iter().all(|file| matches!(file, FileId::Wal(_))),
            _ => false,
        };
        if !own {
            return Some(op);
        }
        self.waiting.push((token, op));
        None
    }
}
