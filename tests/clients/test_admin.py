"""confluent-kafka's admin client: topics are created, listed, described, deleted; Kafka's errors where refused."""

import pytest
from confluent_kafka import OFFSET_END, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
)

from broker_process import BrokerProcess, wait_until
from clients.librdkafka import (
    DEADLINE_S,
    Record,
    consume_all,
    consumer,
    create_topic,
    delete_topic,
    produce_all,
    wait_for_topic,
)


@pytest.fixture
def admin(broker: BrokerProcess) -> AdminClient:
    """An admin client."""
    return AdminClient({"bootstrap.servers": broker.address})


def create(admin: AdminClient, topic: NewTopic, **options: object) -> None:
    """Creates one topic and waits until it is known, or raises its error."""
    (done,) = admin.create_topics([topic], **options).values()
    done.result(DEADLINE_S)
    if not options.get("validate_only"):
        wait_for_topic(admin, topic.topic)


def code_of_creation(admin: AdminClient, topic: NewTopic) -> int:
    """The error code with which a creation is refused."""
    with pytest.raises(KafkaException) as refused:
        create(admin, topic)
    return refused.value.args[0].code()


def topics(admin: AdminClient) -> set[str]:
    """The names that the broker lists."""
    return set(admin.list_topics(timeout=DEADLINE_S).topics)


def test_create_list_delete(admin: AdminClient, topic: str) -> None:
    """A topic appears with its partitions, each led by the one broker, and goes."""
    create(admin, NewTopic(topic, 5, 1))
    metadata = admin.list_topics(topic, DEADLINE_S)
    partitions = metadata.topics[topic].partitions
    assert sorted(partitions) == list(range(5))
    (node,) = metadata.brokers
    assert metadata.controller_id == node
    for partition in partitions.values():
        assert (partition.leader, partition.replicas, partition.isrs) == (node, [node], [node])
    assert topic in topics(admin)
    (done,) = admin.delete_topics([topic]).values()
    done.result(DEADLINE_S)
    wait_until(lambda: topic not in topics(admin), DEADLINE_S, "the deleted topic is no longer listed")


def test_creation_is_refused(admin: AdminClient, topic: str) -> None:
    """Kafka's error for each reason."""
    create(admin, NewTopic(topic, 1, 1))
    assert code_of_creation(admin, NewTopic(topic, 1, 1)) == KafkaError.TOPIC_ALREADY_EXISTS
    assert code_of_creation(admin, NewTopic(f"{topic}-a", 1, 3)) == KafkaError.INVALID_REPLICATION_FACTOR
    assert code_of_creation(admin, NewTopic(f"{topic}-b", 0, 1)) == KafkaError.INVALID_PARTITIONS
    assert code_of_creation(admin, NewTopic("no/such name", 1, 1)) == KafkaError.TOPIC_EXCEPTION
    assert code_of_creation(admin, NewTopic("x" * 250, 1, 1)) == KafkaError.TOPIC_EXCEPTION
    bad_config = NewTopic(f"{topic}-c", 1, 1, config={"no.such.setting": "1"})
    assert code_of_creation(admin, bad_config) == KafkaError.INVALID_CONFIG
    bad_value = NewTopic(f"{topic}-d", 1, 1, config={"retention.ms": "soon"})
    assert code_of_creation(admin, bad_value) == KafkaError.INVALID_CONFIG
    assert {name for name in topics(admin) if name.startswith(topic)} == {topic}


def test_several_at_once(admin: AdminClient, topic: str) -> None:
    """In one request, the good ones are created and the bad ones are named."""
    create(admin, NewTopic(f"{topic}-old", 1, 1))
    wanted = [NewTopic(f"{topic}-{name}", 2, 1) for name in ("a", "old", "b")]
    outcome = {name: done.exception(DEADLINE_S) for name, done in admin.create_topics(wanted).items()}
    assert outcome[f"{topic}-a"] is None
    assert outcome[f"{topic}-b"] is None
    assert outcome[f"{topic}-old"].args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
    gone = admin.delete_topics([f"{topic}-a", f"{topic}-none", f"{topic}-b"])
    codes = {name: done.exception(DEADLINE_S) for name, done in gone.items()}
    assert codes[f"{topic}-a"] is None
    assert codes[f"{topic}-b"] is None
    assert codes[f"{topic}-none"].args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_validate_only(admin: AdminClient, topic: str) -> None:
    """A dry run creates nothing and still finds errors."""
    create(admin, NewTopic(topic, 1, 1), validate_only=True)
    assert topic not in topics(admin)
    (done,) = admin.create_topics([NewTopic(topic, 1, 9)], validate_only=True).values()
    assert done.exception(DEADLINE_S).args[0].code() == KafkaError.INVALID_REPLICATION_FACTOR


