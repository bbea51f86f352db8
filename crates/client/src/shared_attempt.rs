//! Something that several want done and that is worth doing once: one does it, and those who came meanwhile take what came of it.
//!
//! Invariant: attempts never overlap, and nobody waits for more than one attempt beside an own one. So a failure that takes its time costs
//! that time once, however many wait.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// Attempts at one thing, one after the other.
#[derive(Debug)]
pub(crate) struct SharedAttempt<T> {
    /// How many have ended.
    ended: AtomicU64,
    last: Mutex<Option<T>>,
}

impl<T: Clone> SharedAttempt<T> {
    /// Makes an attempt, or takes the outcome of one that ended while this one waited for its turn.
    ///
    /// `attempt` begins by looking whether there is still something to do: whoever had the turn before may have done it just before this
    /// was called. May be dropped: then the next one has its turn.
    pub(crate) async fn join(&self, attempt: impl Future<Output = T>) -> T {
        let before = self.ended.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        if let Some(outcome) = &*last
            && self.ended.load(Ordering::Acquire) != before
        {
            return outcome.clone();
        }
        let outcome = attempt.await;
        *last = Some(outcome.clone());
        self.ended.fetch_add(1, Ordering::Release);
        outcome
    }
}

impl<T> Default for SharedAttempt<T> {
    fn default() -> SharedAttempt<T> {
        SharedAttempt {
            ended: AtomicU64::new(0),
            last: Mutex::new(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[tokio::test]
    async fn who_comes_meanwhile_takes_the_outcome_and_who_comes_later_tries_again() {
        let shared = SharedAttempt::default();
        let made = AtomicU32::new(0);
        let attempt = || async {
            let number = made.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            number
        };
        let together = tokio::join!(
            shared.join(attempt()),
            shared.join(attempt()),
            shared.join(attempt())
        );
        assert_eq!(together, (0, 0, 0));
        assert_eq!(shared.join(attempt()).await, 1);
    }

    #[tokio::test]
    async fn an_attempt_that_is_dropped_holds_nobody_up() {
        let shared = SharedAttempt::default();
        tokio::select! {
            biased;
            _ = shared.join(std::future::pending::<u32>()) => unreachable!("it never ends"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(shared.join(async { 7 }).await, 7);
    }
}
