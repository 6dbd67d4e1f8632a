"""The locks: every file by its hash, from whatever registry pip is set to, and one version in all of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import ROOT

EVERYTHING = ROOT / "requirements.lock"
RUNTIME = ROOT / "deploy" / "runtime.lock"
BUILD = ROOT / "deploy" / "build.lock"
WORKFLOWS = ROOT / ".ci" / "zizmor.lock"
PEERS = ROOT / "benchmarks" / "peers" / "python.lock"
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)")


@pytest.mark.parametrize("lock", [EVERYTHING, RUNTIME, BUILD, WORKFLOWS, PEERS], ids=lambda path: path.name)
def test_lock_names_no_registry(lock: Path) -> None:
    lines = [line for line in lock.read_text("utf-8").splitlines() if not line.lstrip().startswith("# ")]
    assert [line for line in lines if "://" in line or "@" in line or re.match(r"\s*-(?!-hash=)", line)] == []


@pytest.mark.parametrize("lock", [EVERYTHING, RUNTIME, BUILD, WORKFLOWS, PEERS], ids=lambda path: path.name)
def test_every_pin_has_a_hash(lock: Path) -> None:
    pins = pinned(lock)
    assert pins
    assert [name for name, (_, hashes) in pins.items() if not hashes] == []


@pytest.mark.parametrize("lock", [RUNTIME, BUILD], ids=lambda path: path.name)
def test_smaller_lock_pins_the_very_same_files(lock: Path) -> None:
    everything = pinned(EVERYTHING)
    assert {name: pin for name, pin in pinned(lock).items() if everything.get(name) != pin} == {}


def test_runtime_lock_satisfies_every_dependency() -> None:
    project = _pyproject()["project"]
    _assert_satisfied(project["dependencies"] + project["optional-dependencies"]["fast"], lock=RUNTIME)


def test_lock_satisfies_what_builds_and_tests() -> None:
    groups = _pyproject()["dependency-groups"]
    _assert_satisfied([entry for entry in groups["dev"] if isinstance(entry, str)], lock=EVERYTHING)
    _assert_satisfied(groups["build"] + _pyproject()["build-system"]["requires"], lock=BUILD)


def _assert_satisfied(wanted: list[str], *, lock: Path) -> None:
    pins = pinned(lock)
    for requirement in map(Requirement, wanted):
        version, _ = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} but the lock has {version}"


def pinned(lock: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Name to version and hashes; a name that stands twice (one line a platform) fails the test that reads it."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for entry in re.split(r"\n(?=[A-Za-z0-9])", lock.read_text("utf-8")):
        match = _PIN.match(entry)
        assert match, f"{lock.name} has an entry that is no pin: {entry[:60]!r}"
        name = canonicalize_name(match["name"])
        assert name not in found, name
        found[name] = (match["version"], frozenset(re.findall(r"--hash=(\S+)", entry)))
    return found


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
