"""p99 of a tenant beside misbehaving realms, to which requests are sent continually, ÷ beside honest ones.

    python -m benchmarks.liars [--seconds N] [--rounds N] [--json]

One server has a tenant under load, and a tenant for every response of `tests/attacks/test_lying_realms.py`, whose
tokens are sent too. In each round the other realms first respond correctly, and then misbehave: huge, slow, hanging,
redirecting or broken responses. Key sets live for three seconds, so that they are fetched continually. Needs wrk.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from benchmarks.load import LOAD_CORE, SERVER_CORE, Measured, on_core, onboard, wrk
from benchmarks.report import parser, report
from tests.attacks.test_lying_realms import LIES, relaying
from tests.support.realms import dev_realms
from tests.support.serving import serving
from tests.support.sockets import Answer, Server
from tests.support.stack import bearer

KEY_LIFETIME_SECONDS = "3"
PAUSE_SECONDS = 0.02  # between two tokens of misbehaving realms
NAMES = {lie: f"liar-{number}" for number, lie in enumerate(LIES)}


@asynccontextmanager
async def calling(url: str, tokens: list[str]) -> AsyncIterator[None]:
    """Send these tokens in turn while the block runs; responses are ignored."""

    async def call() -> None:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            while True:
                for raw in tokens:
                    under_way.add(task := asyncio.create_task(client.get(f"{url}/v1/me", headers=bearer(raw))))
                    task.add_done_callback(under_way.discard)
                    await asyncio.sleep(PAUSE_SECONDS)

    under_way: set[asyncio.Task[httpx.Response]] = set()
    caller = asyncio.create_task(call())
    try:
        yield
    finally:
        caller.cancel()
        await asyncio.wait({caller, *under_way}, timeout=10)


async def measured(*, rounds: int, seconds: float) -> dict[str, float]:
    pairs: list[list[Measured]] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="liars-")))
        server = stack.enter_context(dev_realms("acme", *NAMES.values()))
        fronts: dict[str, Server] = {lie: await stack.enter_async_context(relaying(server.port)) for lie in LIES}
        honest: dict[str, bytes | Answer] = {lie: front.answer for lie, front in fronts.items()}
        ports = [str(port) for port in (server.port, *(front.port for front in fronts.values()))]
        with on_core(SERVER_CORE):
            served = stack.enter_context(
                serving(
                    folder,
                    server,
                    workers=1,
                    TENANTS_KEY_LIFETIME=KEY_LIFETIME_SECONDS,
                    TENANTS_RECONCILE_INTERVAL="0",
                    TENANTS_LOG_LEVEL="error",
                    TENANTS_ALLOWED_REALM_PORTS=",".join(ports),
                    TENANTS_INSECURE_HTTP_HOSTS=",".join(f"127.0.0.1:{port}" for port in ports),
                )
            )
        os.sched_setaffinity(0, {LOAD_CORE})  # the realms run in this process
        acme = server.realm("acme")
        await asyncio.to_thread(onboard, served.base_url, acme)
        for lie, name in NAMES.items():
            url = f"http://127.0.0.1:{fronts[lie].port}/realms/{name}"
            await asyncio.to_thread(onboard, served.base_url, server.realm(name), realm_url=url)
        liars = [server.realm(name).mint() for name in NAMES.values()]
        async with calling(served.base_url, liars):
            for _ in range(rounds):
                pair = []
                for answers in (honest, LIES):
                    for lie, front in fronts.items():
                        front.answer = answers[lie]
                    await asyncio.sleep(1)
                    url = f"{served.base_url}/v1/me"
                    pair.append(await asyncio.to_thread(wrk, url, tokens=[acme.mint()], folder=folder, seconds=seconds))
                pairs.append(pair)
    return {
        "p99 beside liars / honest": median(lying.p99 / honest.p99 for honest, lying in pairs),
        "p50 beside liars / honest": median(lying.p50 / honest.p50 for honest, lying in pairs),
        "rps beside liars / honest": median(lying.rps / honest.rps for honest, lying in pairs),
        "p99 beside honest realms, ms": median(honest.p99 for honest, _ in pairs),
    }


def main() -> int:
    options = parser("benchmarks.liars", __doc__, rounds=5)
    options.add_argument("--seconds", type=float, default=6.0, help="of each half of a round")
    arguments = options.parse_args()
    found = asyncio.run(measured(rounds=arguments.rounds, seconds=arguments.seconds))
    return report(found, most={"p99 beside liars / honest": 1.25}, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
