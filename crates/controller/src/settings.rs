//! Changes of the settings of topics (KIP-339), of brokers (KIP-226) and of groups (KIP-848).
//!
//! Which settings there are is not known here: who makes the controller says what is legal for a topic; what a broker or a group may have,
//! the broker has checked that asks. A change is carried out on what its owner has when the command is planned, so that two changes that are under way
//! both count.

use std::collections::{BTreeMap, BTreeSet};

use wiber_model::{BrokerId, TopicId};

use crate::command::{
    CommandError, CommandResult, LimitError, MAX_CONFIG_BYTES_PER_TOPIC, MAX_GROUPS_WITH_CONFIGS,
};
use crate::image::ClusterImage;
use crate::plan::Plan;
use crate::record::MetadataRecord;

/// Says whether a topic may have these settings; if not, why, in words.
pub type ConfigCheck = fn(&BTreeMap<String, String>) -> Result<(), String>;

/// Whose settings they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ConfigOwner {
    /// A topic's.
    Topic(TopicId),
    /// One broker's.
    Broker(BrokerId),
    /// Those of every broker that has none of its own.
    AllBrokers,
    /// A group's, by its id; whether there is such a group does not matter.
    Group(String),
}

/// What is to become of somebody's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigChange {
    /// These take the place of all that it has.
    Replace(BTreeMap<String, String>),
    /// These are changed, the others stay.
    Edit(BTreeMap<String, ConfigEdit>),
}

/// What is to become of one setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigEdit {
    /// It gets this value.
    Set(String),
    /// It is not set any more, and the default holds.
    Delete,
    /// These elements join a list, unless they are in it.
    Append {
        /// The elements, with commas between them.
        elements: String,
        /// The list where there is none.
        default: String,
    },
    /// These elements leave a list, if they are in it.
    Subtract {
        /// The elements, with commas between them.
        elements: String,
        /// The list where there is none.
        default: String,
    },
}

impl ConfigChange {
    /// What the change makes of `configs`.
    #[must_use]
    pub fn apply(&self, configs: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let edits = match self {
            ConfigChange::Replace(configs) => return configs.clone(),
            ConfigChange::Edit(edits) => edits,
        };
        let mut configs = configs.clone();
        for (key, edit) in edits {
            let value = match edit {
                ConfigEdit::Set(value) => value.clone(),
                ConfigEdit::Delete => {
                    configs.remove(key);
                    continue;
                }
                ConfigEdit::Append { elements, default } => {
                    let mut list = split(configs.get(key).unwrap_or(default));
                    let mut seen: BTreeSet<_> = list.iter().copied().collect();
                    list.extend(split(elements).into_iter().filter(|e| seen.insert(e)));
                    list.join(",")
                }
                ConfigEdit::Subtract { elements, default } => {
                    let gone: BTreeSet<_> = split(elements).into_iter().collect();
                    let mut list = split(configs.get(key).unwrap_or(default));
                    list.retain(|element| !gone.contains(element));
                    list.join(",")
                }
            };
            configs.insert(key.clone(), value);
        }
        configs
    }
}

/// The elements of a list.
fn split(list: &str) -> Vec<&str> {
    let elements = list.split(',').map(str::trim);
    elements.filter(|element| !element.is_empty()).collect()
}

/// Plans changes, each on its own. Settings of whoever is named again are changed once.
pub(crate) fn plan(
    image: &ClusterImage,
    changes: Vec<(ConfigOwner, ConfigChange)>,
    validate_only: bool,
    check: ConfigCheck,
) -> Plan {
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(changes.len());
    let mut changed = BTreeSet::new();
    for (owner, change) in changes {
        if !changed.insert(owner.clone()) {
            continue;
        }
        let result = altered(image, &owner, &change, check).map(|record| records.extend(record));
        results.push((owner, result));
    }
    if validate_only {
        records.clear();
    }
    Plan {
        records,
        result: CommandResult::ConfigsAltered(results),
    }
}

/// The record of a change, if it changes anything.
fn altered(
    image: &ClusterImage,
    owner: &ConfigOwner,
    change: &ConfigChange,
    check: ConfigCheck,
) -> Result<Option<MetadataRecord>, CommandError> {
    let before = match owner {
        ConfigOwner::Topic(id) => {
            let topic = image.topic_by_id(*id);
            &topic.ok_or(CommandError::UnknownTopic(*id))?.configs
        }
        ConfigOwner::Broker(id) => image.broker_configs(Some(*id)),
        ConfigOwner::AllBrokers => image.broker_configs(None),
        ConfigOwner::Group(group) => image.group_configs(group),
    };
    let configs = change.apply(before);
    if let ConfigOwner::Topic(_) = owner {
        check(&configs).map_err(CommandError::InvalidConfig)?;
    }
    let bytes = configs
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if bytes > MAX_CONFIG_BYTES_PER_TOPIC {
        return Err(LimitError::ConfigBytes(bytes).into());
    }
    if configs == *before {
        return Ok(None);
    }
    let configs = configs.into_iter().collect();
    Ok(Some(match owner {
        ConfigOwner::Topic(topic) => MetadataRecord::TopicConfigs {
            topic: *topic,
            configs,
        },
        ConfigOwner::Broker(id) => MetadataRecord::BrokerConfigs {
            broker: Some(*id),
            configs,
        },
        ConfigOwner::AllBrokers => MetadataRecord::BrokerConfigs {
            broker: None,
            configs,
        },
        ConfigOwner::Group(group) => {
            if before.is_empty() && image.groups_with_configs().count() >= MAX_GROUPS_WITH_CONFIGS {
                return Err(LimitError::GroupConfigs.into());
            }
            MetadataRecord::GroupConfigs {
                group: group.clone(),
                configs,
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(before: Option<&str>, edit: ConfigEdit) -> Option<String> {
        let key = || "k".to_owned();
        let before = before.map(|value| (key(), value.to_owned()));
        let change = ConfigChange::Edit(BTreeMap::from([(key(), edit)]));
        change.apply(&before.into_iter().collect()).remove("k")
    }

    #[test]
    fn lists_grow_and_shrink_by_elements() {
        let elements = || "b, c,b".to_owned();
        let default = || "a,b".to_owned();
        let append = || ConfigEdit::Append {
            elements: elements(),
            default: default(),
        };
        let subtract = || ConfigEdit::Subtract {
            elements: elements(),
            default: default(),
        };
        assert_eq!(edited(None, append()).as_deref(), Some("a,b,c"));
        assert_eq!(edited(Some(""), append()).as_deref(), Some("b,c"));
        assert_eq!(edited(Some("x,c"), append()).as_deref(), Some("x,c,b"));
        assert_eq!(edited(None, subtract()).as_deref(), Some("a"));
        assert_eq!(edited(Some("b"), subtract()).as_deref(), Some(""));
    }

    #[test]
    fn values_are_set_and_deleted() {
        let set = ConfigEdit::Set("2".to_owned());
        assert_eq!(edited(Some("1"), set).as_deref(), Some("2"));
        assert_eq!(edited(Some("1"), ConfigEdit::Delete), None);
        assert_eq!(edited(None, ConfigEdit::Delete), None);
    }
}
