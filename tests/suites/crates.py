"""The crates whose sources carry suites: fetched by cargo, found by cargo."""

import json
import subprocess
from pathlib import Path

from .suite import CACHE

RDKAFKA = "0.39.0"
RDKAFKA_SYS = "2.12.1"
"""librdkafka's version, which the crate's own ends with."""

_MANIFEST = """[package]
name = "foreign-suites"
version = "0.0.0"
edition = "2024"
publish = false

[lib]
path = "empty.rs"

[dependencies]
rdkafka = { version = "=0.39.0", default-features = false }
rdkafka-sys = { version = "=4.10.0", default-features = false }

[workspace]
"""


def folder(crate: str) -> Path:
    """Where cargo keeps the sources of a crate, which are fetched where they are missing."""
    here = CACHE / "crates"
    here.mkdir(parents=True, exist_ok=True)
    (here / "empty.rs").touch()
    (here / "Cargo.toml").write_text(_MANIFEST)
    metadata = ["cargo", "metadata", "--quiet", "--format-version", "1", "--manifest-path", here / "Cargo.toml"]
    packages = json.loads(subprocess.run(metadata, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    return next(Path(package["manifest_path"]).parent for package in packages if package["name"] == crate)
