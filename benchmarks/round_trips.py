"""Counts SQL statements and requests to a realm for a request.

    python -m benchmarks.round_trips [--rounds N] [--json]

The API runs in this process: a thousand requests with cached tokens, and two hundred with new tokens of realms with
keys. Statements are counted at the driver, requests at the realm. The registry is polled once a minute, and no request
waits for it. The exit code is 1 if a count is not 0. `--rounds` repeats all, and the maximum is printed.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import event

from benchmarks.report import parser, report
from tenants_api.devkit.realms import DevRealmServer
from tests.support.realms import dev_realms
from tests.support.stack import ApiClient, onboard, running_app

WARM, NEW = 1_000, 200
NAMES = (
    "statements of warm requests",
    "fetches of warm requests",
    "statements of new tokens",
    "fetches of new tokens",
)
MOST = dict.fromkeys(NAMES, 0.0)


@contextmanager
def counting(client: ApiClient, server: DevRealmServer, *, kind: str) -> Iterator[Counter[str]]:
    """The counts while the block runs."""
    found = Counter[str]()
    services = client.app.state.services
    engines = services.database.engine.sync_engine, services.follower.engine.sync_engine

    def note(*_: Any) -> None:
        found[f"statements of {kind}"] += 1

    before = requests_of(server)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
        found[f"fetches of {kind}"] = requests_of(server) - before


def requests_of(server: DevRealmServer) -> int:
    return sum(sum(realm.requests.values()) for realm in server.realms.values())


async def ask(client: ApiClient, tokens: list[str], *, times: int = 1) -> None:
    """Send each token so many times."""
    for raw in tokens * times:
        answer = await client.me(raw)
        if answer.status_code != 200:
            raise RuntimeError(answer.text)


async def once() -> Counter[str]:
    with TemporaryDirectory(prefix="round-trips-") as folder, dev_realms("acme", "globex") as server:
        async with running_app(Path(folder), server, registry_poll=60) as client:
            for name in server.realms:
                await onboard(client, name)
            realms = list(server.realms.values())
            known = [realm.mint(claims={"jti": f"{number}"}) for realm in realms for number in range(50)]
            unseen = [realm.mint(claims={"jti": f"new-{number}"}) for realm in realms for number in range(NEW // 2)]
            await check_counts(client, server)
            await ask(client, known)
            await asyncio.sleep(1)  # for writes after onboarding and the first fetches
            with counting(client, server, kind="warm requests") as warm:
                await ask(client, known, times=WARM // len(known))
            with counting(client, server, kind="new tokens") as new:
                await ask(client, unseen)
            return warm + new


async def check_counts(client: ApiClient, server: DevRealmServer) -> None:
    """Check both counters by an onboarding, which uses the database and the realm."""
    with counting(client, server, kind="onboarding") as found:
        server.add("hooli")
        await onboard(client, "hooli")
    if not all(found.values()):
        raise RuntimeError(f"a counter counts nothing: {found}")


def main() -> int:
    arguments = parser("benchmarks.round_trips", __doc__, rounds=1).parse_args()
    rounds = [asyncio.run(once()) for _ in range(arguments.rounds)]
    found: dict[str, float] = {name: max(one[name] for one in rounds) for name in NAMES}
    return report(found, most=MOST, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
