"""The time until a suspension is effective on three `serve` processes with two workers each.

    python -m benchmarks.suspension [--tries N] [--json]

Requests are sent continually to `/v1/me` on one connection to each worker. A try suspends the tenant by one of the
workers; its time is from that response until the last 200 of any worker. First with PostgreSQL's notifications, then
without. The exit code is 1 if a bound is exceeded. Needs PostgreSQL.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from tenants_api.database import migrations as migrating
from tests.support.postgres import find_binaries, running_postgres
from tests.support.realms import dev_realms
from tests.support.stack import ADMIN_KEY
from tests.topology.stage import Replicas, replicas

REPLICAS, WORKERS = 3, 2
PROMISED_SECONDS = 1.0  # until a change is effective on every worker
MOST = {"notified": {"p99": 0.05, "slowest": 1.0}, "polled": {"slowest": 1.0}}  # seconds


class Asker:
    """Sends requests to one worker continually; a connection stays with its worker."""

    def __init__(self, connection: http.client.HTTPConnection, *, token: str) -> None:
        self.last_good = 0.0
        self.status = 0
        self.calls = 0
        self._connection, self._headers = connection, {"Authorization": f"Bearer {token}"}
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended = True
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended:
            self.status = ask(self._connection, "/v1/me", headers=self._headers)[0]
            self.calls += 1
            if self.status == 200:
                self.last_good = time.monotonic()


def ask(connection: http.client.HTTPConnection, path: str, *, headers: dict[str, str]) -> tuple[int, bytes]:
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


@contextmanager
def askers(stage: Replicas, *, token: str) -> Iterator[list[Asker]]:
    """One for each worker, by its process id."""
    found: dict[int, http.client.HTTPConnection] = {}
    tried = 0
    while len(found) < REPLICAS * WORKERS:
        tried += 1
        if tried > 500:
            raise RuntimeError(f"{len(found)} workers responded, expected {REPLICAS * WORKERS}")
        address = stage.served[tried % REPLICAS].base_url.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=30)
        _, body = ask(connection, "/admin/v1/status", headers={"Authorization": f"Bearer {ADMIN_KEY}"})
        process = json.loads(body)["replica"]["process"]
        if found.setdefault(process, connection) is not connection:
            connection.close()
    running = [Asker(connection, token=token) for connection in found.values()]
    try:
        yield running
    finally:
        for one in running:
            one.end()


def tries(stage: Replicas, *, count: int) -> tuple[list[float], int]:
    """Seconds of each try, and the number of calls."""
    token = stage.onboard("acme", realm="acme")
    taken = []
    with askers(stage, token=token) as running:
        for number in range(count):
            until(running, status=200)
            one = stage.served[number % REPLICAS]
            one.admin("POST", "/tenants/acme/suspend", json={}).raise_for_status()
            changed = time.monotonic()
            until(running, status=403)
            taken.append(max(0.0, max(asker.last_good for asker in running) - changed))
            one.admin("POST", "/tenants/acme/resume", json={}).raise_for_status()
        calls = sum(asker.calls for asker in running)
    return taken, calls


def until(running: list[Asker], *, status: int) -> None:
    """Wait until every worker responds with this status for 0.1 s. Raises RuntimeError after ten times the bound."""
    begun, since = time.monotonic(), 0.0
    while time.monotonic() - begun < 10 * PROMISED_SECONDS:
        if any(asker.status != status for asker in running):
            since = 0.0
        elif since == 0.0:
            since = time.monotonic()
        elif time.monotonic() - since > 0.1:
            return
        time.sleep(0.005)
    raise RuntimeError(f"expected {status} of every worker, found {[asker.status for asker in running]}")


def measured(count: int) -> dict[str, dict[str, Any]]:
    programs = find_binaries()
    if programs is None:
        raise SystemExit("PostgreSQL is missing: apt-get install postgresql")
    found: dict[str, dict[str, Any]] = {}
    with running_postgres(programs) as server, dev_realms("acme") as realms, TemporaryDirectory() as folder:
        for way in MOST:
            owner_url = server.create_database()
            migrating.upgrade(owner_url)
            variables = {"TENANTS_DATABASE_URL": server.app_url(owner_url), "TENANTS_LOG_LEVEL": "error"}
            if way == "polled":  # no server listens on port 1
                variables["TENANTS_DATABASE_DIRECT_URL"] = owner_url.replace(f":{server.port}/", ":1/")
            place = Path(folder) / way
            place.mkdir()
            with replicas(place, realms, count=REPLICAS, workers=WORKERS, variables=variables) as stage:
                taken, calls = tries(stage, count=count)
            cuts = quantiles(taken, n=100)
            found[way] = {
                "tries": len(taken),
                "calls": calls,
                "p50": median(taken),
                "p99": cuts[98],
                "slowest": max(taken),
                "within a second": sum(one <= PROMISED_SECONDS for one in taken),
            }
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suspension", description=__doc__)
    parser.add_argument("--tries", type=int, default=200, help="of each way")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    found = measured(arguments.tries)
    if arguments.json:
        flat = {f"{way}, {name}": value for way, row in found.items() for name, value in row.items()}
        print(json.dumps({"found": flat}))
    else:
        for way, row in found.items():
            print(
                f"{way:9} {row['within a second']} of {row['tries']} within {PROMISED_SECONDS:g} s; "
                f"p50 {row['p50'] * 1000:.1f} ms, p99 {row['p99'] * 1000:.1f} ms, "
                f"slowest {row['slowest'] * 1000:.1f} ms; {row['calls']} calls"
            )
    return 1 if any(found[way][name] > most for way, limits in MOST.items() for name, most in limits.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
