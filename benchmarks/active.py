"""Latency with ten thousand tenants in use ÷ with one, with cached tokens and without a cache.

    python -m benchmarks.active [--tenants N] [--rounds N] [--seconds N] [--json]

Each tenant has a realm with its own issuer and `kid`; key sets are stored in the database, so nothing is fetched. Each
side has ten thousand tokens, of one tenant or of all. Warm is with the default cache of verified tokens, cold is
without. wrk on one core sends requests to four servers on the other in turn; the result is the median ratio of the
rounds. The exit code is 1 if a bound is exceeded. Needs wrk.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sqlalchemy import insert

from benchmarks.load import LOAD_CORE, SERVER_CORE, Measured, on_core, wrk
from benchmarks.report import middles, parser, report
from benchmarks.verification import compact, sample_claims
from tenants_api.database.engine import Database
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.ids import new_id
from tenants_api.jwks.parse import parse_key_set
from tenants_api.jwks.realm_keys import UsableKeys
from tenants_api.registry.models import Realm, RealmKeysRow, Tenant
from tenants_api.replica.stored_keys import to_stored
from tests.support.realms import dev_realms, migrate, settings_for
from tests.support.serving import Served, serving
from tests.support.stack import CLIENT_ID
from tests.support.tokens import Key, jwks

TOKENS, SHARED_KEYS = 10_000, 8
MOST = {"p99 warm, all / one": 1.10, "p99 cold, all / one": 1.25}
# Neither polls of the registry nor renewals of keys during a measurement: other benchmarks measure those.
QUIET = {
    "TENANTS_RECONCILE_INTERVAL": "0",
    "TENANTS_REGISTRY_POLL": "60",
    "TENANTS_KEY_LIFETIME": "86400",
    "TENANTS_LOG_LEVEL": "error",
}


def issuer(number: int) -> str:
    return f"https://login-{number}.example.com/realms/main"


def key(number: int) -> Key:
    """The realm's key: one of a few, with its own kid."""
    return Key(f"shared-{number % SHARED_KEYS}", kid=f"kid-of-realm-{number:06}-3vPq0sS8Vn2yJ4T")


def tokens(tenants: int) -> list[str]:
    """Different tokens of that many realms."""
    now = int(time.time())
    claims = sample_claims() | {"iat": now, "exp": now + 7200}
    return [
        key(number % tenants).token(compact(claims | {"iss": issuer(number % tenants), "jti": f"onrtro:{number}"}))
        for number in range(TOKENS)
    ]


async def fill(url: str, *, tenants: int) -> None:
    """Store active tenants with a realm each, whose keys are new."""
    database, now = Database(url), datetime.now(UTC)
    ids = [(new_id(), new_id()) for _ in range(tenants)]
    async with database.begin() as session:
        await session.execute(
            insert(Tenant),
            [
                {"id": tenant, "slug": f"tenant-{number}", "name": f"Tenant {number}", "state": "active"}
                for number, (tenant, _) in enumerate(ids)
            ],
        )
        await session.execute(
            insert(Realm),
            [
                {
                    "id": realm, "tenant_id": tenant, "issuer": issuer(number), "realm_url": issuer(number),
                    "client_id": CLIENT_ID, "audiences": [CLIENT_ID], "algorithms": ["RS256"],
                }
                for number, (tenant, realm) in enumerate(ids)
            ],
        )  # fmt: skip
        stored = (
            to_stored(
                realm,
                issuer=issuer(number),
                realm_url=issuer(number),
                fetched=UsableKeys(parse_key_set(jwks(key(number))), 0, True),
                fetched_at=now,
            )
            for number, (_, realm) in enumerate(ids)
        )
        await session.execute(
            insert(RealmKeysRow), [{name: getattr(one, name) for name in one.__slots__} for one in stored]
        )
    await database.aclose()


def start(stack: ExitStack, folder: Path, realms: DevRealmServer, *, tenants: int) -> tuple[Served, Served]:
    """A server with the default cache and one without, with the same tenants."""
    folder.mkdir()
    settings = settings_for(realms, folder)
    migrate(settings)
    asyncio.run(fill(settings.database_url, tenants=tenants))
    with on_core(SERVER_CORE):
        warm = stack.enter_context(serving(folder, realms, workers=1, **QUIET))
        cold = stack.enter_context(serving(folder, realms, workers=1, **QUIET, TENANTS_VERIFIED_TOKENS="0"))
    return warm, cold


def ask(served: Served, raw: list[str], *, folder: Path, seconds: float) -> Measured:
    return wrk(f"{served.base_url}/v1/me", tokens=raw, folder=folder, seconds=seconds)


def use_all(served: Served, raw: list[str], *, folder: Path) -> None:
    """Send every token once, so that its realm's keys are loaded and the token is cached."""
    left = 1.2 * TOKENS
    while left > 0:
        left -= ask(served, raw, folder=folder, seconds=3).rps * 3


def measured(*, tenants: int, rounds: int, seconds: float) -> dict[str, float]:
    """The ratios of all tenants to one."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="active-")))
        realms = stack.enter_context(dev_realms())
        one, every = (start(stack, folder / f"{count}", realms, tenants=count) for count in (1, tenants))
        os.sched_setaffinity(0, {LOAD_CORE})
        of_one, of_all = tokens(1), tokens(tenants)
        pairs = {
            "warm": ((one[0], of_one), (every[0], of_all)),
            "cold": ((one[1], of_one), (every[1], of_all)),
        }
        for sides in pairs.values():
            for served, raw in sides:
                use_all(served, raw, folder=folder)
        taken: dict[str, list[list[Measured]]] = {name: [] for name in pairs}
        for _ in range(rounds):
            for name, sides in pairs.items():
                taken[name].append([ask(served, raw, folder=folder, seconds=seconds) for served, raw in sides])
        check_nothing_fetched(one + every)
    found = middles({f"p99 {name}, all / one": [b.p99 / a.p99 for a, b in each] for name, each in taken.items()})
    found |= {f"p50 {name}, all / one": median(b.p50 / a.p50 for a, b in each) for name, each in taken.items()}
    found |= {f"rps {name}, all / one": median(b.rps / a.rps for a, b in each) for name, each in taken.items()}
    return found | {f"p99 {name}, one, ms": median(a.p99 for a, _ in each) for name, each in taken.items()}


def check_nothing_fetched(servers: tuple[Served, ...]) -> None:
    """Raises RuntimeError if a server sent a request to a realm: the realms do not exist."""
    for served in servers:
        lines = served.call("GET", "/metrics").text.splitlines()
        asked = [line for line in lines if line.startswith("tenants_jwks_fetches_total") and not line.endswith(" 0.0")]
        if asked:
            raise RuntimeError(f"a server fetched keys: {asked}")


def main() -> int:
    options = parser("benchmarks.active", __doc__, rounds=7)
    options.add_argument("--tenants", type=int, default=10_000)
    options.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    arguments = options.parse_args()
    found = measured(tenants=arguments.tenants, rounds=arguments.rounds, seconds=arguments.seconds)
    return report(found, most=MOST, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
