//! The memory that requests may hold, over all connections of the broker.
//!
//! Invariants:
//! - Once the budget is spent, nothing more is read, but for one connection at a time that is in the middle of a frame: so
//!   frames that are half read cannot keep each other from being completed, and a frame of the largest size always fits.
//! - Whoever was refused is woken when there is room, or when the exception is free.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use wiber_broker::ConnectionId;

/// Whether a connection may read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// There is room.
    Room,
    /// There is none, and it may, as the only one; it is to say when that ends.
    Exception,
    /// There is none.
    Refused,
}

/// See the module.
pub(crate) struct Budget {
    limit_bytes: usize,
    held_bytes: AtomicUsize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    wakers: HashMap<ConnectionId, Waker>,
    /// The connection that may read although the budget is spent.
    exception: Option<ConnectionId>,
}

impl Budget {
    pub(crate) fn new(limit_bytes: usize) -> Budget {
        Budget {
            limit_bytes,
            held_bytes: AtomicUsize::new(0),
            waiting: Mutex::default(),
        }
    }

    /// Adds to what is held, or takes from it: what was `before` is now `after`.
    pub(crate) fn settle(&self, before: usize, after: usize) {
        if after >= before {
            self.held_bytes.fetch_add(after - before, Ordering::SeqCst);
            return;
        }
        let freed = before - after;
        let held = self.held_bytes.fetch_sub(freed, Ordering::SeqCst);
        if held >= self.limit_bytes && held - freed < self.limit_bytes {
            wake_all(self.lock());
        }
    }

    /// Whether there is room to read. If there is none, `waker` is woken when that may have changed; `in_frame` says
    /// whether the connection is in the middle of a frame.
    pub(crate) fn admit(
        &self,
        connection: ConnectionId,
        in_frame: bool,
        waker: &Waker,
    ) -> Admission {
        if self.has_room() {
            return Admission::Room;
        }
        let mut waiting = self.lock();
        if in_frame && waiting.exception.is_none_or(|holder| holder == connection) {
            waiting.exception = Some(connection);
            return Admission::Exception;
        }
        waiting.wakers.insert(connection, waker.clone());
        drop(waiting);
        // Room that was made before the waker was there woke nobody.
        match self.has_room() {
            true => Admission::Room,
            false => Admission::Refused,
        }
    }

    /// Gives the exception back, if the connection holds it.
    pub(crate) fn end_exception(&self, connection: ConnectionId) {
        let mut waiting = self.lock();
        if waiting.exception == Some(connection) {
            waiting.exception = None;
            wake_all(waiting);
        }
    }

    fn has_room(&self) -> bool {
        self.held_bytes.load(Ordering::SeqCst) < self.limit_bytes
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake_all(mut waiting: MutexGuard<'_, Waiting>) {
    let wakers = std::mem::take(&mut waiting.wakers);
    drop(waiting);
    wakers.into_values().for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Count>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn reading_stops_when_the_budget_is_spent_but_for_one_frame() {
        let budget = Budget::new(100);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let [a, b, c] = [1, 2, 3].map(ConnectionId);
        assert_eq!(budget.admit(a, false, &waker), Admission::Room);
        budget.settle(0, 99);
        assert_eq!(budget.admit(b, true, &waker), Admission::Room);
        budget.settle(0, 1);
        assert_eq!(budget.admit(a, false, &waker), Admission::Refused);
        assert_eq!(budget.admit(b, true, &waker), Admission::Exception);
        assert_eq!(budget.admit(c, true, &waker), Admission::Refused);
        assert_eq!(budget.admit(b, true, &waker), Admission::Exception);
        // Between two frames it is as any other.
        assert_eq!(budget.admit(b, false, &waker), Admission::Refused);
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        budget.end_exception(c);
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        budget.end_exception(b);
        assert_eq!(count.0.load(Ordering::SeqCst), 3);
        assert_eq!(budget.admit(c, true, &waker), Admission::Exception);
        assert_eq!(budget.admit(b, true, &waker), Admission::Refused);
        budget.settle(99, 98);
        assert_eq!(count.0.load(Ordering::SeqCst), 4);
        assert_eq!(budget.admit(b, true, &waker), Admission::Room);
    }
}
