//! The settings as their reference has them: docs/config.md is written from it.

use super::keys::{self, Alterable, Sets};
use crate::topic_config::{Effect, KEYS};

/// A setting, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyReference {
    /// Its name.
    pub name: &'static str,
    /// What holds where it is not set; `None` if nothing does.
    pub default: Option<&'static str>,
    /// What it may be.
    pub legal: String,
    /// Whether it can be altered while the broker runs.
    pub dynamic: bool,
    /// Whether it does something; the documentation says why if it does not.
    pub served: bool,
    /// For a broker's setting that is the default of a topic's: the topic's.
    pub of_topics: Option<&'static str>,
    /// What it means.
    pub documentation: &'static str,
}

/// A broker's settings, by name.
#[must_use]
pub fn broker_keys() -> Vec<KeyReference> {
    let mut all: Vec<KeyReference> = keys::all()
        .map(|key| KeyReference {
            name: key.name,
            default: key.default,
            legal: key.kind.wanted(),
            dynamic: key.alterable != Alterable::Never,
            served: key.is_served(),
            of_topics: match key.sets {
                Sets::Topic(topic, _) => Some(topic),
                _ => None,
            },
            documentation: match key.sets {
                Sets::Nothing(why) => why,
                _ => key.documentation,
            },
        })
        .collect();
    all.sort_by_key(|key| key.name);
    all
}

/// A topic's settings, by name. All of them can be altered while the broker runs.
#[must_use]
pub fn topic_keys() -> Vec<KeyReference> {
    let mut all: Vec<KeyReference> = KEYS
        .iter()
        .map(|key| KeyReference {
            name: key.name,
            default: Some(key.default),
            legal: key.kind.wanted(),
            dynamic: true,
            served: key.effect == Effect::Served,
            of_topics: None,
            documentation: key.documentation,
        })
        .collect();
    all.sort_by_key(|key| key.name);
    all
}
