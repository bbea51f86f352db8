"""A filesystem whose reads, writes and syncs fail, or wait, as it is told: FUSE, without a library.

    python faulty_filesystem.py BACKING MOUNT

It keeps its files in the directory BACKING and is mounted on MOUNT until its standard input ends. Each line there is a
JSON array of rules, which replace those of before and are answered with a line; see `Rule`. What is held by a rule goes
on when a later line no longer has that rule.

Syncs are not passed on: whoever tests with it kills processes, not machines. As for a disk that is asked to write
through, a write with O_DSYNC counts as a write and as a sync.
"""

import ctypes
import errno
import json
import os
import stat
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

WORKERS = 16
"""How many operations run at a time: those that wait must leave some for others."""
WRITE_MAX_BYTES = 1 << 20
REQUEST_MAX_BYTES = WRITE_MAX_BYTES + 4096

IN_HEADER = struct.Struct("<IIQQIIIHH")
OUT_HEADER = struct.Struct("<IiQ")
ATTRIBUTES = struct.Struct("<6Q10I")
ENTRY = struct.Struct("<4Q2I")
OPENED = struct.Struct("<QIi")
READ_OR_WRITE = struct.Struct("<QQIIQII")
SET_ATTRIBUTES = struct.Struct("<IIQQQQQQIIIIIIII")

ASYNC_READ, BIG_WRITES, ASYNC_DIRECT, PARALLEL_DIRECTORIES, MAX_PAGES = 1 << 0, 1 << 5, 1 << 15, 1 << 18, 1 << 22
DIRECT_IO, PARALLEL_WRITES = 1 << 0, 1 << 6
ROOT = 1


@dataclass(frozen=True)
class Rule:
    """What happens to an operation, `read`, `write` or `sync`, on a file whose path matches, in a range of bytes."""

    operation: str
    path: str
    start: int = 0
    end: int = 2**63
    error: str = ""
    """The name of the error with which it fails, such as EIO."""
    wait_s: float = 0
    hold: bool = False

    def matches(self, operation: str, path: str, start: int, end: int) -> bool:
        """Whether it is about this operation."""
        return operation == self.operation and fnmatch(path, self.path) and start < self.end and end > self.start


class Rules:
    """The rules in force."""

    def __init__(self) -> None:
        """None."""
        self._changed = threading.Condition()
        self._rules: list[Rule] = []

    def replace(self, rules: list[Rule]) -> None:
        """Puts others in force."""
        with self._changed:
            self._rules = rules
            self._changed.notify_all()

    def apply(self, operation: str, path: str, start: int = 0, end: int = 2**63) -> None:
        """Waits, or raises, as the rules say."""
        with self._changed:
            for rule in [each for each in self._rules if each.matches(operation, path, start, end)]:
                if rule.hold:
                    self._changed.wait_for(lambda rule=rule: rule not in self._rules)
                elif rule.wait_s:
                    self._changed.wait_for(lambda rule=rule: rule not in self._rules, rule.wait_s)
                if rule.error:
                    raise OSError(getattr(errno, rule.error), rule.error)