def test_delete_unknown(admin: AdminClient, topic: str) -> None:
    """What does not exist cannot be deleted."""
    (done,) = admin.delete_topics([topic]).values()
    assert done.exception(DEADLINE_S).args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_default_partitions(admin: AdminClient, topic: str) -> None:
    """-1 partitions and replicas are the broker's defaults."""
    create(admin, NewTopic(topic))
    assert len(admin.list_topics(topic, DEADLINE_S).topics[topic].partitions) == 1


def test_manual_assignment(admin: AdminClient, topic: str) -> None:
    """Replicas can be named; one that does not exist is refused."""
    (node,) = admin.list_topics(timeout=DEADLINE_S).brokers
    create(admin, NewTopic(topic, 2, replica_assignment=[[node], [node]]))
    assert len(admin.list_topics(topic, DEADLINE_S).topics[topic].partitions) == 2
    unknown = NewTopic(f"{topic}-a", 1, replica_assignment=[[node + 77]])
    assert code_of_creation(admin, unknown) == KafkaError.INVALID_REPLICA_ASSIGNMENT


def test_describe(admin: AdminClient, topic: str, broker: BrokerProcess) -> None:
    """The cluster and a topic are described; two topics differ in their id."""
    create(admin, NewTopic(topic, 3, 1))
    create(admin, NewTopic(f"{topic}-other", 1, 1))
    cluster = admin.describe_cluster().result(DEADLINE_S)
    (node,) = cluster.nodes
    assert f"{node.host}:{node.port}" == broker.address
    assert cluster.controller.id == node.id
    assert cluster.cluster_id
    named = [topic, f"{topic}-other"]
    described = [done.result(DEADLINE_S) for done in admin.describe_topics(TopicCollection(named)).values()]
    assert [len(each.partitions) for each in described] == [3, 1]
    assert str(described[0].topic_id) != str(described[1].topic_id)
    assert not described[0].is_internal


def test_a_topic_created_again_is_another(broker: BrokerProcess, admin: AdminClient, topic: str) -> None:
    """Deleted and created again under its name, a topic is empty, starts at offset 0 and has a new id."""
    ids = []
    for generation in range(3):
        create_topic(broker.address, topic, partitions=2)
        ids.append(str(admin.describe_topics(TopicCollection([topic]))[topic].result(DEADLINE_S).topic_id))
        with consumer(broker.address) as client:
            for each in client.list_topics(topic, DEADLINE_S).topics[topic].partitions:
                assert consume_all(broker.address, topic, each) == []
        values = [Record(b"generation %d, %d" % (generation, number)) for number in range(100 - 30 * generation)]
        assert produce_all(broker.address, topic, values, enable_idempotence=True) == list(range(len(values)))
        got = [message.value() for message in consume_all(broker.address, topic)]
        assert got == [value.value for value in values]
        delete_topic(broker.address, topic)
        wait_until(lambda: topic not in topics(admin), DEADLINE_S, "the deleted topic is no longer listed")
    assert len(set(ids)) == 3


def test_delete_records(broker: BrokerProcess, admin: AdminClient, topic: str) -> None:
    """Records before an offset are gone for consumers; beyond the end there is nothing to delete."""
    create(admin, NewTopic(topic, 2, 1))
    for partition in (0, 1):
        produce_all(broker.address, topic, [Record(b"%d" % number) for number in range(100)], partition=partition)
    wanted = [TopicPartition(topic, 0, 42), TopicPartition(topic, 1, OFFSET_END)]
    lows = {at.partition: done.result(DEADLINE_S).low_watermark for at, done in admin.delete_records(wanted).items()}
    assert lows == {0: 42, 1: 100}
    got = consume_all(broker.address, topic)
    assert [(message.offset(), message.value()) for message in got] == [(it, b"%d" % it) for it in range(42, 100)]
    assert consume_all(broker.address, topic, 1) == []
    assert produce_all(broker.address, topic, [Record(b"new")], partition=1) == [100]
    assert [message.value() for message in consume_all(broker.address, topic, 1)] == [b"new"]
    (refused,) = admin.delete_records([TopicPartition(topic, 0, 101)]).values()
    assert refused.exception(DEADLINE_S).args[0].code() == KafkaError.OFFSET_OUT_OF_RANGE


def code_of_partitions(admin: AdminClient, more: NewPartitions) -> int:
    """The error code with which more partitions are refused."""
    (done,) = admin.create_partitions([more]).values()
    return done.exception(DEADLINE_S).args[0].code()


