"""What a scrape shows where several workers count into one folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from tenants_api.observability.metrics import FOLDER_VARIABLE, registry_of_workers, shared_by

# A worker: it counts, publishes its gauges once, says so, and lives until its stdin ends.
WORKER = """
import asyncio, sys
from tenants_api.observability.metrics import Metrics

number = int(sys.argv[1])
metrics = Metrics()
metrics.token_verified("accepted", seconds=0.0002)
metrics.jwks_fetched("success", seconds=0.02)
metrics.watch("registry_version", lambda: number, about="version", across="livemin")
metrics.watch("registry_lag_seconds", lambda: number, about="lag", across="livemax")
metrics.watch("verified_tokens", lambda: number, about="tokens", across="livesum")
realms = [{("healthy",): number}, {("failing",): number}]
metrics.watch_each("jwks_realms", lambda: realms[0], about="realms", labels=("health",), across="livemax")

async def published():
    for _ in range(2):
        try:
            await asyncio.wait_for(metrics.publish(), 1)
        except TimeoutError:
            pass
        realms.reverse()

asyncio.run(published())
print(metrics.is_shared, flush=True)
sys.stdin.read()
"""


@contextmanager
def worker(number: int) -> Iterator[subprocess.Popen[str]]:
    """A worker that has published its gauges; it is gone after the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
    finally:
        process.communicate()


@pytest.fixture
def folder() -> Iterator[Path]:
    with shared_by(2):
        yield Path(os.environ[FOLDER_VARIABLE])


def scraped() -> dict[str, float]:
    lines = generate_latest(registry_of_workers()).decode("utf-8").splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_scrape_answers_for_all_workers(folder: Path) -> None:
    with ExitStack() as stack:
        for number in (3, 5):
            stack.enter_context(worker(number))
        found = scraped()

    assert found['tenants_token_verifications_total{reason="none",result="accepted"}'] == 2
    assert found['tenants_verify_duration_seconds_bucket{le="0.00025"}'] == 2
    assert found["tenants_jwks_last_success_timestamp_seconds"] > 0
    assert found["tenants_registry_version"] == 3
    assert found["tenants_registry_lag_seconds"] == 5
    assert found["tenants_verified_tokens"] == 8
    # What is read no more is 0, not what it was.
    assert (found['tenants_jwks_realms{health="healthy"}'], found['tenants_jwks_realms{health="failing"}']) == (0, 5)


def test_gauges_of_a_dead_worker_go_and_what_it_counted_stays(folder: Path) -> None:
    with worker(5):
        with worker(3) as died:
            pass
        found = scraped()

        assert found["tenants_registry_version"] == 5
        assert found["tenants_verified_tokens"] == 5
        assert found['tenants_token_verifications_total{reason="none",result="accepted"}'] == 2
        assert list(folder.glob(f"gauge_live*_{died.pid}.db")) == []


def test_folder_is_removed_and_one_worker_needs_none() -> None:
    with shared_by(2):
        folder = Path(os.environ[FOLDER_VARIABLE])
        assert folder.is_dir()
    with shared_by(1):
        assert FOLDER_VARIABLE not in os.environ
    assert not folder.exists()
