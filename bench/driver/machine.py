"""What the kernel tells of processes and of the machine: CPU time, memory, the page cache."""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024
BALLAST_STEP_BYTES = 8 * MIB
FREE_BYTES_KEPT = 384 * MIB
"""Free memory that the ballast leaves: more than the kernel keeps for itself."""
RESIDENT_SHARE_MAX = 0.01
"""How much of a file that was dropped may still be in the page cache, metadata and races included."""


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


def drop_cached(directory: Path) -> None:
    """Writes back all files below `directory` and drops them from the page cache; checks that they are gone.

    Dropping them by name takes no privilege, and leaves to the rest of the machine what it has cached.
    """
    os.sync()
    resident = probed = 0
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                for offset in range(0, os.fstat(file.fileno()).st_size, MIB):
                    probed += 1
                    resident += _is_cached(file.fileno(), offset)
    if resident > max(1, probed * RESIDENT_SHARE_MAX):
        raise OSError(f"{resident} of {probed} probes below {directory} are still in the page cache")


def _is_cached(fd: int, offset: int) -> bool:
    try:
        return os.preadv(fd, [bytearray(1)], offset, os.RWF_NOWAIT) > 0
    except BlockingIOError:
        return False


class Ballast:
    """Keeps the page cache full, as it is on a machine that has run for a while: a sparse file that is read into it.

    In a virtual machine whose host takes free memory back (free page reporting), the first write to a page costs a
    trip to the host: 2 CPU seconds per GB were seen where a page that was in use costs 0.2. With the page cache full,
    new pages come from what the kernel reclaims, and every run finds the same.
    """

    def __init__(self, path: Path) -> None:
        """Makes the file, which takes no space on the disk."""
        self._size = _kib(Path("/proc/meminfo"))["MemTotal"] * 1024
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w+b")
        path.unlink()
        self._file.truncate(self._size)

    def fill(self) -> None:
        """Reads of it what fits."""
        for offset in range(0, self._size, BALLAST_STEP_BYTES):
            if _kib(Path("/proc/meminfo"))["MemFree"] * 1024 < FREE_BYTES_KEPT:
                return
            os.posix_fadvise(self._file.fileno(), offset, BALLAST_STEP_BYTES, os.POSIX_FADV_WILLNEED)

    def close(self) -> None:
        """Gives the memory back."""
        self._file.close()


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
