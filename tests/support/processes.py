"""Servers that a test started: whether they answer, what is waited for, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import httpx

STOP_DEADLINE = 15.0


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
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


def wait_for(true: Callable[[], bool], *, within: float, what: str) -> float:
    """Seconds that it took. AssertionError when it does not come true in time."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < within, f"not within {within:g} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - begun
