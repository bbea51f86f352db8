"""The tests of the crate `rdkafka`, Rust's binding of librdkafka."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import crates
from .outcome import Outcome, Outcomes, Verdict, by_name, one_line
from .suite import ADDRESS, CACHE, Suite, run_logged

_HERE = CACHE / f"rdkafka-{crates.RDKAFKA}"
_TREE = _HERE / "tree"

_LIMIT_S = 600.0

_CASE = re.compile(r"^test ([\w:]+)(?: - should panic)? \.\.\. (?:.*?)(ok|FAILED|ignored)(.*)$", re.M)
_PANIC = re.compile(r"^---- ([\w:]+) stdout ----\n(.*?)(?=^---- |^failures:)", re.M | re.S)
_WHY = re.compile(r"panicked at [^\n]*\n(.*?)(?:\nnote: |\nstack backtrace|\Z)", re.S)


class Rdkafka(Suite):
    """Unit and integration tests of the crate."""

    name = "rdkafka"
    title = "rdkafka"
    version = crates.RDKAFKA
    source = "the tests within the crate: `cargo test --lib --tests`"
    settings: Mapping[str, str] = {"node.id": "0", "num.partitions": "3"}

    def install(self) -> None:
        """Compiles the tests, librdkafka among them, with the versions that the crate's own lock file names."""
        if (_HERE / "programs.json").exists():
            return
        print(f"building the tests of rdkafka {self.version} (cargo)", flush=True)
        shutil.rmtree(_HERE, ignore_errors=True)
        shutil.copytree(crates.folder("rdkafka"), _TREE)
        subprocess.run(["chmod", "-R", "u+w", _TREE], check=True)
        with (_TREE / "Cargo.toml").open("a") as manifest:
            manifest.write("\n[workspace]\n")  # else cargo takes it for a lost member of the workspace around the cache
        compile_tests = ["cargo", "test", "--locked", "--no-run", "--lib", "--tests", "--message-format=json"]
        env = {**os.environ, "CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_TARGET_DIR": str(_HERE / "target")}
        messages = map(json.loads, subprocess.check_output(compile_tests, cwd=_TREE, env=env).splitlines())
        programs = {
            message["target"]["name"]: message["executable"]
            for message in messages
            if message["reason"] == "compiler-artifact" and message["executable"]
        }
        (_HERE / "programs.json").write_text(json.dumps(programs))

    def run(self, only: Sequence[str], logs: Path, jobs: int) -> Outcomes:
        """Runs the test programs side by side; `only` names tests as PROGRAM::TEST."""
        programs = json.loads((_HERE / "programs.json").read_text())
        chosen = {
            program: [name.partition("::")[2] for name in only if name.partition("::")[0] == program]
            for program in programs
            if not only or any(name.partition("::")[0] == program for name in only)
        }
        with ThreadPoolExecutor(jobs) as pool:
            parts = pool.map(lambda item: _program(item[0], Path(programs[item[0]]), item[1], logs), chosen.items())
            return by_name(outcome for part in parts for outcome in part)


def _program(name: str, program: Path, only: list[str], logs: Path) -> list[Outcome]:
    listing = subprocess.check_output([program, "--list", "--format", "terse"], text=True)
    names = [line.removesuffix(": test") for line in listing.splitlines() if line.endswith(": test")]
    arguments = ["--exact", *only] if only else []
    env = {"KAFKA_HOST": ADDRESS, "RUST_LOG": "off"}
    code, output = run_logged(
        [program, "--test-threads=4", *arguments], logs / f"{name}.log", cwd=_TREE, env=env, limit_s=_LIMIT_S
    )
    found = parse(name, output)
    seen = {outcome.name for outcome in found}
    lost = [f"{name}::{test}" for test in only or names if f"{name}::{test}" not in seen]
    end = "did not end" if code is None else f"the program ended with {code} first"
    return found + [Outcome(test, Verdict.FAILED, end) for test in lost]


def parse(program: str, output: str) -> list[Outcome]:
    """The outcomes in what a test program printed."""
    panics = {}
    for name, text in _PANIC.findall(output):
        why = _WHY.search(text)
        panics[name] = one_line(why.group(1) if why else text)
    outcomes = []
    for name, end, more in _CASE.findall(output):
        verdict = {"ok": Verdict.PASSED, "ignored": Verdict.SKIPPED}.get(end, Verdict.FAILED)
        words = panics.get(name, "") if verdict is Verdict.FAILED else more.strip(", ")
        outcomes.append(Outcome(f"{program}::{name}", verdict, words))
    return outcomes
