//! Who may connect: counts of connections against their limits, and how fast they may come.
//!
//! Invariant: a connection that was admitted is counted until it is given back, once.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use wiber_broker::broker_config::{AdmissionLimits, ListenerLimits};

/// A rate counts as kept as long as no more connections came within this time than it allows.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// Why a client is refused: what there is, and the setting that allows no more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    has: String,
    key: String,
    limit: usize,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { has, key, limit } = self;
        write!(f, "{has}, and {key} is {limit}")
    }
}

/// See the module.
pub(crate) struct Admission {
    limits: AdmissionLimits,
    /// As many as there are file descriptors for.
    descriptors_max: usize,
    /// Each with its name and how many came by it.
    listeners: Vec<(String, usize)>,
    of_addresses: HashMap<IpAddr, usize>,
    total: usize,
    /// When the next connection may come: of all listeners, and of each one.
    next: Instant,
    next_of: Vec<Instant>,
}

impl Admission {
    pub(crate) fn new(
        limits: AdmissionLimits,
        descriptors_max: usize,
        listeners: Vec<String>,
    ) -> Admission {
        let now = Instant::now();
        Admission {
            limits,
            descriptors_max,
            next: now,
            next_of: vec![now; listeners.len()],
            listeners: listeners.into_iter().map(|name| (name, 0)).collect(),
            of_addresses: HashMap::new(),
            total: 0,
        }
    }

    /// Takes other limits; what is counted stays.
    pub(crate) fn set_limits(&mut self, limits: AdmissionLimits) {
        if self.limits != limits {
            // What a slower rate has put off is not waited for.
            self.next = Instant::now();
            self.next_of.fill(self.next);
            self.limits = limits;
        }
    }

    /// How long the next client of a listener is to wait.
    pub(crate) fn pause(&self, listener: usize, now: Instant) -> Option<Duration> {
        let rates = [
            (self.limits.rate_max, self.next),
            (self.of_listener(listener).rate_max, self.next_of[listener]),
        ];
        rates
            .into_iter()
            .filter_map(|(rate, next)| match rate {
                // Until it is altered.
                0 => Some(RATE_WINDOW),
                _ => next
                    .checked_duration_since(now)
                    .filter(|wait| !wait.is_zero()),
            })
            .max()
    }

