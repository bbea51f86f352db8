"""A producer that never rests, for brokers that are stopped or looked at meanwhile."""

import threading

from confluent_kafka import KafkaError, Message, Producer

from broker_process import wait_until
from clients.librdkafka import DEADLINE_S, consume_all

IN_FLIGHT_MAX_BYTES = 8 << 20


class Load:
    """A thread that produces numbers, round the partitions, through an idempotent producer until it is told to stop."""

    def __init__(
        self, address: str, topic: str, *, partitions: int = 1, value_bytes: int = 200, **settings: object
    ) -> None:
        """Starts the thread. Settings have `_` for `.`."""
        self.topic = topic
        self.acknowledged: dict[int, int] = {}
        self.errors: list[KafkaError] = []
        self._partitions = partitions
        self._value_bytes = value_bytes
        self._sent = 0
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "enable.idempotence": True,
                "linger.ms": 1,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 100,
                "retry.backoff.ms": 10,
                "log_level": 2,
            }
            | {name.replace("_", "."): value for name, value in settings.items()}
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.acknowledged[int(message.value().split()[0])] = message.offset()
        else:
            self.errors.append(error)

    def _run(self) -> None:
        in_flight_max = min(5_000, IN_FLIGHT_MAX_BYTES // self._value_bytes)
        filler = b"x" * self._value_bytes
        while not self._stop.is_set():
            waits = self._sent - len(self.acknowledged) >= in_flight_max
            if not waits:
                value = b"%d %s" % (self._sent, filler)
                partition = self._sent % self._partitions
                self._producer.produce(self.topic, value, partition=partition, on_delivery=self._delivered)
                self._sent += 1
            self._producer.poll(0.002 if waits or self._sent % 100 == 0 else 0)

    def acknowledged_bytes(self) -> int:
        """The size of the values that are acknowledged."""
        return len(self.acknowledged) * self._value_bytes

    def wait_for_more(self, count: int = 1_000) -> None:
        """Waits until `count` more records are acknowledged."""
        goal = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= goal, DEADLINE_S, "the load gets acknowledgements")

    def stop(self) -> None:
        """Stops the load once all of it is acknowledged."""
        self._stop.set()
        self._thread.join(DEADLINE_S)
        assert self._producer.flush(DEADLINE_S) == 0
        assert self.errors == []
        assert len(self.acknowledged) == self._sent

    def finish(self, address: str) -> None:
        """Stops the load; each of its records is in the log once, in order, where it was acknowledged."""
        self.stop()
        for partition in range(self._partitions):
            expected = range(partition, self._sent, self._partitions)
            messages = consume_all(address, self.topic, partition)
            assert [int(message.value().split()[0]) for message in messages] == list(expected)
            assert [message.offset() for message in messages] == [self.acknowledged[number] for number in expected]
