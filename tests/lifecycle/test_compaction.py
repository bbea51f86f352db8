"""Compaction under `kill -9`: whatever it was at, nothing is lost that should stay, and nothing comes back changed."""

import json
import random
import subprocess
from itertools import pairwise

from broker_process import binary, wait_until
from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error, Topic
from protocol.records import Record, keyed
from protocol.test_compaction import CLEANER, Log

KILLS = 8
PARTITIONS = 3
KEYS = 40
COMPACTED = {"cleanup_policy": "compact", "min_cleanable_dirty_ratio": "0.01", "segment_ms": "2000"}


class Written(Log):
    """A partition's log, which is only ever held to what must hold of every compacted one."""

    def __init__(self, client: Client, topic: Topic, partition: int) -> None:
        """An empty one."""
        super().__init__(client, topic)
        self.partition = partition

    def put_some(self, draw: random.Random) -> None:
        """Writes a batch of records, tombstones among them."""
        self.time += 1_000
        pairs = [
            (b"key %d" % draw.randrange(KEYS), None if draw.random() < 0.1 else draw.randbytes(200))
            for _ in range(draw.randrange(1, 30))
        ]
        placed = self.client.produce(self.topic, keyed(*pairs, timestamp=self.time), self.partition)
        assert (placed.error_code, placed.base_offset) == (Error.NONE, len(self.written))
        for key, value in pairs:
            self.written.append(Record(len(self.written), self.time, key, value))

    def check(self) -> int:
        """Each record that is there is what was written, and the newest of each key is. Returns how many are gone."""
        found = self.read_partition()
        by_offset = {record.offset: record for record in self.written}
        assert all(one.offset < other.offset for one, other in pairwise(found))
        assert all(by_offset[record.offset] == record for record in found)
        newest = {record.key: record for record in self.written}
        there = {record.offset for record in found}
        assert [r for r in newest.values() if r.offset not in there] == []
        return len(self.written) - len(found)

    def read_partition(self) -> list[Record]:
        """All records of the partition."""
        records, fetch = [], self.client.fetch
        self.client.fetch = lambda topic, offset: fetch(topic, offset, self.partition)  # type: ignore[method-assign]
        try:
            records = self.read()
        finally:
            self.client.fetch = fetch  # type: ignore[method-assign]
        return records


def test_kills(start_broker: StartBroker, topic: str) -> None:
    """Killed again and again while it compacts, the broker has all that must be there; nothing is wrong on its disk."""
    draw = random.Random(7)
    broker = start_broker(arguments=CLEANER)
    with Client(broker.address) as client:
        made = client.create(topic, PARTITIONS, **COMPACTED)
        logs = [Written(client, made, index) for index in range(PARTITIONS)]
    gone = 0
    for _ in range(KILLS):
        with Client(broker.address) as client:
            wait_until(lambda client=client: client._is_led(topic, PARTITIONS), DEADLINE_S, "the topic is led")
            for log in logs:
                log.client = client
                log.check()
            for _ in range(25):
                for log in logs:
                    log.put_some(draw)
        # Compaction went on all the while, and is somewhere.
        broker.kill()
        verified = subprocess.run(
            [binary(), "log", "verify", "--data-dir", broker.data_dir, "--output", "json"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(verified.stdout.splitlines()[-1])["problems"] == 0
        broker.start()
    with Client(broker.address) as client:
        wait_until(lambda: client._is_led(topic, PARTITIONS), DEADLINE_S, "the topic is led")
        for log in logs:
            log.client = client
            wait_until(lambda log=log: log.check() > len(log.written) // 2, DEADLINE_S, "it is compacted at last")
            gone += log.check()
    assert gone > 0
    broker.stop()
    # Of what was replaced nothing is left on the disk.
    outline = subprocess.run(
        [binary(), "log", "inspect", "--data-dir", broker.data_dir, "--output", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [json.loads(line) for line in outline.stdout.splitlines()]
    listed = {(each["base"], each["generation"]) for each in found if each["found"] == "segment"}
    names = [path.name.split(".") for path in broker.data_dir.glob("topics/*/*/*.log")]
    assert {(int(base), int(generation)) for base, generation, _ in names} <= listed
