"""Stopping under load and starting again: quick, with nothing to recover, and nothing forgotten."""

import re
import signal
import socket
import struct
import time

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from broker_process import STOP_DEADLINE_S, BrokerProcess, is_reference, restart_port
from clients.librdkafka import (
    DEADLINE_S,
    Record,
    consume_all,
    create_topic,
    delete_topic,
    produce_all,
)
from conftest import StartBroker
from lifecycle.load import Load
from wire import FETCH, Connection

NOTHING_TO_RECOVER = re.compile(r"nothing (had )?to (be )?recover", re.IGNORECASE)
LONGEST_WAIT_MS = 60_000
LOADED_PARTITIONS = 6


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT], ids=lambda value: value.name)
def test_stop_under_load(start_broker: StartBroker, topic: str, stop_signal: signal.Signals) -> None:
    """With producers, a long poll and a stalled frame open, it stops in time, and the next start recovers nothing."""
    broker = start_broker(listen=f"127.0.0.1:{restart_port()}")
    create_topic(broker.address, topic, partitions=2)
    load = Load(broker.address, topic)
    load.wait_for_more()
    waiting, stalled = Connection(broker.address), Connection(broker.address)
    name = topic.encode()
    wait = struct.pack(">iiiib", -1, LONGEST_WAIT_MS, 1, 1 << 20, 0)
    wait += struct.pack(">ih", 1, len(name)) + name + struct.pack(">iiqi", 1, 1, 0, 1 << 20)
    waiting.socket.sendall(waiting.frame(FETCH, 4, wait))
    stalled.socket.sendall(struct.pack(">i", 1_000))
    load.wait_for_more()

    broker.process.send_signal(stop_signal)
    code = broker.wait(STOP_DEADLINE_S)
    assert is_reference() or code == 0, broker.log_tail()
    broker.start()
    assert is_reference() or NOTHING_TO_RECOVER.search(broker.log()), broker.log_tail()
    load.wait_for_more()
    broker.stop()
    broker.start()
    load.wait_for_more()
    load.finish(broker.address)
    for connection in (waiting, stalled):
        connection.socket.close()
    broker.stop()


def test_an_idle_broker_stops_at_once(start_broker: StartBroker) -> None:
    """Nothing is waited for where nothing is under way, not even for connections that are open."""
    broker = start_broker()
    with Connection(broker.address) as connection:
        connection.api_versions()
        assert broker.stop() < (10 if is_reference() else 1)
    broker.start()
    assert is_reference() or NOTHING_TO_RECOVER.search(broker.log()), broker.log_tail()
    broker.stop()


def test_a_stopped_broker_refuses_connections(start_broker: StartBroker) -> None:
    """The port is free again."""
    broker = start_broker(listen=f"127.0.0.1:{restart_port()}")
    broker.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", broker.port), 1)


def test_everything_is_there_after_a_restart(start_broker: StartBroker, topic: str) -> None:
    """Topics with their ids and settings, records, timestamps, offsets: the same after a stop and after a kill."""
    broker = start_broker(listen=f"127.0.0.1:{restart_port()}")
    admin = AdminClient({"bootstrap.servers": broker.address, "reconnect.backoff.max.ms": 100, "log_level": 2})
    create_topic(broker.address, topic, partitions=4, message_timestamp_type="LogAppendTime")
    create_topic(broker.address, f"{topic}-small", max_message_bytes="2000")
    create_topic(broker.address, f"{topic}-deleted")
    produce_all(broker.address, f"{topic}-deleted", [Record(b"old")])
    delete_topic(broker.address, f"{topic}-deleted")
    records = [Record(b"value %d" % number, b"key %d" % number, (("h", b"%d" % number),)) for number in range(1_000)]
    for partition in range(3):
        produce_all(broker.address, topic, records[: 1_000 - 300 * partition], partition=partition)

    def state() -> object:
        described = admin.describe_topics(TopicCollection([topic, f"{topic}-small"]))
        ids = {name: str(done.result(DEADLINE_S).topic_id) for name, done in described.items()}
        messages = [message for partition in range(4) for message in consume_all(broker.address, topic, partition)]
        content = [(m.partition(), m.offset(), m.timestamp(), m.key(), m.value(), m.headers()) for m in messages]
        return ids, sorted(admin.list_topics(timeout=DEADLINE_S).topics), admin.list_topics().cluster_id, content

    before = state()
    for stop in (BrokerProcess.stop, BrokerProcess.kill, BrokerProcess.kill, BrokerProcess.stop):
        stop(broker)
        broker.start()
        assert state() == before
    assert produce_all(broker.address, topic, [Record(b"next")], partition=3) == [0]
    assert produce_all(broker.address, topic, [Record(b"next")], partition=0) == [1_000]
    with pytest.raises(AssertionError, match="MSG_SIZE_TOO_LARGE"):
        produce_all(broker.address, f"{topic}-small", [Record(b"x" * 3_000)])
    broker.stop()


def test_a_consumer_lives_through_a_restart(start_broker: StartBroker, topic: str) -> None:
    """A consumer in a fetch session goes on where it was."""
    broker = start_broker(listen=f"127.0.0.1:{restart_port()}")
    create_topic(broker.address, topic)
    consumer = Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": "unused",
            "enable.auto.commit": False,
            "reconnect.backoff.max.ms": 100,
            "log_level": 2,
        }
    )
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    for number in range(4):
        produce_all(broker.address, topic, [Record(b"%d" % number)])
        end = time.monotonic() + DEADLINE_S
        message = None
        while message is None or message.error():
            assert time.monotonic() < end, "the record did not come"
            message = consumer.poll(0.5)
        assert (message.offset(), message.value()) == (number, b"%d" % number)
        (broker.stop if number % 2 else broker.kill)()
        broker.start()
    consumer.close()
    broker.stop()


@pytest.mark.wiber_only("Kafka has no such line in its log")
@pytest.mark.timeout(300)
def test_nothing_is_left_to_recover(start_broker: StartBroker, topic: str) -> None:
    """Stopped while compressed batches are checked and sent between shards: each next start replays nothing."""
    broker = start_broker(listen=f"127.0.0.1:{restart_port()}", arguments=["--shards", "3"])
    # Each batch is large enough to be checked by a worker.
    settings = {"compression_type": "zstd", "batch_size": 1_000_000, "linger_ms": 5, "value_bytes": 20_000}
    loads = []
    for number in range(3):
        create_topic(broker.address, f"{topic}-{number}", partitions=LOADED_PARTITIONS)
        loads.append(Load(broker.address, f"{topic}-{number}", partitions=LOADED_PARTITIONS, **settings))
    for _ in range(10):
        for load in loads:
            load.wait_for_more(100)
        broker.stop()
        broker.start()
        assert NOTHING_TO_RECOVER.search(broker.log()), broker.log_tail()
    for load in loads:
        load.stop()
    broker.stop()
