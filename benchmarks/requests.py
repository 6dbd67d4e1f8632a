"""What a request pays for being authenticated: the same route asked with and without, in turns.

    python -m benchmarks.requests [--rounds N] [--seconds N] [--json]

One worker at a time on one core, wrk with 32 connections on the other, 200 tokens in Keycloak's shape, each known
before. The three kinds of the route are three applications that differ in nothing else (benchmarks.library); forward
auth and the whole API's own `/v1/me` are asked of the whole API. The middle ratio of the rounds counts. Then two
workers against one, on both cores. Ends with 1 when a bound is passed. Needs wrk.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from benchmarks.library import LEARN, PATH
from benchmarks.load import LOAD_CORE, SERVER_CORE, Measured, cpu_seconds, listens, on_core, wrk
from benchmarks.report import parser, report
from tenants_api.devrealms import DevRealmServer
from tests.support.processes import stop_group, wait_for
from tests.support.realms import dev_realms, migrate, settings_for
from tests.support.serving import environment, free_port
from tests.support.stack import ADMIN_KEY, CLIENT_ID, bearer

TOKENS = 200
WHOLE, LIBRARY = "benchmarks.app:create", "benchmarks.library:create"
KINDS = ("open", "scope", "principal")
PATHS = ("/unchecked", "/authz", "/v1/me")  # of the whole API
# Name, who is asked, against whom, the least that it may reach.
RATIOS = (
    ("scope / open", "scope", "open", 0.93),
    ("CurrentPrincipal / open", "principal", "open", 0.85),
    ("forward auth / unchecked", "/authz", "/unchecked", 0.85),
)
LEAST_OF_TWO = 1.8


@contextmanager
def running(
    folder: Path, realms: DevRealmServer, *, workers: int, app: str = WHOLE, **variables: str
) -> Iterator[tuple[str, int]]:
    """The application with a tenant; its address and process."""
    folder.mkdir()
    migrate(settings_for(realms, folder))
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", app, "--port", str(port)]
    command += ["--workers", str(workers), "--log-level", "error", "--no-access-log"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment(folder, realms) | {"TENANTS_LOG_LEVEL": "error"} | variables, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: listens(url), within=60, what="the application answers")
        body = {
            "slug": "acme",
            "name": "A",
            "realms": [{"issuer": realms.realm("acme").issuer, "client_id": CLIENT_ID}],
        }
        httpx.post(f"{url}/admin/v1/tenants", json=body, headers=bearer(ADMIN_KEY)).raise_for_status()
        yield url, process.pid
    finally:
        stop_group(process)


def measured(*, rounds: int, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Ratios by name, and microseconds of CPU of one request by kind or path."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="requests-")))
        realms = stack.enter_context(dev_realms("acme"))
        tokens = [realms.realm("acme").mint(claims={"jti": f"{number}"}) for number in range(TOKENS)]
        with on_core(SERVER_CORE):
            asked = _started(stack, realms, folder=folder)
        os.sched_setaffinity(0, {LOAD_CORE})
        for raw in tokens:  # from here on each is known
            for name, (url, _) in asked.items():
                known = url.replace(PATH, LEARN) if name in KINDS else url
                httpx.get(known, headers=bearer(raw)).raise_for_status()
        taken: dict[str, list[Measured]] = {name: [] for name in asked}
        spent: dict[str, list[float]] = {name: [] for name in asked}
        for _ in range(rounds):
            for name, (url, process) in asked.items():
                before = cpu_seconds([process])
                found = wrk(url, tokens=tokens, folder=folder, seconds=seconds)
                taken[name].append(found)
                spent[name].append((cpu_seconds([process]) - before) / (found.rps * seconds) * 1e6)
        ratios = {
            name: median(one.rps / other.rps for one, other in zip(taken[asked_for], taken[against], strict=True))
            for name, asked_for, against, _ in RATIOS
        }
    return ratios | {"two workers / one": _of_two(rounds=rounds, seconds=seconds)}, {
        name: median(values) for name, values in spent.items()
    }


def _started(stack: ExitStack, realms: DevRealmServer, *, folder: Path) -> dict[str, tuple[str, int]]:
    """What is asked, and the process that answers."""
    asked = {}
    for kind in KINDS:
        url, process = stack.enter_context(running(folder / kind, realms, workers=1, app=LIBRARY, ROUTE=kind))
        asked[kind] = (f"{url}{PATH}", process)
    url, process = stack.enter_context(running(folder / "whole", realms, workers=1))
    learnt = realms.realm("acme").mint()
    for path in ("/v1/me", "/learn"):  # the second wants a token that is known
        httpx.get(f"{url}{path}", headers=bearer(learnt)).raise_for_status()
    return asked | {path: (f"{url}{path}", process) for path in PATHS}


def _of_two(*, rounds: int, seconds: float) -> float:
    """Two workers against one. All cores for everybody: wrk takes its part of them in both."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="requests-")))
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        realms = stack.enter_context(dev_realms("acme"))
        tokens = [realms.realm("acme").mint(claims={"jti": f"{number}"}) for number in range(TOKENS)]
        urls = [stack.enter_context(running(folder / f"{n}", realms, workers=n))[0] for n in (1, 2)]
        pairs = [
            [wrk(f"{url}/v1/me", tokens=tokens, folder=folder, seconds=seconds).rps for url in urls]
            for _ in range(rounds)
        ]
    return median(two / one for one, two in pairs)


def main() -> int:
    options = parser("benchmarks.requests", __doc__, rounds=7)
    options.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    arguments = options.parse_args()
    ratios, spent = measured(rounds=arguments.rounds, seconds=arguments.seconds)
    least = {name: bound for name, _, _, bound in RATIOS} | {"two workers / one": LEAST_OF_TWO}
    found = ratios | {f"us of CPU, {path}": value for path, value in spent.items()}
    return report(found, most={}, least=least, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
