"""The demo, as a machine runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tenants_api.devkit.demo.stage import nginx
from tests.support.machine import require

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("demo")]  # one demo serves all these tests

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Played:
    code: int
    steps: list[dict[str, Any]]
    talk: str
    log: str


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "tenants_api.cli", "demo", "--exit", "--json", "--keep", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stdout, done.stderr
    return Played(done.returncode, json.loads(done.stdout), done.stderr, (folder / "serve.log").read_text("utf-8"))


def test_every_step_of_the_story_comes_true(played: Played) -> None:
    assert played.code == 0, played.talk
    assert [step["step"] for step in played.steps if not step["ok"]] == []


def test_both_workers_follow_every_change(played: Played) -> None:
    everywhere = [step for step in played.steps if "every worker" in step["step"]]

    assert [step["http"] for step in everywhere] == ["200 200", "403 403", "200 200"]


def test_workers_log_no_token_and_no_key(played: Played) -> None:
    assert played.log
    assert "eyJ" not in played.log
    assert "Bearer" not in played.log


def test_last_step_passes_through_nginx_where_there_is_one(played: Played) -> None:
    last = played.steps[-1]
    require("nginx", available=nginx() is not None, how="apt-get install nginx")
    assert (last["http"], last["answer"]) == ("401 200", "acme editor alice")
