use wiber_model::TopicId;

use super::*;
use crate::config::GroupOverrides;

/// One topic of two partitions, the first with a replica in a rack.
struct Foo {
    partitions: i32,
}

impl Foo {
    fn id() -> TopicId {
        let mut id = TopicId::ZERO;
        id.0[7] = 1;
        id.0[15] = 2;
        id
    }
}

impl Cluster for Foo {
    fn topic_id(&self, name: &str) -> Option<TopicId> {
        (name == "foo").then(Foo::id)
    }
    fn topic_name(&self, _: TopicId) -> Option<&str> {
        Some("foo")
    }
    fn partitions(&self, _: TopicId) -> i32 {
        self.partitions
    }
    fn racks(&self, _: TopicId, partition: i32) -> Vec<&str> {
        if partition == 0 {
            vec!["rack1"]
        } else {
            Vec::new()
        }
    }
    fn topic_names<'a>(&'a self, _: &str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        Box::new(std::iter::once("foo"))
    }
    fn version(&self) -> i64 {
        7
    }
    fn group_overrides(&self, _: &str) -> GroupOverrides {
        GroupOverrides::default()
    }
}

#[test]
fn topics_are_hashed_as_kafka_hashes_them() {
    // Computed with hash4j 0.22, which Kafka 4.3 uses.
    let foo = Foo { partitions: 2 };
    assert_eq!(topic_hash("foo", &foo), Some(5_981_006_602_373_922_346));
    assert_eq!(topic_hash("bar", &foo), None);
}

#[test]
fn a_groups_hash_is_that_of_its_topics_and_changes_when_they_do() {
    let names = ["bar".to_owned(), "foo".to_owned()];
    let mut topics = Topics::default();
    assert_eq!(topics.hash([].iter(), &Foo { partitions: 2 }), 0);
    assert_eq!(
        topics.hash(names[..1].iter(), &Foo { partitions: 2 }),
        0,
        "no such topic"
    );
    let hash = topics.hash(names.iter(), &Foo { partitions: 2 });
    assert_eq!(hash, topics.hash(names[1..].iter(), &Foo { partitions: 2 }));

    let grown = Foo { partitions: 3 };
    assert_eq!(hash, topics.hash(names.iter(), &grown), "nobody has told");
    topics.changed(&names, &grown);
    assert_ne!(hash, topics.hash(names.iter(), &grown));
    assert_eq!(topics.new_at_version(), 7);
}
