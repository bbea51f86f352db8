//! A committed offset, as a register: what may be read is decided by what was written when, whoever wrote it.

use std::ops::Range;

use wiber_model::Offset;

/// A request that came in has its effect within so long, in nanoseconds, if it has one: more than machines stand still.
const EFFECT_WITHIN_NS: u64 = 500_000_000;

/// A write.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// The request's; 0: what was seen to be.
    pub number: u64,
    /// −1 for a deletion.
    pub value: Offset,
    /// When it can have begun.
    pub from_ns: u64,
    /// When it was over, if it took place.
    pub to_ns: u64,
    /// Whether it was acknowledged; else nobody knows whether it took place.
    pub sure: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Register(Vec<Write>);

impl Default for Register {
    fn default() -> Register {
        Register(vec![Write {
            number: 0,
            value: Offset(-1),
            from_ns: 0,
            to_ns: 0,
            sure: true,
        }])
    }
}

impl Register {
    /// A request comes in that writes.
    pub fn begin(&mut self, number: u64, value: Offset, now_ns: u64) {
        self.0.push(Write {
            number,
            value,
            from_ns: now_ns,
            to_ns: now_ns + EFFECT_WITHIN_NS,
            sure: false,
        });
    }

    /// It was answered.
    pub fn end(&mut self, number: u64, accepted: bool, now_ns: u64) {
        match accepted {
            false => self.0.retain(|write| write.number != number),
            true => {
                if let Some(write) = self.0.iter_mut().find(|write| write.number == number) {
                    (write.to_ns, write.sure) = (now_ns, true);
                }
            }
        }
    }

    /// The writes that a read in this time may have seen.
    pub fn visible(&self, read: &Range<u64>) -> impl Iterator<Item = &Write> {
        let before = self
            .0
            .iter()
            .filter(|write| write.sure && write.to_ns < read.start);
        let newest = before.map(|write| write.from_ns).max().unwrap_or(0);
        let end = read.end;
        self.0
            .iter()
            .filter(move |write| write.from_ns <= end && write.to_ns >= newest)
    }

    /// Something was read. From here on it counts as acknowledged.
    pub fn read(&mut self, read: &Range<u64>, value: Offset) -> bool {
        let seen: Vec<_> = self
            .visible(read)
            .filter(|write| write.value == value)
            .copied()
            .collect();
        let Some(from_ns) = seen.iter().map(|write| write.from_ns).min() else {
            return false;
        };
        if seen.iter().all(|write| !write.sure) {
            self.0.push(Write {
                number: 0,
                value,
                from_ns,
                to_ns: read.end,
                sure: true,
            });
        }
        true
    }

    /// What was written is gone since, at the earliest at `from_ns`, as nobody used it for long.
    pub fn expired(&mut self, from_ns: u64, to_ns: u64) {
        self.0.push(Write {
            number: 0,
            value: Offset(-1),
            from_ns,
            to_ns,
            sure: true,
        });
    }

    /// The broker is gone: what was on its way has had its effect by now, or never has one.
    pub fn crashed(&mut self, now_ns: u64) {
        for write in &mut self.0 {
            write.to_ns = write.to_ns.min(now_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_sees_the_newest_write_or_one_that_is_under_way() {
        let mut register = Register::default();
        assert!(register.read(&(1..2), Offset(-1)));
        register.begin(1, Offset(10), 10);
        assert!(
            register.read(&(11..12), Offset(-1)),
            "it is not acknowledged"
        );
        register.end(1, true, 20);
        assert!(!register.read(&(21..22), Offset(-1)));
        assert!(register.read(&(15..22), Offset(-1)), "it was under way");
        register.begin(2, Offset(20), 30);
        assert!(register.read(&(31..32), Offset(20)));
        assert!(
            !register.read(&(33..34), Offset(10)),
            "what was read stays, acknowledged or not"
        );
        register.begin(3, Offset(30), 40);
        register.end(3, false, 41);
        assert!(!register.read(&(50..51), Offset(30)), "it was refused");
    }
}
