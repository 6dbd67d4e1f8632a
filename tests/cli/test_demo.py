"""The demo, as a machine runs it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from typer.main import get_command

from tenants_api.devkit.demo.command import demo
from tenants_api.devkit.demo.stage import TokenRealms, Workers, nginx
from tenants_api.devkit.demo.story import Stage, through_nginx
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
    # What an earlier demo left, and a folder of that name which is not ours.
    for name in ("demo.db", "demo.db-wal", "serve.log"):
        (folder / name).write_bytes(b"left")
    (folder / "nginx").mkdir()
    (folder / "import").mkdir()
    (folder / "import" / "mine").touch()
    done = subprocess.run(
        [sys.executable, "-m", "tenants_api.cli", "demo", "--exit", "--json", "--keep", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stdout, done.stderr
    assert (folder / "import" / "mine").exists()
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


def test_busy_port_is_named_at_once() -> None:
    """E25"""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        words = [sys.executable, "-m", "tenants_api.cli", "demo", "--exit", "--port", port]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"error: the port {port} is in use" in done.stderr


@pytest.mark.anyio
async def test_step_without_nginx_is_skipped() -> None:
    """E25: it was shown as a green ok."""
    step = await through_nginx(Stage(cast("Workers", None), cast("TokenRealms", None)))
    assert (step.ok, step.skipped, step.answer) == (True, True, "nginx is not installed")


def test_help_of_the_script_names_every_option_and_installs_nothing(tmp_path: Path) -> None:
    """E25"""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "demo", tmp_path / "scripts")  # without `_bootstrap`
    done = subprocess.run(
        ["sh", str(tmp_path / "scripts" / "demo"), "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    verb = typer.Typer(add_completion=False)
    verb.command()(demo)
    options = {name for one in get_command(verb).params for name in one.opts if name.startswith("--")}
    assert set(re.findall(r"^  (--[a-z]+)", done.stdout, re.MULTILINE)) == options - {
        "--install-completion",
        "--show-completion",
    }


@pytest.mark.parametrize(
    ("by", "found", "started"),
    [("java", ["docker", "java", "mvn"], "Java"), ("container", [], "no container engine runs"),
     ("auto", [], "java and mvn is missing")],
)  # fmt: skip
def test_keycloak_is_started_as_chosen(by: str, found: list[str], started: str, tmp_path: Path) -> None:
    """E3: with programs that do nothing; a container that fails is followed by Java, unless it was asked for."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in found:
        (programs / name).write_text("#!/bin/sh\nexit 7\n", "utf-8")
        (programs / name).chmod(0o755)
    words = [sys.executable, "-m", "tenants_api.cli", "demo", "--exit", f"--keycloak={by}", "--keep", str(tmp_path)]
    environment = {"PATH": str(programs), "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert (started if found == [] else "mvn exited with 7") in done.stderr


def test_container_that_does_not_start_is_followed_by_java(tmp_path: Path) -> None:
    """E3: podman without the image, for example."""
    programs = tmp_path / "programs"
    programs.mkdir()
    docker = '#!/bin/sh\n[ "$1" = info ] && exit 0\necho "no image $*"; exit 125\n'
    for name, text in (("docker", docker), ("java", "#!/bin/sh\n"), ("mvn", "#!/bin/sh\nexit 7\n")):
        (programs / name).write_text(text, "utf-8")
        (programs / name).chmod(0o755)
    environment = {"PATH": str(programs), "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for by, last in (("--keycloak", "mvn exited with 7"), ("--keycloak=container", "Keycloak did not start")):
        words = [sys.executable, "-m", "tenants_api.cli", "demo", "--exit", by, "--keep", str(tmp_path / "kept")]
        done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert "quay.io/keycloak/keycloak:" in done.stderr
        assert last in done.stderr


def test_last_step_passes_through_nginx_where_there_is_one(played: Played) -> None:
    last = played.steps[-1]
    require("nginx", available=nginx() is not None, how="apt-get install nginx")
    assert (last["http"], last["answer"]) == ("401 200", "acme editor alice")
