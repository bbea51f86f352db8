//! What clients were told of a topic's settings, and what may hold although nobody was told.
//!
//! Invariant: what a shard has of a setting is what a client was told last, or what was asked for and not answered yet, if it is ever
//! going to be. A start clears that up: what it found holds.

use std::collections::{BTreeMap, BTreeSet};

/// Settings to be changed: to a value, or to none.
pub type Edits = BTreeMap<String, Option<String>>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    told: BTreeMap<String, String>,
    /// By when they were asked for, in nanoseconds.
    open: BTreeMap<u64, Edits>,
}

impl Settings {
    /// What a topic was created with.
    pub fn new(told: &BTreeMap<String, String>) -> Settings {
        Settings {
            told: told.clone(),
            open: BTreeMap::new(),
        }
    }

    /// What clients were told last.
    pub fn told(&self) -> &BTreeMap<String, String> {
        &self.told
    }

    /// A request came in.
    pub fn asked(&mut self, at_ns: u64, edits: Edits) {
        self.open.insert(at_ns, edits);
    }

    /// It was answered: they are changed. Returns whether it was known.
    pub fn changed(&mut self, at_ns: u64) -> bool {
        let Some(edits) = self.open.remove(&at_ns) else {
            return false;
        };
        for (key, value) in edits {
            match value {
                Some(value) => self.told.insert(key, value),
                None => self.told.remove(&key),
            };
        }
        true
    }

    /// Compares with what a shard has.
    pub fn check(&self, found: &BTreeMap<String, String>) -> Result<(), String> {
        let asked = self.open.values().flat_map(BTreeMap::keys);
        let keys: BTreeSet<_> = self.told.keys().chain(found.keys()).chain(asked).collect();
        for key in keys {
            let (told, found) = (self.told.get(key), found.get(key));
            let may_be = |edits: &Edits| edits.get(key).is_some_and(|v| v.as_ref() == found);
            if told != found && !self.open.values().any(may_be) {
                return Err(format!(
                    "{key} is {found:?}, and a client was told that it is {told:?}"
                ));
            }
        }
        Ok(())
    }

    /// The broker was opened again: what it has holds, and nothing is under way.
    pub fn settle(&mut self, found: &BTreeMap<String, String>) {
        *self = Settings::new(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_holds_or_what_is_not_answered() {
        let map = |value: &str| BTreeMap::from([("k".to_owned(), value.to_owned())]);
        let mut settings = Settings::new(&map("1"));
        assert!(settings.check(&map("1")).is_ok());
        assert!(settings.check(&map("2")).is_err());
        settings.asked(7, Edits::from([("k".to_owned(), Some("2".to_owned()))]));
        assert!(settings.check(&map("1")).is_ok() && settings.check(&map("2")).is_ok());
        assert!(settings.changed(7) && !settings.changed(7));
        assert!(settings.check(&map("1")).is_err() && settings.check(&map("2")).is_ok());
        settings.asked(8, Edits::from([("k".to_owned(), None)]));
        assert!(settings.check(&BTreeMap::new()).is_ok());
        settings.settle(&BTreeMap::new());
        assert!(settings.check(&map("2")).is_err());
    }
}
