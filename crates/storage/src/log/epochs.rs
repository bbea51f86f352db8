//! Which leader epoch began at which offset (KIP-101, KIP-320).
//!
//! Invariant: epochs rise strictly and start offsets never fall (invariant 10).

use wiber_model::{LeaderEpoch, Offset};

/// The leader epochs of one log, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs(Vec<(LeaderEpoch, Offset)>);

/// The answer to "where did this epoch end".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch that is not above the one asked for.
    pub epoch: LeaderEpoch,
    /// The offset after its last record.
    pub end: Offset,
}

impl Epochs {
    /// The epochs in `entries`; `None` if they break the invariant.
    #[must_use]
    pub fn from_entries(entries: Vec<(LeaderEpoch, Offset)>) -> Option<Epochs> {
        let rises =
            |pair: &[(LeaderEpoch, Offset)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
        entries.windows(2).all(rises).then_some(Epochs(entries))
    }

    /// Epochs and their start offsets, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.0
    }

    /// The newest epoch, or [`LeaderEpoch::NONE`].
    #[must_use]
    pub fn latest(&self) -> LeaderEpoch {
        self.0.last().map_or(LeaderEpoch::NONE, |entry| entry.0)
    }

    /// The epoch that `offset` was, or will be, written in; [`LeaderEpoch::NONE`] if that is forgotten.
    #[must_use]
    pub fn at(&self, offset: Offset) -> LeaderEpoch {
        let after = self.0.partition_point(|entry| entry.1 <= offset);
        self.0[..after]
            .last()
            .map_or(LeaderEpoch::NONE, |entry| entry.0)
    }

    /// Notes that `epoch` begins at `start`. An epoch that is known, or older than the newest, changes nothing.
    /// Returns whether it was new.
    pub fn begin(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch <= self.latest() {
            return false;
        }
        // Epochs in which nothing was written leave no trace but the newest one.
        while self.0.last().is_some_and(|last| last.1 >= start) {
            self.0.pop();
        }
        self.0.push((epoch, start));
        true
    }

    /// Forgets what lies wholly below `start`. The epoch that `start` lies in stays, and begins there.
    pub fn cut_front(&mut self, start: Offset) {
        let below = self.0.partition_point(|entry| entry.1 <= start);
        if below > 0 {
            self.0.drain(..below - 1);
            self.0[0].1 = start;
        }
    }

    /// Where `epoch`, or the largest known one below it, ended in a log that ends at `log_end`. An epoch before all that
    /// are known ended where the first of these began; of one beyond the newest nothing is known. (As Kafka's
    /// `LeaderEpochFileCache.endOffsetFor`.)
    #[must_use]
    pub fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<EpochEnd> {
        if epoch == LeaderEpoch::NONE || epoch > self.latest() {
            return None;
        }
        let after = self.0.partition_point(|entry| entry.0 <= epoch);
        let known = self.0[..after].last().map_or(epoch, |entry| entry.0);
        let end = self.0.get(after).map_or(log_end, |next| next.1);
        Some(EpochEnd { epoch: known, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::default();
        for (epoch, start) in entries {
            epochs.begin(LeaderEpoch(*epoch), Offset(*start));
        }
        epochs
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let epochs = epochs(&[(1, 0), (3, 10), (4, 25)]);
        let end = |epoch| {
            epochs
                .end_of(LeaderEpoch(epoch), Offset(40))
                .map(|e| (e.epoch.0, e.end.0))
        };
        assert_eq!(end(0), Some((0, 0)));
        assert_eq!(end(1), Some((1, 10)));
        assert_eq!(end(2), Some((1, 10)));
        assert_eq!(end(3), Some((3, 25)));
        assert_eq!(end(4), Some((4, 40)));
        assert_eq!(end(9), None);
    }

    #[test]
    fn empty_epochs_leave_only_the_newest() {
        assert_eq!(
            epochs(&[(1, 5), (2, 5), (3, 5)]).entries(),
            &[(LeaderEpoch(3), Offset(5))]
        );
        assert_eq!(epochs(&[(2, 0), (1, 5)]).entries().len(), 1);
    }

    #[test]
    fn cutting_keeps_the_epoch_of_the_start() {
        let mut cut = epochs(&[(1, 0), (3, 10), (4, 25)]);
        cut.cut_front(Offset(12));
        assert_eq!(
            cut.entries(),
            &[(LeaderEpoch(3), Offset(12)), (LeaderEpoch(4), Offset(25))]
        );
        cut.cut_front(Offset(25));
        assert_eq!(cut.entries(), &[(LeaderEpoch(4), Offset(25))]);
    }
}
