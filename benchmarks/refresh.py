"""What renewing key sets costs the requests: latency while twenty realms a second are renewed, as a ratio to idle.

    python -m benchmarks.refresh [--seconds N] [--rounds N] [--json]

The development realms are a process of their own. Two copies of the API's services hold the same hundred realms: one
whose key sets live for an hour, and one whose sets live for five seconds, so that twenty a second are fetched, parsed
and stored while it answers. The rounds take turns; the middle ratio counts. Then two counts that need no clock: fetches
of one realm for 200 cold requests at once, and for 500 invented kids. Ends with 1 when a bound is passed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from fastapi import FastAPI

from tenants_api.app import create_app
from tenants_api.migrating import upgrade
from tenants_api.settings import Settings
from tenants_api.verification.errors import TokenError
from tests.support.processes import answers, stop_group
from tests.support.serving import free_port
from tests.support.verifying import Stage

REALMS, LIFETIME = 100, 5.0  # renewed at four fifths of their lifetime: a hundred in four to five seconds
MOST = {"p99 while renewing / idle": 1.25, "fetches for 200 cold requests": 1, "fetches for 500 invented kids": 1}
ADMIN_KEY = "benchmark-admin-key-0123456789abcdefgh"


@contextmanager
def dev_realms(names: list[str]) -> Iterator[str]:
    """The development realms in a process of their own; gives their URL."""
    port = free_port()
    command = [sys.executable, "-m", "tenants_api.cli", "dev-realms", "serve", "--port", str(port)]
    command += [word for name in names for word in ("--realm", name)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until = time.monotonic() + 60
        while not answers(f"http://127.0.0.1:{port}/realms/{names[-1]}"):
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError("the development realms did not start")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop_group(process)


@asynccontextmanager
async def api(folder: Path, *, port: str, lifetime: float) -> AsyncIterator[httpx.AsyncClient]:
    """The whole application on a database of its own, without sockets: what is timed is its own work."""
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        environment="development",
        database_url=f"sqlite+aiosqlite:///{folder / f'{lifetime}.db'}",
        admin_api_key=ADMIN_KEY,  # type: ignore[arg-type]
        insecure_http_hosts=(f"127.0.0.1:{port}",),
        allowed_private_networks=("127.0.0.0/8",),
        allowed_realm_ports=(int(port),),
        key_lifetime=lifetime,
        reconcile_interval=0,
        log_level="error",
    )
    await asyncio.to_thread(upgrade, settings.database_url)
    app: FastAPI = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as client,
    ):
        yield client


async def onboard(client: httpx.AsyncClient, url: str, names: list[str]) -> dict[str, str]:
    """Register all realms; a token of each."""
    tokens = {}
    for name in names:
        issuer = f"{url}/realms/{name}"
        body = {"slug": name, "name": name, "realms": [{"issuer": issuer, "client_id": "tenants-api"}]}
        key = {"Authorization": f"Bearer {ADMIN_KEY}"}
        answer = await client.post("/admin/v1/tenants", json=body, headers=key)
        if answer.status_code != 201 or answer.json()["state"] != "active":
            raise RuntimeError(answer.text)
        form = {"grant_type": "password", "client_id": "web", "username": "alice", "password": "alice-pw"}
        async with httpx.AsyncClient() as realm:
            given = (await realm.post(f"{issuer}/protocol/openid-connect/token", data=form)).json()
        tokens[name] = given["access_token"]
    return tokens


async def p99(client: httpx.AsyncClient, tokens: dict[str, str], *, seconds: float) -> float:
    """Milliseconds of the slowest hundredth of calls to /v1/me, realm after realm, for so long."""
    taken, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        for raw in tokens.values():
            begun = time.perf_counter()
            answer = await client.get("/v1/me", headers={"Authorization": f"Bearer {raw}"})
            taken.append((time.perf_counter() - begun) * 1000)
            if answer.status_code != 200:
                raise RuntimeError(answer.text)
            await asyncio.sleep(0.001)
    return quantiles(taken, n=100)[98]


async def renewing(*, seconds: float, rounds: int) -> dict[str, Any]:
    names = [f"r{number:03}" for number in range(REALMS)]
    with TemporaryDirectory(prefix="refresh-") as folder, dev_realms(names) as url:
        port = url.rpartition(":")[2]
        async with AsyncExitStack() as stack:
            idle, busy = [
                await stack.enter_async_context(api(Path(folder), port=port, lifetime=lifetime))
                for lifetime in (3600.0, LIFETIME)
            ]
            tokens = await onboard(idle, url, names)
            await onboard(busy, url, names)
            pairs, began = [], await fetched(busy)
            for _ in range(rounds):
                pairs.append([await p99(client, tokens, seconds=seconds) for client in (idle, busy)])
            renewals = (await fetched(busy) - began) / (rounds * seconds)
    return {
        "p99 while renewing / idle": median(second / first for first, second in pairs),
        "p99 idle, ms": median(first for first, _ in pairs),
        "renewals a second": renewals,
    }


async def fetched(client: httpx.AsyncClient) -> float:
    """How many key sets were fetched so far, by the metric."""
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("tenants_jwks_fetches_total"))


async def counts() -> dict[str, int]:
    """Fetches of one realm, cold and for kids that nobody knows."""
    cold = Stage()
    await asyncio.gather(*(cold.verifier.verify(cold.token(jti=str(number))) for number in range(200)))
    warm = Stage()
    await warm.verifier.verify(warm.token())
    await refused(warm, "first")  # this one is answered by a fetch; those that follow come within its cooldown
    before = warm.world.fetches[warm.issuer("acme")]
    await asyncio.gather(*(refused(warm, f"kid-{number}") for number in range(500)))
    return {
        "fetches for 200 cold requests": cold.world.fetches[cold.issuer("acme")],
        "fetches for 500 invented kids": warm.world.fetches[warm.issuer("acme")] - before,
    }


async def refused(stage: Stage, kid: str) -> None:
    try:
        await stage.verifier.verify(stage.keys["acme"].token(stage.claims(), kid=kid))
    except TokenError:
        return
    raise RuntimeError("an invented kid was accepted")


async def measured(*, seconds: float, rounds: int) -> dict[str, Any]:
    return {**await renewing(seconds=seconds, rounds=rounds), **await counts()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refresh", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each half of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    found = asyncio.run(measured(seconds=arguments.seconds, rounds=arguments.rounds))
    if arguments.json:
        print(json.dumps({"found": found, "limits": MOST}))
    else:
        for name, value in found.items():
            print(f"{name:32} {value:8.2f}" + (f"   at most {MOST[name]}" if name in MOST else ""))
    return 1 if any(found[name] > most for name, most in MOST.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
