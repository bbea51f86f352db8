//! Threads that share a queue of tasks.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::threads::{self, Notices};

/// The queue of a number of threads.
pub(crate) struct Pool<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

struct State<T> {
    tasks: VecDeque<T>,
    /// Threads that wait on `ready`.
    idle: usize,
    closed: bool,
}

impl<T: Send + 'static> Pool<T> {
    pub(crate) fn new() -> Arc<Pool<T>> {
        Arc::new(Pool {
            state: Mutex::new(State {
                tasks: VecDeque::new(),
                idle: 0,
                closed: false,
            }),
            ready: Condvar::new(),
        })
    }

    /// Starts `count` threads that run the tasks.
    ///
    /// # Errors
    /// If the system has no more threads.
    pub(crate) fn start(
        self: &Arc<Pool<T>>,
        name: &str,
        count: usize,
        notices: &Notices,
        run: impl Fn(T) + Clone + Send + 'static,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let start = |number| {
            let (pool, run) = (self.clone(), run.clone());
            threads::spawn(format!("{name}-{number}"), notices, move || {
                while let Some(task) = pool.next() {
                    run(task);
                }
            })
        };
        (0..count).map(start).collect()
    }

    /// Adds tasks, in order.
    pub(crate) fn submit_all(&self, tasks: &mut Vec<T>) {
        if tasks.is_empty() {
            return;
        }
        let mut state = self.lock();
        let wanted = tasks.len().min(state.idle);
        state.tasks.extend(tasks.drain(..));
        drop(state);
        for _ in 0..wanted {
            self.ready.notify_one();
        }
    }

    /// Lets the threads end after the tasks that they are at; those that wait are dropped.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.tasks.clear();
        drop(state);
        self.ready.notify_all();
    }

    fn next(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.tasks.pop_front() {
                return Some(task);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self
                .ready
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
