"""`serve` as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Cli
from tests.support.ports import free_port
from tests.support.processes import wait_for
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

    def is_up(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.path)) == 0


@pytest.fixture
def served(cli: Cli, tmp_path: Path) -> Iterator[Served]:
    path, metrics_port = tmp_path / "api.sock", free_port()
    environment = {**os.environ, **cli.environment, "TENANTS_METRICS_PORT": str(metrics_port)}
    with (tmp_path / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tenants_api.cli", "serve", "--uds", str(path)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    running = Served(process, path, metrics_port)
    try:
        wait_for(lambda: running.is_up() or process.poll() is not None, what="serve takes connections or has ended")
        assert running.is_up(), (tmp_path / "serve.log").read_text("utf-8")
        yield running
    finally:
        process.kill()
        process.wait()


def test_serve_answers_on_its_socket_measures_on_its_port_and_ends_on_sigterm(served: Served) -> None:
    answer = served.get("/livez")
    scrape = httpx.get(f"http://127.0.0.1:{served.metrics_port}/metrics", trust_env=False, timeout=60)

    assert answer.status_code == 200
    assert "server" not in answer.headers
    assert "x-worker" not in answer.headers
    assert "tenants_registry_version 0.0" in scrape.text
    assert served.get("/metrics").status_code == 404

    served.process.send_signal(signal.SIGTERM)
    # uvicorn ends in order, and then by the signal that it was sent.
    assert served.process.wait(DEADLINE) == -signal.SIGTERM
    assert "Application shutdown complete" in served.path.with_name("serve.log").read_text("utf-8")


def test_serve_is_ready_once_its_change_feed_has_looked(served: Served) -> None:
    wait_for(lambda: served.get("/readyz").status_code == 200, what="serve is ready")
