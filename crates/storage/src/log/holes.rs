//! The offsets of a log whose records are lost: the write-ahead log was damaged where they stood (D8).
//!
//! Invariant: holes are in order, and neither empty nor touching each other.

use wiber_model::Offset;

/// Offsets from the first to before the second, whose records are lost.
pub type Hole = (Offset, Offset);

/// The holes of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holes(Vec<Hole>);

impl Holes {
    /// These holes; `None` if they break the invariant.
    #[must_use]
    pub fn from_entries(entries: Vec<Hole>) -> Option<Holes> {
        let apart = entries.windows(2).all(|pair| pair[0].1 < pair[1].0);
        let whole = entries.iter().all(|(from, to)| from < to);
        (apart && whole).then_some(Holes(entries))
    }

    /// The holes, in order.
    #[must_use]
    pub fn entries(&self) -> &[Hole] {
        &self.0
    }

    /// The hole that `offset` is in.
    #[must_use]
    pub fn at(&self, offset: Offset) -> Option<Hole> {
        let after = self.0.partition_point(|hole| hole.0 <= offset);
        self.0[..after]
            .last()
            .filter(|hole| offset < hole.1)
            .copied()
    }

    /// The first offset at or after `offset` that is not in a hole.
    #[must_use]
    pub fn skip(&self, offset: Offset) -> Offset {
        self.at(offset).map_or(offset, |hole| hole.1)
    }

    /// Adds a hole behind all others.
    pub fn push(&mut self, from: Offset, to: Offset) {
        match self.0.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => self.0.push((from, to)),
        }
    }

    /// Forgets what lies below `start`.
    pub fn cut_front(&mut self, start: Offset) {
        self.0.retain(|hole| hole.1 > start);
        if let Some(first) = self.0.first_mut() {
            first.0 = first.0.max(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holes(entries: &[(i64, i64)]) -> Vec<Hole> {
        let hole = |&(from, to)| (Offset(from), Offset(to));
        entries.iter().map(hole).collect()
    }

    #[test]
    fn a_hole_ends_before_its_second_offset() {
        let holes = Holes::from_entries(holes(&[(3, 5), (9, 10)])).unwrap();
        let skipped: Vec<_> = (2..11).map(|at| holes.skip(Offset(at)).0).collect();
        assert_eq!(skipped, [2, 5, 5, 5, 6, 7, 8, 10, 10]);
    }

    #[test]
    fn holes_that_touch_are_one() {
        let mut lost = Holes::default();
        lost.push(Offset(3), Offset(5));
        lost.push(Offset(5), Offset(7));
        lost.push(Offset(9), Offset(10));
        assert_eq!(lost.entries(), holes(&[(3, 7), (9, 10)]));
        lost.cut_front(Offset(4));
        assert_eq!(lost.entries(), holes(&[(4, 7), (9, 10)]));
        lost.cut_front(Offset(7));
        assert_eq!(lost.entries(), holes(&[(9, 10)]));
    }

    #[test]
    fn holes_out_of_order_are_refused() {
        for bad in [&[(3, 3)][..], &[(3, 5), (5, 6)], &[(3, 5), (1, 2)]] {
            assert_eq!(Holes::from_entries(holes(bad)), None);
        }
    }
}
