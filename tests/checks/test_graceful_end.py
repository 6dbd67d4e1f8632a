"""The end of a server: whatever was begun is answered."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.realms import dev_realms
from tests.support.serving import serving

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("serving")]
CALLS = 8


def test_sigterm_answers_every_request_under_way_and_takes_no_new_one(tmp_path: Path) -> None:
    with dev_realms("acme") as realms, serving(tmp_path, realms) as served:
        acme = realms.realm("acme")
        acme.faults.slow_seconds = 0.5  # a check asks the realm three times, so a call takes longer than a second

        def check(_: int) -> tuple[int, bool]:
            answer = served.admin("POST", "/issuer-checks", json={"issuer": acme.issuer, "client_id": "tenants-api"})
            return answer.status_code, answer.json()["ready"]

        with ThreadPoolExecutor(CALLS) as callers:
            answers = callers.map(check, range(CALLS))
            while acme.requests.total() < CALLS // 2:
                time.sleep(0.05)
            time.sleep(0.2)
            os.kill(served.process.pid, signal.SIGTERM)
            assert list(answers) == [(200, True)] * CALLS
        served.process.wait(20)
        with pytest.raises(httpx.ConnectError):
            served.call("GET", "/livez")
