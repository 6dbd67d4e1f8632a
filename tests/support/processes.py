"""Servers that a test started: whether they answer, what is waited for, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

import httpx

from tests.support.waiting import DEADLINE

STOP_DEADLINE = 30.0


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return httpx.get(url, timeout=20, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End the process group that a test started, and nothing else."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(STOP_DEADLINE)
    except ProcessLookupError:
        process.wait()
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(true: Callable[[], bool], *, what: str, within: float = DEADLINE) -> None:
    """AssertionError when it does not come true within so many seconds."""
    give_up = time.monotonic() + within
    while not true():
        assert time.monotonic() < give_up, f"not within {within:g} s: {what}"
        time.sleep(0.05)


def all_workers_follow(urls: Sequence[str], *, workers: int, admin_key: str) -> None:
    """Wait until each of the `workers` of each server has the newest version of the registry.

    The worker that made the last change has it before it answers; so it is the newest where all have the same.
    """
    headers, versions = {"Authorization": f"Bearer {admin_key}"}, dict[int, int]()

    def follow() -> bool:
        for url in urls:
            for _ in range(4 * workers):  # each call is a connection of its own: any worker may get it
                status = httpx.get(f"{url}/admin/v1/status", headers=headers, timeout=30, trust_env=False).json()
                versions[status["replica"]["process"]] = status["registry"]["version"]
        return len(versions) == workers * len(urls) and len(set(versions.values())) == 1

    wait_for(follow, what=f"{workers} workers of {len(urls)} servers have the same version of the registry")
