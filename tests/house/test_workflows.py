"""The workflows: actions pinned by commit, least permissions, every supported Python and the newest Keycloak."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house.tree import ROOT
from tests.live.keycloak_server import DEFAULT_VERSION

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$")

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="an unpacked archive has no workflows")


def load(path: Path) -> dict[str, Any]:
    # PyYAML reads the key `on` as true.
    loaded: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return loaded


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in load(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_keep_no_credentials(path: Path) -> None:
    used = [step for step in steps(path) if "uses" in step]
    assert used
    assert [step["uses"] for step in used if not _PINNED.match(step["uses"])] == []
    checkouts = [step for step in used if step["uses"].startswith("actions/checkout@")]
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_has_no_rights_but_those_of_its_jobs_and_no_secrets(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {}
    assert all("timeout-minutes" in job and "permissions" in job for job in workflow["jobs"].values())
    assert "pull_request_target" not in workflow[True]
    assert "secrets." not in path.read_text("utf-8")


def test_every_supported_python_is_tested_and_must_pass() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]
    supported = {found[1] for one in classifiers if (found := re.search(r":: (3\.\d+)$", one))}
    job = load(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["test"]
    assert supported <= set(job["strategy"]["matrix"]["python"])
    assert [version for version in supported if f"'{version}'" in job["continue-on-error"]] == []


def test_newest_keycloak_is_among_those_of_the_night() -> None:
    job = load(ROOT / ".github" / "workflows" / "keycloak.yml")["jobs"]["live"]
    assert DEFAULT_VERSION in job["strategy"]["matrix"]["keycloak"]
