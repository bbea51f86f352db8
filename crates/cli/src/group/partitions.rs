//! Partitions as an argument: `TOPIC` for all of a topic, or `TOPIC:0,2`.

use std::collections::BTreeSet;
use std::str::FromStr;

use wiber_client::{Cluster, Topic, TopicPartition};
use wiber_protocol::Str;

use crate::failure::Failure;

/// A topic, or some of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitions {
    /// The topic's name.
    pub topic: String,
    /// The partitions; none for all.
    pub numbers: Option<BTreeSet<i32>>,
}

impl FromStr for Partitions {
    type Err = String;

    fn from_str(text: &str) -> Result<Partitions, String> {
        let wrong = || "TOPIC or TOPIC:0,2 is wanted".to_owned();
        // A topic's name has no colon.
        let (topic, numbers) = match text.split_once(':') {
            Some((topic, numbers)) => (topic, Some(numbers)),
            None => (text, None),
        };
        if topic.is_empty() {
            return Err(wrong());
        }
        let numbers = numbers.map(|numbers| {
            let number = |text: &str| text.trim().parse().ok().filter(|it| *it >= 0);
            let all: Option<BTreeSet<i32>> = numbers.split(',').map(number).collect();
            all.ok_or_else(wrong)
        });
        Ok(Partitions {
            topic: topic.to_owned(),
            numbers: numbers.transpose()?,
        })
    }
}

impl Partitions {
    /// Whether a partition is one of these.
    pub fn contains(&self, it: &TopicPartition) -> bool {
        it.topic == self.topic.as_str()
            && self
                .numbers
                .as_ref()
                .is_none_or(|numbers| numbers.contains(&it.partition))
    }
}

/// All of these that there are.
///
/// # Errors
/// If a topic or a partition is not there.
pub async fn existing(
    cluster: &Cluster,
    wanted: &[Partitions],
) -> Result<BTreeSet<TopicPartition>, Failure> {
    let names: BTreeSet<Str> = wanted.iter().map(|it| it.topic.as_str().into()).collect();
    let names: Vec<Str> = names.into_iter().collect();
    let topics = cluster.topics(&names).await?;
    let mut partitions = BTreeSet::new();
    for it in wanted {
        let topic: &Topic = match topics.get(it.topic.as_str()) {
            Some(Ok(topic)) => topic,
            Some(Err(error)) => return Err(Failure::of_topic(&it.topic, error)),
            None => {
                return Err(Failure::Failed(format!(
                    "{}: no broker tells of it",
                    it.topic
                )));
            }
        };
        let all = || topic.partitions.iter().map(|it| it.index).collect();
        for partition in it.numbers.clone().unwrap_or_else(all) {
            topic
                .partition(partition)
                .map_err(|error| Failure::of_topic(&it.topic, &error))?;
            partitions.insert(TopicPartition::new(topic.name.clone(), partition));
        }
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_have_numbers_behind_it() {
        let parsed = |text: &str| text.parse::<Partitions>();
        let of = |topic: &str, numbers: Option<&[i32]>| Partitions {
            topic: topic.to_owned(),
            numbers: numbers.map(|it| it.iter().copied().collect()),
        };
        assert_eq!(parsed("chat"), Ok(of("chat", None)));
        assert_eq!(parsed("chat:2,0"), Ok(of("chat", Some(&[0, 2]))));
        for wrong in ["", ":1", "chat:", "chat:x", "chat:-1", "chat:1,"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        assert!(of("chat", Some(&[2])).contains(&TopicPartition::new("chat", 2)));
        assert!(!of("chat", Some(&[2])).contains(&TopicPartition::new("chat", 1)));
        assert!(!of("chat", None).contains(&TopicPartition::new("cha", 1)));
    }
}