def test_create_partitions(broker: BrokerProcess, admin: AdminClient, topic: str) -> None:
    """A topic grows, and its new partitions are written and read; what is no growth is refused."""
    create(admin, NewTopic(topic, 1, 1))
    (node,) = admin.list_topics(timeout=DEADLINE_S).brokers
    produce_all(broker.address, topic, [Record(b"old")])
    (dry,) = admin.create_partitions([NewPartitions(topic, 3)], validate_only=True).values()
    dry.result(DEADLINE_S)
    assert code_of_partitions(admin, NewPartitions(topic, 1)) == KafkaError.INVALID_PARTITIONS
    (done,) = admin.create_partitions([NewPartitions(topic, 3, replica_assignment=[[node], [node]])]).values()
    done.result(DEADLINE_S)
    wait_until(
        lambda: len(admin.list_topics(topic, DEADLINE_S).topics[topic].partitions) == 3,
        DEADLINE_S,
        "the topic has three partitions",
    )
    for partition in (1, 2):
        assert produce_all(broker.address, topic, [Record(b"new")], partition=partition, enable_idempotence=True) == [0]
        assert [message.value() for message in consume_all(broker.address, topic, partition)] == [b"new"]
    assert [message.value() for message in consume_all(broker.address, topic)] == [b"old"]
    assert code_of_partitions(admin, NewPartitions(topic, 2)) == KafkaError.INVALID_PARTITIONS
    elsewhere = NewPartitions(topic, 4, replica_assignment=[[node + 77]])
    assert code_of_partitions(admin, elsewhere) == KafkaError.INVALID_REPLICA_ASSIGNMENT
    assert code_of_partitions(admin, NewPartitions(f"{topic}-unknown", 2)) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_three_hundred_partitions(broker: BrokerProcess, admin: AdminClient, topic: str) -> None:
    """A wide topic is created in one request, written at both ends and deleted."""
    create(admin, NewTopic(topic, 300, 1))
    for partition in (0, 150, 299):
        produce_all(broker.address, topic, [Record(b"x")], partition=partition)
        assert len(consume_all(broker.address, topic, partition)) == 1
    delete_topic(broker.address, topic)
    wait_until(lambda: topic not in topics(admin), DEADLINE_S, "the deleted topic is no longer listed")


def test_describe_configs(admin: AdminClient, topic: str) -> None:
    """The settings of a topic and of the broker are told, with where they come from; an unknown topic is an error."""
    create(admin, NewTopic(topic, 1, 1, config={"retention.ms": "1234567"}))
    (node,) = admin.list_topics(timeout=DEADLINE_S).brokers
    names = [(ConfigResource.Type.TOPIC, topic), (ConfigResource.Type.BROKER, str(node))]
    wanted = [ConfigResource(kind, name) for kind, name in names]
    asked = admin.describe_configs(wanted)
    of_topic, of_broker = (asked[each].result(DEADLINE_S) for each in wanted)
    assert of_topic["retention.ms"].value == "1234567"
    assert of_topic["retention.ms"].source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    assert of_topic["segment.bytes"].is_default
    assert of_topic["segment.bytes"].source == ConfigSource.DEFAULT_CONFIG.value
    assert list(of_topic["segment.bytes"].synonyms) == ["log.segment.bytes"]
    assert of_broker["num.partitions"].value == "1"
    assert of_broker["num.partitions"].is_read_only
    assert not any(entry.is_sensitive for entry in of_topic.values())
    (unknown,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, f"{topic}-unknown")]).values()
    assert unknown.exception(DEADLINE_S).args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_alter_configs(admin: AdminClient, topic: str) -> None:
    """Settings of a topic are set, extended and deleted one by one; a bad value is refused with its reason."""
    create(admin, NewTopic(topic, 2, 1, config={"retention.ms": "1234567"}))

    def alter(*edits: tuple[str, str | None, AlterConfigOpType], **options: object) -> None:
        entries = [ConfigEntry(name, value, incremental_operation=operation) for name, value, operation in edits]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        (done,) = admin.incremental_alter_configs([resource], **options).values()
        done.result(DEADLINE_S)

    def own() -> dict[str, str]:
        (done,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).values()
        entries = done.result(DEADLINE_S).values()
        return {entry.name: entry.value for entry in entries if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value}

    alter(("segment.ms", "5000", AlterConfigOpType.SET), validate_only=True)
    alter(("segment.bytes", "2000000", AlterConfigOpType.SET), ("retention.ms", None, AlterConfigOpType.DELETE))
    throttled = "leader.replication.throttled.replicas"
    alter((throttled, "0:1,1:1", AlterConfigOpType.APPEND))
    alter((throttled, "0:1", AlterConfigOpType.SUBTRACT))
    wanted = {"segment.bytes": "2000000", throttled: "1:1"}
    wait_until(lambda: own() == wanted, DEADLINE_S, "the changes are told")
    with pytest.raises(KafkaException) as refused:
        alter(("segment.bytes", "many", AlterConfigOpType.SET))
    assert refused.value.args[0].code() == KafkaError.INVALID_CONFIG
    assert "segment.bytes" in refused.value.args[0].str()
    assert own() == wanted
