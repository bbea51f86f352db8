"""A disk that fails as a test says: `faulty_filesystem.py`, mounted for the broker alone."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAM = Path(__file__).with_name("faulty_filesystem.py")


class FaultyDisk:
    """A filesystem in a mount namespace of its own, which is gone when the namespace is."""

    def __init__(self, directory: Path) -> None:
        """Mounts it on `directory`, for those processes alone that are run with `prefix`."""
        self.directory = directory
        backing = directory.with_name(f"{directory.name}.backing")
        directory.mkdir()
        backing.mkdir()
        as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        self._server = subprocess.Popen(
            [*guard, "unshare", "--mount", *as_root, sys.executable, _PROGRAM, backing, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._expect("mounted")
        as_root = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        self.prefix = ["nsenter", f"--target={self._server.pid}", "--mount", *as_root, "--"]

    def _expect(self, line: str) -> None:
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == f"{line}\n", "the filesystem does not answer"

    def rule(self, *rules: dict[str, object]) -> None:
        """Puts these rules in force, and no others; their fields are those of the filesystem's `Rule`."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(rules) + "\n")
        self._server.stdin.flush()
        self._expect("ruled")

    @contextmanager
    def ruled(self, *rules: dict[str, object]) -> Iterator[None]:
        """Rules for a while."""
        self.rule(*rules)
        try:
            yield
        finally:
            self.rule()

    def close(self) -> None:
        """Ends it: whoever waits for it gets an error."""
        self._server.communicate()
