"""The cost of authentication: the same route with and without.

    python -m benchmarks.requests [--rounds N] [--seconds N] [--json]

One worker at a time on one core, wrk with 32 connections on the other, 200 cached tokens in Keycloak's format. The
kinds of the route are applications of benchmarks.library: the open one has nothing of this product, and gets the same
tokens. Forward auth and `/v1/me` are routes of the API. The result is the median ratio of the rounds. Processes differ
in speed after each start, so all are started several times. Then two workers on two cores ÷ one on one. The exit code
is 1 if a bound is exceeded. Needs wrk.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

import httpx

from benchmarks.library import LEARN, NOOP, NOT_OURS, OPEN, PATH
from benchmarks.load import LOAD_CORE, SERVER_CORE, cpu_seconds, on_core, onboard, started, wrk
from benchmarks.report import middles, parser, report
from tenants_api.devkit.realms import DevRealmServer
from tests.support.ports import free_port
from tests.support.realms import dev_realms, migrate, settings_for
from tests.support.serving import environment
from tests.support.stack import bearer

TOKENS = 200
WHOLE, LIBRARY = "benchmarks.app:create", "benchmarks.library:create"
KINDS = (OPEN, NOOP, "scope", "principal")
PATHS = ("/unchecked", "/authz", "/v1/me")  # of the whole API
# Name, measured kind, kind that it is compared with, minimum.
RATIOS = (
    ("a dependency that does nothing / open", NOOP, OPEN, 0.0),
    ("scope / open", "scope", "open", 0.93),
    ("CurrentPrincipal / open", "principal", "open", 0.85),
    ("forward auth / unchecked", "/authz", "/unchecked", 0.85),
)
MIN_TWO_WORKERS_RATIO = 1.8


@contextmanager
def running(
    folder: Path, realms: DevRealmServer, *, workers: int, app: str = WHOLE, **variables: str
) -> Iterator[tuple[str, int]]:
    """The application, with a tenant if it has this product; its URL and process id."""
    folder.mkdir()
    plain = variables.get("ROUTE") in NOT_OURS
    if not plain:
        migrate(settings_for(realms, folder))
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", app, "--port", str(port)]
    command += ["--workers", str(workers), "--log-level", "error", "--no-access-log"]
    url, given = f"http://127.0.0.1:{port}", environment(folder, realms) | {"TENANTS_LOG_LEVEL": "error"} | variables
    with started(command, log=folder / "log", variables=given, ready=url) as process:
        if not plain:
            onboard(url, realms.realm("acme"))
        yield url, process


def measured(*, starts: int, rounds: int, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """The ratios by name, and microseconds of CPU of one request by kind or path."""
    ratios: dict[str, list[float]] = {name: [] for name, *_ in RATIOS}
    spent: dict[str, list[float]] = {}
    for _ in range(starts):
        for rps, each in _rounds(rounds=rounds, seconds=seconds):
            for name, asked_for, against, _ in RATIOS:
                ratios[name].append(rps[asked_for] / rps[against])
            for name, value in each.items():
                spent.setdefault(name, []).append(value)
    ratios["two workers / one"] = _of_two(rounds=rounds, seconds=seconds)
    return middles(ratios), {name: median(values) for name, values in spent.items()}


def _rounds(*, rounds: int, seconds: float) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """Requests a second and microseconds of CPU by kind or path in each round, of newly started processes."""
    cores = os.sched_getaffinity(0)
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, cores)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="requests-")))
        realms = stack.enter_context(dev_realms("acme"))
        tokens = [realms.realm("acme").mint(claims={"jti": f"{number}"}) for number in range(TOKENS)]
        with on_core(SERVER_CORE):
            asked = _started(stack, realms, folder=folder)
        os.sched_setaffinity(0, {LOAD_CORE})
        for raw in tokens:  # caches each
            for name, (url, _) in asked.items():
                known = url.replace(PATH, LEARN) if name in KINDS and name not in NOT_OURS else url
                httpx.get(known, headers=bearer(raw)).raise_for_status()
        for _ in range(rounds):
            rps, spent = {}, {}
            for name, (url, process) in asked.items():
                before = cpu_seconds([process])
                rps[name] = wrk(url, tokens=tokens, folder=folder, seconds=seconds).rps
                spent[name] = (cpu_seconds([process]) - before) / (rps[name] * seconds) * 1e6
            yield rps, spent


def _started(stack: ExitStack, realms: DevRealmServer, *, folder: Path) -> dict[str, tuple[str, int]]:
    """The URL and process id of each kind and path."""
    asked = {}
    for kind in KINDS:
        url, process = stack.enter_context(running(folder / kind, realms, workers=1, app=LIBRARY, ROUTE=kind))
        asked[kind] = (f"{url}{PATH}", process)
    url, process = stack.enter_context(running(folder / "whole", realms, workers=1))
    learnt = realms.realm("acme").mint()
    for path in ("/v1/me", "/learn"):  # the second needs a cached token
        httpx.get(f"{url}{path}", headers=bearer(learnt)).raise_for_status()
    return asked | {path: (f"{url}{path}", process) for path in PATHS}


def _of_two(*, rounds: int, seconds: float) -> list[float]:
    """The ratios of two workers on two cores to one worker on one; wrk runs on the same cores.

    One core may be slower than the other, so the single worker is measured on each.
    """
    cores = (SERVER_CORE, LOAD_CORE)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="requests-")))
        os.sched_setaffinity(0, cores)
        realms = stack.enter_context(dev_realms("acme"))
        tokens = [realms.realm("acme").mint(claims={"jti": f"{number}"}) for number in range(TOKENS)]
        (one, process), (two, _) = (stack.enter_context(running(folder / f"{n}", realms, workers=n)) for n in (1, 2))

        def rate(url: str, *on: int) -> float:
            return wrk(f"{url}/v1/me", tokens=tokens, folder=folder, seconds=seconds, cores=on).rps

        ratios = []
        for _ in range(rounds):
            each = []
            for core in cores:
                os.sched_setaffinity(process, {core})
                each.append(rate(one, core))
            ratios.append(rate(two, *cores) / mean(each))
    return ratios


def main() -> int:
    options = parser("benchmarks.requests", __doc__, rounds=3)
    options.add_argument("--starts", type=int, default=3, help="of each process; each has all rounds")
    options.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    arguments = options.parse_args()
    ratios, spent = measured(starts=arguments.starts, rounds=arguments.rounds, seconds=arguments.seconds)
    least = {name: bound for name, _, _, bound in RATIOS if bound} | {"two workers / one": MIN_TWO_WORKERS_RATIO}
    found = ratios | {f"us of CPU, {path}": value for path, value in spent.items()}
    return report(found, most={}, least=least, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
