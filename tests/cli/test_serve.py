"""`serve` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Cli
from tests.support.ports import free_port
from tests.support.processes import stop_group, wait_for
from tests.support.waiting import DEADLINE

pytestmark = pytest.mark.servers
ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Served:
    """A running `serve` on a Unix socket, and its metrics port."""

    process: subprocess.Popen[bytes]
    path: Path
    metrics_port: int

    def get(self, path: str) -> httpx.Response:
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.path)), base_url="http://api", timeout=60
        ) as client:
            return client.get(path)

    def scrape(self) -> str:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        return httpx.get(url, trust_env=False, timeout=60).raise_for_status().text

    def is_up(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.path)) == 0


@contextmanager
def serving(cli: Cli, folder: Path, *words: str) -> Iterator[Served]:
    """`serve` with these options, from its first connection on."""
    path, metrics_port = folder / "api.sock", free_port()
    environment = {
        **os.environ, **cli.environment, "TENANTS_METRICS_PORT": str(metrics_port), "TMPDIR": str(folder),
        "TENANTS_ENVIRONMENT": "development",
    }  # fmt: skip
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tenants_api.cli", "serve", "--uds", str(path), *words],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    running = Served(process, path, metrics_port)
    try:
        wait_for(lambda: running.is_up() or process.poll() is not None, what="serve takes connections or has ended")
        assert running.is_up(), (folder / "serve.log").read_text("utf-8")
        yield running
    finally:
        stop_group(process)


@pytest.fixture
def served(cli: Cli, tmp_path: Path) -> Iterator[Served]:
    with serving(cli, tmp_path) as running:
        yield running


def test_serve_answers_on_its_socket_measures_on_its_port_and_ends_on_sigterm(served: Served) -> None:
    answer = served.get("/livez")
    scrape = served.scrape()

    assert answer.status_code == 200
    assert "server" not in answer.headers
    assert "x-worker" not in answer.headers
    assert "tenants_registry_version 0.0" in scrape
    assert served.get("/metrics").status_code == 404

    served.process.send_signal(signal.SIGTERM)
    # uvicorn ends in order, and then by the signal that it was sent.
    assert served.process.wait(DEADLINE) == -signal.SIGTERM
    assert "Application shutdown complete" in served.path.with_name("serve.log").read_text("utf-8")


def test_serve_is_ready_once_its_change_feed_has_looked(served: Served) -> None:
    wait_for(lambda: served.get("/readyz").status_code == 200, what="serve is ready")


ANSWERED = re.compile(r'^tenants_http_requests_total\{[^}]*route="/livez"[^}]*\} (\d+)', re.MULTILINE)


def test_one_metrics_port_answers_for_all_workers_also_after_one_was_killed(cli: Cli, tmp_path: Path) -> None:
    with serving(cli, tmp_path, "--workers", "2", "--show-worker") as served:
        workers: list[str] = []

        def ask() -> str:
            workers.append(served.get("/livez").headers["x-worker"])
            return workers[-1]

        wait_for(lambda: ask() != workers[0], what="both workers have answered")
        before = set(workers)
        assert [int(found) for found in ANSWERED.findall(served.scrape())] == [len(workers)]

        os.kill(int(workers[0]), signal.SIGKILL)
        wait_for(lambda: ask() not in before, what="a new worker answers")
        assert [int(found) for found in ANSWERED.findall(served.scrape())] == [len(workers)]
        folders = list(tmp_path.glob("tenants-metrics-*"))
        assert list(folders[0].glob(f"gauge_live*_{workers[0]}.db")) == []

        served.process.send_signal(signal.SIGTERM)
        served.process.wait(DEADLINE)
        assert list(tmp_path.glob("tenants-metrics-*")) == []


@pytest.mark.parametrize(
    ("environment", "refused"), [("production", True), ("development", False)], ids=["production", "development"]
)
def test_two_workers_of_uvicorn_on_sqlite_are_refused_in_production(
    cli: Cli, tmp_path: Path, environment: str, refused: bool
) -> None:
    """E28: without `serve`, each worker finds out for itself."""
    path, log = tmp_path / "api.sock", tmp_path / "uvicorn.log"
    words = ["--factory", "tenants_api:create_app", "--workers", "2", "--uds", str(path)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *words],
            cwd=ROOT,
            env={**os.environ, **cli.environment, "TENANTS_ENVIRONMENT": environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    ended = ("2 workers on SQLite block each other", "Application startup complete", "startup_complete")
    try:
        wait_for(lambda: any(one in log.read_text("utf-8") for one in ended), what="uvicorn's workers have started")
        assert (ended[0] in log.read_text("utf-8")) == refused
    finally:
        stop_group(process)


@pytest.mark.parametrize("more", [(), ("--authz-only",)], ids=["api", "authz-only"])
def test_busy_port_is_an_error_and_no_failed_check(cli: Cli, more: tuple[str, ...]) -> None:
    """E19"""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        words = ["serve", "--port", str(busy.getsockname()[1]), *more]
        ended = subprocess.run(
            [sys.executable, "-m", "tenants_api.cli", *words],
            env={**os.environ, **cli.environment},
            capture_output=True,
            check=False,
            timeout=DEADLINE,
        )

    assert ended.returncode == 1
    assert b"address already in use" in ended.stderr
