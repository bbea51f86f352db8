//! A queue that many threads put into and one takes out of, everything at once.
//!
//! Invariant: whoever waits is woken once by the first item that comes, and not again by those that follow before it looks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

/// See the module.
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    queue: Vec<T>,
    /// Of whoever waits.
    waker: Option<Waker>,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Inbox<T> {
        Inbox {
            state: Mutex::new(State {
                queue: Vec::new(),
                waker: None,
            }),
        }
    }

    /// Puts one item in.
    pub(crate) fn push(&self, item: T) {
        let mut state = self.lock();
        state.queue.push(item);
        wake(state);
    }

    /// Puts all of `items` in, in order.
    pub(crate) fn push_all(&self, items: &mut Vec<T>) {
        if items.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.queue.append(items);
        wake(state);
    }

    /// Moves what there is to the end of `items`. Nobody is woken by what comes afterwards.
    pub(crate) fn take(&self, items: &mut Vec<T>) {
        let mut state = self.lock();
        state.waker = None;
        take_from(&mut state, items);
    }

    /// As [`take`](Inbox::take); only if there is nothing, `context` is woken when something comes.
    pub(crate) fn poll(&self, context: &Context<'_>, items: &mut Vec<T>) {
        let mut state = self.lock();
        if state.queue.is_empty() {
            match &mut state.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
        }
        take_from(&mut state, items);
    }

    /// As [`take`](Inbox::take), and waits until there is something, but no longer than until `until`. The calling thread is
    /// `sleeper`'s.
    pub(crate) fn wait(&self, sleeper: &Sleeper, until: Option<Instant>, items: &mut Vec<T>) {
        let before = items.len();
        let context = Context::from_waker(&sleeper.0);
        loop {
            self.poll(&context, items);
            if items.len() > before {
                return;
            }
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => std::thread::park(),
                Some(left) if left.is_zero() => return,
                Some(left) => std::thread::park_timeout(left),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_from<T>(state: &mut State<T>, items: &mut Vec<T>) {
    if items.is_empty() {
        // Both keep their memory.
        std::mem::swap(&mut state.queue, items);
    } else {
        items.append(&mut state.queue);
    }
}

fn wake<T>(mut state: MutexGuard<'_, State<T>>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Lets a thread wait for an [`Inbox`].
pub(crate) struct Sleeper(Waker);

impl Sleeper {
    /// Of the calling thread.
    pub(crate) fn of_this_thread() -> Sleeper {
        let thread = std::thread::current();
        Sleeper(Waker::from(Arc::new(Unpark(thread))))
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_sender_s_items_come_in_order() {
        const SENDERS: u64 = 4;
        const ITEMS: u64 = 10_000;
        let inbox = Inbox::new();
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let inbox = &inbox;
                scope.spawn(move || {
                    for n in (0..ITEMS).step_by(2) {
                        inbox.push((sender, n));
                        inbox.push_all(&mut vec![(sender, n + 1)]);
                    }
                });
            }
            let sleeper = Sleeper::of_this_thread();
            let mut next = [0; SENDERS as usize];
            while next != [ITEMS; SENDERS as usize] {
                let mut items = Vec::new();
                inbox.wait(&sleeper, None, &mut items);
                assert!(!items.is_empty());
                for (sender, n) in items {
                    assert_eq!(n, next[sender as usize]);
                    next[sender as usize] += 1;
                }
            }
        });
    }

    #[test]
    fn waiting_ends_at_its_time() {
        let inbox = Inbox::<u8>::new();
        let mut items = vec![1];
        let until = Instant::now() + Duration::from_millis(5);
        inbox.wait(&Sleeper::of_this_thread(), Some(until), &mut items);
        assert!(Instant::now() >= until);
        inbox.push(2);
        inbox.take(&mut items);
        assert_eq!(items, [1, 2]);
    }
}
