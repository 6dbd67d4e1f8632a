"""The end of a server: whatever was begun is answered."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.processes import wait_for
from tests.support.realms import dev_realms
from tests.support.serving import serving
from tests.support.waiting import DEADLINE

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("serving")]
CALLS = 8


def test_sigterm_answers_every_request_under_way_and_takes_no_new_one(tmp_path: Path) -> None:
    with dev_realms("acme") as realms, serving(tmp_path, realms, TENANTS_REALM_TIMEOUT="30") as served:
        acme = realms.realm("acme")
        acme.faults.slow_seconds = 3  # until all calls have come: each asks the realm

        def check(_: int) -> tuple[int, bool]:
            answer = served.admin("POST", "/issuer-checks", json={"issuer": acme.issuer, "client_id": "tenants-api"})
            return answer.status_code, answer.json()["ready"]

        with ThreadPoolExecutor(CALLS) as callers:
            answers = callers.map(check, range(CALLS))
            wait_for(lambda: acme.requests.total() >= CALLS, what="every call is under way")
            os.kill(served.process.pid, signal.SIGTERM)
            acme.faults.clear()
            assert list(answers) == [(200, True)] * CALLS
        served.process.wait(DEADLINE)
        with pytest.raises(httpx.ConnectError):
            served.call("GET", "/livez")
