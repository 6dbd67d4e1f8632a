"""No span, and no record of the telemetry's log, carries a token, wherever a process sets its providers.

They are set for a whole process and once, so the applications run in one of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def traced() -> dict[str, Any]:
    """What the exporters were given; `plain` is of an application that has FastAPI's defaults."""
    run = [sys.executable, "-W", "ignore", "-m", "tests.api.traced"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_providers_of_the_process_are_those_that_fastapi_writes_to(traced: dict[str, Any]) -> None:
    """Else the next test would look at nothing."""
    assert "access_token=canary" in traced["plain"]


def test_no_span_carries_a_token(traced: dict[str, Any]) -> None:
    """F3: refused with 400 as it is, the token was in the span's `url.query`."""
    assert {200, 400, 500} <= set(traced["statuses"])
    assert len(traced["tokens"]) == 2
    for token in traced["tokens"]:
        for part in token.split("."):
            assert part[:40] not in traced["ours"]
    assert "access_token" not in traced["ours"]