    /// Counts a client that came by a listener.
    ///
    /// # Errors
    /// If it may not connect.
    pub(crate) fn admit(
        &mut self,
        listener: usize,
        address: IpAddr,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.note_rate(listener, now);
        let of_listener = self.of_listener(listener).connections_max;
        let name = &self.listeners[listener].0;
        let by_name: usize = self
            .listeners
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, count)| count)
            .sum();
        let per_address = self
            .limits
            .of_addresses
            .get(&address)
            .copied()
            .unwrap_or(self.limits.per_address_max);
        let of_address = self.of_addresses.get(&address).copied().unwrap_or(0);
        let refusal = |has, key: &str, limit| {
            let key = key.to_owned();
            Err(Refusal { has, key, limit })
        };
        if of_address >= per_address {
            let has = format!("it has {of_address} connections");
            let key = match self.limits.of_addresses.contains_key(&address) {
                true => "max.connections.per.ip.overrides of it",
                false => "max.connections.per.ip",
            };
            return refusal(has, key, per_address);
        }
        if by_name >= of_listener {
            let has = format!("listener {name} has {by_name} connections");
            let key = format!(
                "listener.name.{}.max.connections",
                name.to_ascii_lowercase()
            );
            return refusal(has, &key, of_listener);
        }
        let has = format!("there are {} connections", self.total);
        if self.total >= self.limits.connections_max {
            return refusal(has, "max.connections", self.limits.connections_max);
        }
        if self.total >= self.descriptors_max {
            let key = "what the system's file descriptors (ulimit -n) are enough for";
            return refusal(has, key, self.descriptors_max);
        }
        self.total += 1;
        self.listeners[listener].1 += 1;
        *self.of_addresses.entry(address).or_default() += 1;
        Ok(())
    }

    /// A connection that was admitted has ended.
    pub(crate) fn leave(&mut self, listener: usize, address: IpAddr) {
        self.total -= 1;
        self.listeners[listener].1 -= 1;
        if let Some(count) = self.of_addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.of_addresses.remove(&address);
            }
        }
    }

    fn of_listener(&self, listener: usize) -> ListenerLimits {
        let name = &self.listeners[listener].0;
        self.limits
            .of_listeners
            .get(name)
            .copied()
            .unwrap_or_default()
    }

    /// Each connection puts the next one off by its share of a second; what was not used within a second is lost.
    fn note_rate(&mut self, listener: usize, now: Instant) {
        let of_listener = self.of_listener(listener).rate_max;
        let rates = [
            (self.limits.rate_max, &mut self.next),
            (of_listener, &mut self.next_of[listener]),
        ];
        for (rate, next) in rates {
            let share = RATE_WINDOW / rate.max(1);
            let earliest = now.checked_sub(RATE_WINDOW).unwrap_or(now);
            *next = (*next).max(earliest) + share;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
    }

    fn two_listeners(limits: AdmissionLimits) -> Admission {
        Admission::new(limits, 100, vec!["A".to_owned(), "B".to_owned()])
    }

    #[test]
    fn each_limit_is_named_and_room_comes_back() {
        let limits = AdmissionLimits {
            connections_max: 5,
            per_address_max: 2,
            of_addresses: BTreeMap::from([(address(9), 1)]),
            of_listeners: BTreeMap::from([(
                "B".to_owned(),
                ListenerLimits {
                    connections_max: 2,
                    ..ListenerLimits::default()
                },
            )]),
            ..AdmissionLimits::default()
        };
        let mut admission = two_listeners(limits);
        let now = Instant::now();
        let mut admit = |listener, last| {
            let result = admission.admit(listener, address(last), now);
            result.map_err(|refusal| refusal.to_string())
        };
        assert_eq!(admit(0, 1), Ok(()));
        assert_eq!(admit(0, 1), Ok(()));
        let per_ip = "it has 2 connections, and max.connections.per.ip is 2".to_owned();
        assert_eq!(admit(0, 1), Err(per_ip));
        assert_eq!(admit(0, 9), Ok(()));
        assert!(admit(0, 9).is_err_and(|why| why.contains("overrides of it is 1")));
        assert_eq!(admit(1, 2), Ok(()));
        assert_eq!(admit(1, 2), Ok(()));
        let all = "there are 5 connections, and max.connections is 5".to_owned();
        assert_eq!(admit(0, 3), Err(all));
        admission.leave(0, address(1));
        let mut admit = |listener, last| {
            let result = admission.admit(listener, address(last), now);
            result.map_err(|refusal| refusal.to_string())
        };
        let listener = "listener B has 2 connections, and listener.name.b.max.connections is 2";
        assert_eq!(admit(1, 3), Err(listener.to_owned()));
        assert_eq!(admit(0, 3), Ok(()));
    }

    #[test]
    fn a_rate_is_kept_over_a_second() {
        let limits = AdmissionLimits {
            rate_max: 4,
            ..AdmissionLimits::default()
        };
        let mut admission = two_listeners(limits);
        let start = Instant::now();
        let mut now = start;
        let mut came = 0;
        while now < start + Duration::from_secs(10) {
            match admission.pause(came % 2, now) {
                Some(wait) => now += wait,
                None => {
                    admission.admit(came % 2, address(1), now).unwrap();
                    came += 1;
                }
            }
        }
        assert!((40..=45).contains(&came), "{came}");
        admission.limits.rate_max = 0;
        assert_eq!(admission.pause(0, now), Some(RATE_WINDOW));
    }

    #[test]
    fn no_rate_is_no_pause() {
        let mut admission = two_listeners(AdmissionLimits::default());
        let now = Instant::now();
        for _ in 0..90 {
            assert_eq!(admission.pause(0, now), None);
            admission.admit(0, address(1), now).unwrap();
        }
    }
}
