"""What the kernel tells of processes and of the machine: CPU time, memory, the page cache."""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
DROP_CACHES = Path("/proc/sys/vm/drop_caches")


@dataclass(frozen=True)
class Memory:
    """A process's memory, in MiB."""

    rss: float
    pss: float
    peak: float


def cpu_s(pid: int) -> float:
    """The CPU seconds, user and system, of a process and its threads so far."""
    # The name, in parentheses, may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory(pid: int) -> Memory:
    """What a process holds now, and the most that it held."""
    now = _kib(Path(f"/proc/{pid}/smaps_rollup"))
    return Memory(rss=now["Rss"] / 1024, pss=now["Pss"] / 1024, peak=_kib(Path(f"/proc/{pid}/status"))["VmHWM"] / 1024)


def drop_page_cache() -> bool:
    """Writes back and drops the page cache; whether that was permitted."""
    os.sync()
    try:
        DROP_CACHES.write_text("1\n")
    except OSError:
        return False
    return True


class CpuWindow:
    """The CPU seconds that the broker, its clients and the rest of the machine spend while it is open.

    The clients are the children of this process that ended within. The rest is the kernel's own work (writeback,
    interrupts), which is billed to nobody, and whatever else ran: on a quiet machine it is small.
    """

    def __init__(self, pid: int) -> None:
        """`pid` is the broker's."""
        self._pid = pid
        self.broker_s = self.client_s = self.rest_s = self.elapsed_s = 0.0

    def __enter__(self) -> Self:
        """Opens the window."""
        self._begun = (cpu_s(self._pid), _children_s(), _busy_s(), time.monotonic())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the window."""
        if error is not None:
            return  # The broker may be gone.
        broker, client, busy, begun = self._begun
        self.broker_s = cpu_s(self._pid) - broker
        self.client_s = _children_s() - client
        self.rest_s = max(0.0, _busy_s() - busy - self.broker_s - self.client_s)
        self.elapsed_s = time.monotonic() - begun


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _busy_s() -> float:
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def _kib(path: Path) -> dict[str, int]:
    values = {}
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if value.endswith(" kB"):
            values[key] = int(value.removesuffix(" kB"))
    return values
