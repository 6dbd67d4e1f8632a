"""CPU time of a request ÷ that of Java servers with the same function.

    python -m benchmarks.jvm [--rounds N] [--seconds N] [--json]

Spring Boot, Quarkus (benchmarks/peers) and this product trust the same fifty realms, and get the same thousand tokens
with claims of a real Keycloak. Each server has one core and a warm-up of 45 s, this product of 5 s. The Java servers
cache no token; this product is measured with and without its cache. The result is the median ratio of the rounds. The
exit code is 1 if a bound is exceeded. Needs wrk, java, and mvn for the first run.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.library import PATH
from benchmarks.load import LOAD_CORE, SERVER_CORE, cpu_seconds, on_core, onboard, started, wrk
from benchmarks.peers.maven import Missing, built, java, java_version
from benchmarks.report import parser, report
from benchmarks.requests import LIBRARY
from benchmarks.verification import LARGER_CLAIMS_BYTES, larger_claims
from tenants_api.devkit.realms import DevRealm, DevRealmServer
from tests.support.ports import free_port
from tests.support.realms import dev_realms, migrate, settings_for
from tests.support.serving import environment
from tests.support.stack import CLIENT_ID, bearer

NAMES = tuple(f"realm-{number}" for number in range(50))
TOKENS = 1000
TOKEN_LIFETIME_SECONDS = 3600  # longer than any run
WARM_UP_SECONDS, OWN_WARM_UP_SECONDS = 45.0, 5.0
SPRING, QUARKUS, REMEMBERING, EVERY_NEW = "Spring", "Quarkus", "remembered", "new"
MOST = {
    f"{REMEMBERING} / {SPRING}": 0.35,
    f"{REMEMBERING} / {QUARKUS}": 0.65,
    f"{EVERY_NEW} / {SPRING}": 0.60,
    f"{EVERY_NEW} / {QUARKUS}": 1.10,
}
JARS = {SPRING: "target/peer.jar", QUARKUS: "target/quarkus-app/quarkus-run.jar"}


@dataclass(frozen=True, slots=True)
class Running:
    """A server under test: the URL that returns the tenant of a token, and the seconds of its warm-up."""

    asked: str
    process: int
    warm: float


@contextmanager
def running_java(*, jar: Path, realms: DevRealmServer, folder: Path) -> Iterator[Running]:
    folder.mkdir()
    port = free_port()
    variables = os.environ | {
        "PEER_ISSUERS": ",".join(realms.realm(name).issuer for name in NAMES),
        "PEER_AUDIENCE": CLIENT_ID,
        "SERVER_PORT": str(port),  # for Spring
        "SERVER_ADDRESS": "127.0.0.1",
        "QUARKUS_HTTP_PORT": str(port),
        "QUARKUS_HTTP_HOST": "127.0.0.1",
    }
    url = f"http://127.0.0.1:{port}"
    command = [java(), "-XX:ActiveProcessorCount=1", "-jar", str(jar)]
    with (
        on_core(SERVER_CORE),
        started(command, log=folder / "log", variables=variables, ready=f"{url}/open") as process,
    ):
        yield Running(f"{url}/bench", process, WARM_UP_SECONDS)


@contextmanager
def running_ours(*, realms: DevRealmServer, folder: Path, **variables: str) -> Iterator[Running]:
    """One worker of this product as a library, with each realm registered as a tenant."""
    folder.mkdir()
    migrate(settings_for(realms, folder))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", "--factory", LIBRARY, "--port", str(port)]
    command += ["--log-level", "error", "--no-access-log"]
    given = environment(folder, realms) | {"TENANTS_LOG_LEVEL": "error"} | variables
    with on_core(SERVER_CORE), started(command, log=folder / "log", variables=given, ready=url) as process:
        for name in NAMES:
            onboard(url, realms.realm(name))
        yield Running(f"{url}{PATH}", process, OWN_WARM_UP_SECONDS)


def claims_of(realm: DevRealm, *, number: int = 0) -> dict[str, Any]:
    """Claims of a login token of a real Keycloak with groups (1.3 kB), for this realm and time."""
    issued = int(time.time()) - 10
    own = {"iss": realm.issuer, "iat": issued, "exp": issued + TOKEN_LIFETIME_SECONDS, "jti": f"onrtro:{number}"}
    return larger_claims(LARGER_CLAIMS_BYTES) | own


def require_verdicts(server: Running, *, realms: DevRealmServer) -> None:
    """Raises RuntimeError unless the server refuses forged, foreign and missing tokens, and accepts others.

    Afterwards the server has each realm's keys, so that no fetch competes with the load.
    """
    first, second = (realms.realm(name) for name in NAMES[:2])
    genuine, other = (first.keys.encode(claims_of(first, number=number)) for number in (0, 1))
    forged = f"{genuine.rpartition('.')[0]}.{other.rpartition('.')[2]}"
    of_another = second.keys.encode(claims_of(first), header={"kid": first.keys.kid})
    unknown = first.keys.encode(claims_of(first) | {"iss": f"{first.issuer}-unknown"})
    elsewhere = first.keys.encode(claims_of(first) | {"aud": "another"})
    with httpx.Client(timeout=30, trust_env=False) as client:
        for bad in (forged, of_another, unknown, elsewhere, None):
            answer = client.get(server.asked, headers=bearer(bad) if bad else {})
            if answer.status_code != 401:
                raise RuntimeError(f"{server.asked} responded with {answer.status_code}, expected 401")
        for realm in map(realms.realm, NAMES):
            answer = client.get(server.asked, headers=bearer(realm.keys.encode(claims_of(realm))))
            if answer.status_code != 200 or answer.json() != {"tenant": realm.name}:
                raise RuntimeError(f"{server.asked}: {answer.status_code} {answer.text}, expected 200 {realm.name}")


def spent(server: Running, *, tokens: list[str], folder: Path, seconds: float) -> float:
    """Microseconds of CPU of one request, of all threads of the process."""
    before = cpu_seconds([server.process])
    found = wrk(server.asked, tokens=tokens, folder=folder, seconds=seconds)
    return (cpu_seconds([server.process]) - before) / (found.rps * seconds) * 1e6


@contextmanager
def all_running(realms: DevRealmServer, *, jars: dict[str, Path], folder: Path) -> Iterator[dict[str, Running]]:
    """The servers by name; all run, and one at a time is under load."""
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(running_java(jar=jar, realms=realms, folder=folder / name))
            for name, jar in jars.items()
        }
        servers[REMEMBERING] = stack.enter_context(running_ours(realms=realms, folder=folder / REMEMBERING))
        servers[EVERY_NEW] = stack.enter_context(
            running_ours(realms=realms, folder=folder / EVERY_NEW, TENANTS_VERIFIED_TOKENS="0")
        )
        yield servers


def measured(*, rounds: int, seconds: float) -> dict[str, float]:
    """The ratios, and microseconds of CPU of one request by server."""
    taken: dict[str, list[float]] = {}
    jars = {name: built(name.lower(), made=made) for name, made in JARS.items()}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="jvm-")))
        realms = stack.enter_context(dev_realms(*NAMES))
        servers = stack.enter_context(all_running(realms, jars=jars, folder=folder))
        os.sched_setaffinity(0, {LOAD_CORE})  # the realms run in this process
        makers = [realms.realm(NAMES[number % len(NAMES)]) for number in range(TOKENS)]
        tokens = [realm.keys.encode(claims_of(realm, number=number)) for number, realm in enumerate(makers)]
        for server in servers.values():
            require_verdicts(server, realms=realms)
            wrk(server.asked, tokens=tokens, folder=folder, seconds=server.warm)
        for _ in range(rounds):
            for name, server in servers.items():
                cost = spent(server, tokens=tokens, folder=folder, seconds=seconds)
                taken.setdefault(name, []).append(cost)
    ratios = {
        f"{ours} / {theirs}": median(one / other for one, other in zip(taken[ours], taken[theirs], strict=True))
        for ours in (REMEMBERING, EVERY_NEW)
        for theirs in (SPRING, QUARKUS)
    }
    return ratios | {f"us of CPU, {name}": median(costs) for name, costs in taken.items()} | {"Java": java_version()}


def main() -> int:
    options = parser("benchmarks.jvm", __doc__, rounds=9)
    options.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    arguments = options.parse_args()
    try:
        found = measured(rounds=arguments.rounds, seconds=arguments.seconds)
    except Missing as missing:
        sys.exit(str(missing))
    return report(found, most=MOST, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
