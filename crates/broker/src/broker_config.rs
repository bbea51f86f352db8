//! A broker's settings as DescribeConfigs tells them: what it was started with, and what its topics get where they set nothing.

use crate::options::BrokerOptions;
use crate::topic_config::{Effect, INT_MAX, KEYS, Kind};

/// `max.request.partition.size.limit`: the most partitions that one DescribeTopicPartitions describes.
pub(crate) const MAX_DESCRIBED_PARTITIONS: i32 = 2000;

/// A setting of the broker.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub name: &'static str,
    pub kind: Kind,
    /// `None` if it is not set.
    pub value: Option<String>,
    /// What it would be if the broker had not been told.
    pub default: Option<String>,
    /// What it means, in words.
    pub documentation: &'static str,
}

/// Each setting once.
pub(crate) fn settings(options: &BrokerOptions) -> Vec<Setting> {
    let mut settings = own(options);
    for key in KEYS.iter().filter(|key| key.effect == Effect::Served) {
        if let Some(name) = key.synonym {
            settings.push(Setting {
                name,
                kind: key.kind,
                value: Some(key.default.to_owned()),
                default: Some(key.default.to_owned()),
                documentation: key.documentation,
            });
        }
    }
    settings
}

fn own(options: &BrokerOptions) -> Vec<Setting> {
    let defaults = BrokerOptions::default();
    let setting =
        |name, kind, documentation, of: &dyn Fn(&BrokerOptions) -> Option<String>| Setting {
            name,
            kind,
            value: of(options),
            default: of(&defaults),
            documentation,
        };
    let count = Kind::Int(1, INT_MAX);
    vec![
        setting(
            "advertised.listeners",
            Kind::Any,
            "Where clients are told to connect to; without it, they are told the address that they reached.",
            &|of| {
                let advertised = of.advertised.as_ref();
                advertised.map(|(host, port)| format!("PLAINTEXT://{host}:{port}"))
            },
        ),
        setting(
            "auto.create.topics.enable",
            Kind::Flag,
            "Whether a topic is created when a client first names it.",
            &|of| Some(of.auto_create_topics.to_string()),
        ),
        setting(
            "default.replication.factor",
            count,
            "How many replicas the partitions of a topic get that is created without a number.",
            &|of| Some(of.default_replication_factor.to_string()),
        ),
        setting(
            "log.retention.check.interval.ms",
            Kind::Long(1),
            "How often segments are looked for that retention lets go, in milliseconds.",
            &|of| Some(of.retention_check_interval_ms.to_string()),
        ),
        setting(
            "max.incremental.fetch.session.cache.slots",
            Kind::Int(0, INT_MAX),
            "How many incremental fetch sessions each shard of the broker keeps.",
            &|of| Some(of.fetch_sessions_max.to_string()),
        ),
        setting(
            "max.request.partition.size.limit",
            count,
            "The most partitions that one page of a description of topics has.",
            &|_| Some(MAX_DESCRIBED_PARTITIONS.to_string()),
        ),
        setting(
            "node.id",
            Kind::Int(0, INT_MAX),
            "The broker's id in the cluster.",
            &|of| Some(of.node_id.0.to_string()),
        ),
        setting(
            "num.partitions",
            count,
            "How many partitions a topic gets that is created without a number.",
            &|of| Some(of.num_partitions.to_string()),
        ),
        setting(
            "producer.id.expiration.ms",
            count,
            "After how many milliseconds without a record a producer's sequence is forgotten.",
            &|of| Some(of.producer_id_expiration_ms.to_string()),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_named_once_and_its_default_is_legal() {
        let settings = settings(&BrokerOptions::default());
        for (i, setting) in settings.iter().enumerate() {
            assert!(settings[..i].iter().all(|other| other.name != setting.name));
            assert_eq!(setting.value, setting.default);
            let parsed = setting
                .default
                .as_ref()
                .map(|value| setting.kind.parse(value));
            assert_eq!(parsed.transpose().as_ref(), Ok(&setting.default));
        }
    }
}
