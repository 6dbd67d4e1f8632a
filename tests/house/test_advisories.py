"""The locks against a list of known holes, without a network: tests/data/advisories.json, which is kept by hand.

A list by hand knows only what somebody wrote into it. Where the network is there, `pip-audit -r requirements.lock
--require-hashes --disable-pip` asks for what is newer.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.house.test_locks import BUILD, EVERYTHING, RUNTIME, pinned
from tests.house.tree import ROOT

LOCKS = [EVERYTHING, RUNTIME, BUILD]
KNOWN: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "advisories.json").read_text("utf-8"))


def holes(name: str, *, version: str) -> list[str]:
    """The identifiers of the known holes that this version of a package has."""
    never: list[str] = KNOWN["never"].get(name, [])
    fixed = KNOWN["fixed"].get(name, {}).items()
    return never + [one for first, ids in fixed if Version(version) < Version(first) for one in ids]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_pin_has_a_known_hole(lock: Any) -> None:
    found = {name: holes(name, version=version) for name, (version, _) in pinned(lock).items()}
    assert {name: ids for name, ids in found.items() if ids} == {}


def test_list_speaks_of_what_is_locked_and_sees_an_old_version() -> None:
    locked = pinned(EVERYTHING)
    assert {"pyjwt", "starlette", "python-multipart", "h11"} <= locked.keys() & KNOWN["fixed"].keys()
    assert holes("pyjwt", version="2.13.0") != []
    assert holes("python-jose", version="99") != []


def test_what_is_declared_admits_no_version_with_a_known_hole() -> None:
    """Whoever installs without the locks gets what `pyproject.toml` allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    too_old = []
    for requirement in map(Requirement, declared):
        firsts = KNOWN["fixed"].get(canonicalize_name(requirement.name), {})
        too_old += [
            f"{requirement}: {first}"
            for first in firsts
            if requirement.specifier.contains(f"{first}.dev0", prereleases=True)
        ]
    assert too_old == []
