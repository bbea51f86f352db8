"""One broker under measurement, and what the rows need around it."""

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .broker import RELAXED, Broker, Kind
from .clients import Clients, Rate
from .machine import Ballast

PROBE_BYTES = 20_000_000
"""What a first probe of a row's speed sends."""
PROBE_RECORDS_MAX = 20_000
PROBE_SECONDS = 1.0
"""A probe that was shorter tells little: the next one is larger."""
PROBE_GROWTH = 8
RUN_BYTES_MAX = 12_000_000_000
"""A run sends no more, however fast the broker is."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    runs: int
    seconds: float
    """How long a run of a load takes."""
    data_bytes: int
    """How much a broker holds that is restarted or read from."""
    again_bytes: int
    """How much a broker holds that is started again."""
    settle_s: float
    """How long an idle broker is watched."""
    warm_up_s: float
    """How long a broker that gets faster by running runs first."""
    calibrate: bool
    """Whether runs are sized by a probe; if not, they send `data_bytes`."""
    broker_cpu: int | None
    client_cpu: int | None

    @property
    def deadline_s(self) -> float:
        """How long a run may take at the most."""
        return 120 + 20 * self.seconds


@dataclass
class Side:
    """A kind of broker with its clients, its directory, and what was learned in earlier runs."""

    kind: Kind
    home: Path
    clients: Clients
    plan: Plan
    ballast: Ballast | None = None
    remembered: dict[str, object] = field(default_factory=dict)
    _shared: Broker | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def broker(self) -> Broker:
        """The broker that the runs of a row share."""
        if self._shared is not None and not self._shared.running():
            self._shared = None  # It broke in an earlier row, which said so.
        if self._shared is None:
            self._shared = self.new_broker("shared")
            self._shared.start()
            if self.kind.warms_up:
                self._warm_up()
        return self._shared

    def new_broker(self, name: str) -> Broker:
        """A broker on an empty directory, which does not run yet."""
        return Broker(self.kind, self.home / name, self.plan.broker_cpu)

    def end_row(self) -> None:
        """Every row gets a broker of its own, but for brokers that must warm up."""
        if self._shared is not None and not self.kind.warms_up:
            self.close()

    def close(self) -> None:
        """Stops the shared broker and removes its data."""
        if self._shared is not None:
            try:
                if self._shared.running():
                    self._shared.stop()
            finally:
                self._shared.kill()
                shutil.rmtree(self._shared.home, ignore_errors=True)
                self._shared = None

    def settle(self) -> None:
        """Lets the disk write back what earlier runs left, and fills the page cache."""
        os.sync()
        if self.ballast is not None:
            self.ballast.fill()

    @contextmanager
    def topic(
        self,
        durability: str,
        partitions: int = 1,
        broker: Broker | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Iterator[str]:
        """A topic for one run on a settled machine; it is deleted afterwards."""
        broker = broker or self.broker()
        name = f"bench-{os.getpid()}-{next(self._numbers)}"
        settings = self.kind.topic_settings[durability] | (settings or {})
        self.clients.bench(
            "create-topics",
            *("--connect", broker.address, "--topic", name, "--partitions", str(partitions)),
            *(argument for key, value in settings.items() for argument in ("--config", f"{key}={value}")),
        )
        self.settle()
        yield name
        if broker.running():
            self.clients.bench("delete-topics", "--connect", broker.address, name)

    def records(self, key: str, size: int, run: Callable[[int], Rate]) -> int:
        """How many records of `size` bytes a run sends to take as long as planned; found by probes with `run`."""
        most = RUN_BYTES_MAX // size
        if not self.plan.calibrate:
            return min(PROBE_RECORDS_MAX * 5, self.plan.data_bytes // size)
        if key not in self.remembered:
            count = min(PROBE_RECORDS_MAX, PROBE_BYTES // size)
            while True:
                speed = run(count).records_per_s
                if count / speed >= PROBE_SECONDS or count == most:
                    break
                count = min(count * PROBE_GROWTH, most)
            self.remembered[key] = min(most, int(speed * self.plan.seconds))
        return self.remembered[key]

    def fill(self, broker: Broker, topic: str, size: int, data_bytes: int) -> int:
        """Produces so many bytes to partition 0; the number of records."""
        records = data_bytes // size
        producer = self.clients.start_producer(broker.address, topic, size=size, records=records)
        return producer.rate(self.plan.deadline_s).records

    def _warm_up(self) -> None:
        end = time.monotonic() + self.plan.warm_up_s
        while time.monotonic() < end:
            with self.topic(RELAXED) as topic:
                records = self.fill(self.broker(), topic, 1024, 500_000_000)
                consumer = self.clients.start_consumer(self.broker().address, topic, records=records)
                consumer.rate(self.plan.deadline_s)