class FaultyFilesystem:
    """Answers the kernel's requests from the files of a directory."""

    def __init__(self, backing: str, device: int, rules: Rules) -> None:
        """`device` is the open /dev/fuse."""
        self._backing = backing
        self._device = device
        self._rules = rules
        self._lock = threading.Lock()
        self._paths = {ROOT: ""}
        self._nodes = {"": ROOT}
        self._last_node = ROOT
        self._open: dict[int, str] = {}
        self._answers: dict[int, Callable[[int, bytes], bytes | None]] = {
            1: self._lookup,
            3: self._get_attributes,
            4: self._set_attributes,
            9: self._make_directory,
            10: lambda node, name: self._remove(os.unlink, node, name),
            11: lambda node, name: self._remove(os.rmdir, node, name),
            12: lambda node, body: self._rename(node, body[:8], body[8:]),
            14: self._open_file,
            15: self._read,
            16: self._write,
            17: self._describe_filesystem,
            18: self._release,
            20: self._sync,
            25: lambda node, body: b"",
            26: self._begin,
            27: lambda node, body: OPENED.pack(0, 0, 0),
            28: self._list,
            29: lambda node, body: b"",
            30: self._sync_directory,
            34: lambda node, body: b"",
            35: self._create,
            43: self._allocate,
            45: lambda node, body: self._rename(node, body[:8], body[16:]),
        }

    def serve(self) -> None:
        """Answers until the filesystem is unmounted."""
        while True:
            try:
                request = os.read(self._device, REQUEST_MAX_BYTES)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                return
            length, operation, unique, node, *_ = IN_HEADER.unpack_from(request)
            if operation in (2, 36, 42):  # Forgotten nodes, interrupts: nobody waits for an answer.
                continue
            code, body = 0, b""
            try:
                answer = self._answers.get(operation)
                if answer is None:
                    raise OSError(errno.ENOSYS, f"operation {operation}")
                body = answer(node, request[IN_HEADER.size : length]) or b""
            except OSError as error:
                code = -(error.errno or errno.EIO)
            try:
                os.write(self._device, OUT_HEADER.pack(OUT_HEADER.size + len(body), code, unique) + body)
            except OSError:
                continue  # Whoever asked is gone.

    def _begin(self, _: int, body: bytes) -> bytes:
        major, _, readahead, flags = struct.unpack_from("<IIII", body)
        flags &= ASYNC_READ | BIG_WRITES | ASYNC_DIRECT | PARALLEL_DIRECTORIES | MAX_PAGES
        pages = WRITE_MAX_BYTES // 4096
        return struct.pack(
            "<IIIIHHIIHHI7I", major, 31, readahead, flags, 64, 48, WRITE_MAX_BYTES, 1, pages, 0, 0, *[0] * 7
        )

    def _path(self, node: int) -> str:
        with self._lock:
            if node not in self._paths:
                raise OSError(errno.ESTALE, "a node that is gone")
            return self._paths[node]

    def _child(self, node: int, name: bytes) -> str:
        """The path of a name, which ends with a zero byte, in a directory."""
        parent = self._path(node)
        own = name.split(b"\0")[0].decode()
        return f"{parent}/{own}" if parent else own

    def _real(self, path: str) -> str:
        return f"{self._backing}/{path}"

    def _attributes(self, found: os.stat_result) -> bytes:
        times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
        return ATTRIBUTES.pack(
            found.st_ino,
            found.st_size,
            found.st_blocks,
            *(each // 10**9 for each in times),
            *(each % 10**9 for each in times),
            found.st_mode,
            found.st_nlink,
            found.st_uid,
            found.st_gid,
            0,
            4096,
            0,
        )

    def _entry(self, path: str) -> bytes:
        found = os.lstat(self._real(path))
        with self._lock:
            if path not in self._nodes:
                self._last_node += 1
                self._nodes[path] = self._last_node
                self._paths[self._last_node] = path
            node = self._nodes[path]
        return ENTRY.pack(node, 0, 0, 0, 0, 0) + self._attributes(found)

    def _lookup(self, node: int, name: bytes) -> bytes:
        return self._entry(self._child(node, name))

    def _get_attributes(self, node: int, body: bytes) -> bytes:
        flags, _, handle = struct.unpack_from("<IIQ", body)
        found = os.fstat(handle) if flags & 1 else os.lstat(self._real(self._path(node)))
        return struct.pack("<QII", 0, 0, 0) + self._attributes(found)

    def _set_attributes(self, node: int, body: bytes) -> bytes:
        valid, _, handle, size, *_, mode, _, _, _, _ = SET_ATTRIBUTES.unpack_from(body)
        target = handle if valid & (1 << 6) else self._real(self._path(node))
        if valid & (1 << 3):
            self._rules.apply("write", self._path(node), size)
            os.truncate(target, size)
        if valid & (1 << 0):
            Path(self._real(self._path(node))).chmod(stat.S_IMODE(mode))
        found = os.fstat(handle) if valid & (1 << 6) else os.lstat(target)
        return struct.pack("<QII", 0, 0, 0) + self._attributes(found)

    def _make_directory(self, node: int, body: bytes) -> bytes:
        path = self._child(node, body[8:])
        Path(self._real(path)).mkdir(struct.unpack_from("<I", body)[0] & 0o7777)
        return self._entry(path)

    def _remove(self, remove: Callable[[str], None], node: int, name: bytes) -> None:
        path = self._child(node, name)
        remove(self._real(path))
        with self._lock:
            gone = self._nodes.pop(path, None)
            self._paths.pop(gone, None)

    def _rename(self, node: int, directory: bytes, names: bytes) -> None:
        old_name, new_name = names.split(b"\0")[:2]
        old = self._child(node, old_name)
        new = self._child(struct.unpack("<Q", directory)[0], new_name)
        Path(self._real(old)).rename(self._real(new))
        with self._lock:
            self._paths.pop(self._nodes.pop(new, None), None)
            for path in [each for each in self._nodes if each == old or each.startswith(f"{old}/")]:
                moved = new + path[len(old) :]
                self._nodes[moved] = self._nodes.pop(path)
                self._paths[self._nodes[moved]] = moved

    def _opened(self, path: str, flags: int, mode: int = 0) -> bytes:
        unwanted = os.O_DIRECT | os.O_SYNC | os.O_DSYNC | os.O_NOFOLLOW
        handle = os.open(self._real(path), flags & ~unwanted | os.O_CLOEXEC, mode)
        self._open[handle] = path
        # No page cache: each read of the broker comes here.
        return OPENED.pack(handle, DIRECT_IO | PARALLEL_WRITES, 0)

    def _open_file(self, node: int, body: bytes) -> bytes:
        return self._opened(self._path(node), struct.unpack_from("<I", body)[0])

    def _create(self, node: int, body: bytes) -> bytes:
        flags, mode = struct.unpack_from("<II", body)
        path = self._child(node, body[16:])
        opened = self._opened(path, flags | os.O_CREAT, mode & 0o7777)
        return self._entry(path) + opened

    def _release(self, _: int, body: bytes) -> None:
        (handle,) = struct.unpack_from("<Q", body)
        self._open.pop(handle, None)
        os.close(handle)

    def _read(self, _: int, body: bytes) -> bytes:
        handle, offset, size, *_ = READ_OR_WRITE.unpack_from(body)
        self._rules.apply("read", self._open[handle], offset, offset + size)
        return os.pread(handle, size, offset)

    def _write(self, _: int, body: bytes) -> bytes:
        handle, offset, size, _, _, flags, _ = READ_OR_WRITE.unpack_from(body)
        path = self._open[handle]
        self._rules.apply("write", path, offset, offset + size)
        written = os.pwrite(handle, body[READ_OR_WRITE.size : READ_OR_WRITE.size + size], offset)
        if flags & os.O_DSYNC:
            self._rules.apply("sync", path)
        return struct.pack("<II", written, 0)

    def _sync(self, _: int, body: bytes) -> None:
        self._rules.apply("sync", self._open[struct.unpack_from("<Q", body)[0]])

    def _sync_directory(self, node: int, _: bytes) -> None:
        self._rules.apply("sync", self._path(node))

    def _allocate(self, _: int, body: bytes) -> None:
        handle, offset, length, mode, _ = struct.unpack_from("<QQQII", body)
        self._rules.apply("write", self._open[handle], offset, offset + length)
        if mode:
            raise OSError(errno.EOPNOTSUPP, "only plain allocation")
        os.posix_fallocate(handle, offset, length)

    def _list(self, node: int, body: bytes) -> bytes:
        _, skip, size, *_ = READ_OR_WRITE.unpack_from(body)
        listing = b""
        for index, name in enumerate(sorted(each.name for each in Path(self._real(self._path(node))).iterdir())):
            encoded = name.encode()
            entry = struct.pack("<QQII", index + 2, index + 1, len(encoded), 0) + encoded
            entry += b"\0" * (-len(entry) % 8)
            if index >= skip:
                if len(listing) + len(entry) > size:
                    break
                listing += entry
        return listing

    def _describe_filesystem(self, _: int, __: bytes) -> bytes:
        found = os.statvfs(self._backing)
        sizes = (found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree)
        return struct.pack("<5Q4I6I", *sizes, found.f_bsize, found.f_namemax, found.f_frsize, 0, *[0] * 6)


def main() -> None:
    """Mounts, tells that it did, and takes rules until its input ends."""
    backing, mount = sys.argv[1:]
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    if libc.mount(b"faulty", mount.encode(), b"fuse", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount: {os.strerror(ctypes.get_errno())}")
    rules = Rules()
    filesystem = FaultyFilesystem(backing, device, rules)
    for _ in range(WORKERS):
        threading.Thread(target=filesystem.serve, daemon=True).start()
    print("mounted", flush=True)
    for line in sys.stdin:
        rules.replace([Rule(**each) for each in json.loads(line)])
        print("ruled", flush=True)
    rules.replace([])
    os._exit(0)


if __name__ == "__main__":
    main()
