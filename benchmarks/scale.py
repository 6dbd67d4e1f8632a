"""The cost of a hundred thousand idle tenants for one that is in use.

    python -m benchmarks.scale [--tenants N] [--rounds N] [--json]

`tenants apply` imports the idle tenants from an NDJSON file into PostgreSQL; every fifth has two realms. Two servers
with their own databases, one tenant and all, are compared by start, memory, requests a second (median ratio of the
rounds), onboarding, and a page and searches of the list. The exit code is 1 if a bound is exceeded. Needs PostgreSQL
and wrk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.load import LOAD_CORE, SERVER_CORE, on_core, onboard, wrk
from benchmarks.report import parser, report
from tenants_api.database import migrations as migrating
from tenants_api.devkit.realms import DevRealmServer
from tests.support.postgres import PostgresServer, find_binaries, running_postgres
from tests.support.realms import dev_realms
from tests.support.serving import Served, serving
from tests.support.stack import CLIENT_ID

URL = "https://login-{}.example.com/realms/{}"
MOST = {"bytes of an idle tenant": 1000.0, "onboarding, all / one": 1.25}
LEAST = {"rps, all / one": 0.98}
REPEATS = 15


@dataclass(frozen=True)
class Side:
    """A server with one tenant, or with all."""

    served: Served
    token: str
    ready: float  # seconds from the start of the process
    memory: float  # private bytes


def write_tenants(path: Path, *, count: int) -> int:
    """Write an NDJSON file of so many tenants; the number of their realms."""
    realms = 0
    with path.open("w", encoding="utf-8") as lines:
        for number in range(count):
            names = ("main", "old") if number % 5 == 0 else ("main",)
            documents = [{"issuer": URL.format(number, name), "client_id": CLIENT_ID} for name in names]
            realms += len(documents)
            lines.write(
                json.dumps({"slug": f"tenant-{number:06}", "name": f"Tenant {number}", "realms": documents}) + "\n"
            )
    return realms


def apply(path: Path, *, url: str) -> float:
    """Seconds of `tenants apply`. Raises RuntimeError if it failed."""
    command = [
        sys.executable,
        "-m",
        "tenants_api.cli",
        "tenants",
        "apply",
        "-f",
        str(path),
        "--activate",
        "unchecked",
        "--yes",
    ]
    begun = time.monotonic()
    done = subprocess.run(
        command, env={**os.environ, "TENANTS_DATABASE_URL": url, "TENANTS_ENVIRONMENT": "development"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return time.monotonic() - begun


def start(stack: ExitStack, folder: Path, realms: DevRealmServer, *, url: str) -> Side:
    folder.mkdir()
    begun = time.monotonic()
    with on_core(SERVER_CORE):
        more = {"TENANTS_DATABASE_URL": url, "TENANTS_RECONCILE_INTERVAL": "0", "TENANTS_LOG_LEVEL": "error"}
        served = stack.enter_context(serving(folder, realms, workers=1, **more))
    ready = time.monotonic() - begun
    memory = own_memory(served.process.pid)
    onboard(served.base_url, realms.realm("acme"))
    return Side(served, realms.realm("acme").mint(), ready, memory)


def own_memory(process: int) -> float:
    """Bytes that the process does not share (Private_Dirty and Private_Clean of Linux)."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(float(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def middle(action: Callable[[], None], *, repeats: int = REPEATS) -> float:
    """The median of so many calls in milliseconds."""
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        action()
        taken.append((time.perf_counter() - begun) * 1000)
    return median(taken)


def onboarding(side: Side, realms: DevRealmServer) -> float:
    """Milliseconds to onboard a realm with all checks."""
    body = {"slug": "new", "name": "New", "realms": [{"issuer": realms.realm("new").issuer, "client_id": CLIENT_ID}]}
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        made = side.served.admin("POST", "/tenants", json=body)
        taken.append((time.perf_counter() - begun) * 1000)
        if made.status_code != 201 or made.json()["state"] != "active":
            raise RuntimeError(made.text)
        side.served.admin("DELETE", "/tenants/new", headers={"If-Match": "*"}).raise_for_status()
        side.served.admin("POST", "/tenants/new/purge", json={}).raise_for_status()
    return median(taken)


def known(side: Side, path: str) -> Callable[[], None]:
    """A call of the admin plane that raises unless it succeeds."""
    return lambda: [side.served.admin("GET", path).raise_for_status()].clear()


def measured(*, count: int, rounds: int) -> dict[str, float]:
    programs = find_binaries()
    if programs is None:
        raise SystemExit("PostgreSQL is missing: apt-get install postgresql")
    with ExitStack() as stack:
        server: PostgresServer = stack.enter_context(running_postgres(programs))
        realms = stack.enter_context(dev_realms("acme", "new"))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="scale-")))
        urls = [server.create_database() for _ in range(2)]
        for url in urls:
            migrating.upgrade(url)
        number = write_tenants(folder / "tenants.ndjson", count=count)
        imported = apply(folder / "tenants.ndjson", url=urls[1])
        again = apply(folder / "tenants.ndjson", url=urls[1])
        one, all_ = (
            start(stack, folder / name, realms, url=server.app_url(url))
            for name, url in zip(("one", "all"), urls, strict=True)
        )
        os.sched_setaffinity(0, {LOAD_CORE})
        pairs = [
            [
                wrk(f"{side.served.base_url}/v1/me", tokens=[side.token], folder=folder, seconds=4)
                for side in (one, all_)
            ]
            for _ in range(rounds)
        ]
        boarding = [onboarding(side, realms) for side in (one, all_)]
        last = f"tenant-{count - 1:06}"
        return {
            "tenants": count,
            "realms": number,
            "import, seconds": imported,
            "import again (unchanged), seconds": again,
            "ready, one, seconds": one.ready,
            "ready, all, seconds": all_.ready,
            "bytes of an idle tenant": (all_.memory - one.memory) / count,
            "rps, all / one": median(second.rps / first.rps for first, second in pairs),
            "p99, all / one": median(second.p99 / first.p99 for first, second in pairs),
            "onboarding one, ms": boarding[0],
            "onboarding, all / one": boarding[1] / boarding[0],
            "first page of 100, ms": middle(known(all_, "/tenants?limit=100")),
            "one by its slug, ms": middle(known(all_, f"/tenants/{last}")),
            "search by issuer, ms": middle(known(all_, f"/tenants?issuer={URL.format(count - 1, 'main')}")),
            "search by a part of the slug, ms": middle(known(all_, f"/tenants?q={last[7:]}")),
        }


def main() -> int:
    options = parser("benchmarks.scale", __doc__, rounds=5)
    options.add_argument("--tenants", type=int, default=100_000)
    arguments = options.parse_args()
    found = measured(count=arguments.tenants, rounds=arguments.rounds)
    return report(found, most=MOST, least=LEAST, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
