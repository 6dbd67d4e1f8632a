"""The time to load 100,000 tenants and their keys at the start of a worker ÷ that of a simple implementation.

    python -m benchmarks.loading [--tenants N] [--rounds N] [--json]

PostgreSQL has as many active tenants, each with a realm and its stored key set. Ours is `RegistryReplica.load()`: rows
by columns, keys parsed when a token needs them. The simple implementation: objects by the ORM with their relations, and
a `PyJWKSet` of each. Each in its own process; the result is the median ratio of the rounds. The exit code is 1 if a
bound is exceeded. Needs PostgreSQL.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import jwt
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from benchmarks.active import fill
from benchmarks.report import middle, parser, report
from tenants_api.clocks import Clocks
from tenants_api.database import migrations as migrating
from tenants_api.database.engine import Database
from tenants_api.observability.metrics import Metrics
from tenants_api.registry.models import RealmKeysRow, Tenant
from tenants_api.replica.factory import compose_verification
from tenants_api.replica.sql_storage import SessionStorage
from tenants_api.settings import Settings
from tenants_api.tokens.principal import SAMPLE_ROLES
from tests.support.postgres import find_binaries, running_postgres

MOST = {"ours / ORM and PyJWKSet": 0.25}


async def ours(url: str) -> int:
    """Load by `RegistryReplica.load()`; the number of realms."""
    database = Database(url)
    parts = compose_verification(
        Settings(database_url=url),
        storage=SessionStorage(database),
        roles=SAMPLE_ROLES,
        clocks=Clocks(),
        metrics=Metrics(),
    )
    await parts.replica.load()
    await parts.replica.aclose()
    await parts.client.aclose()
    await database.aclose()
    return parts.replica.realm_count


async def eager(url: str) -> int:
    """Load objects with realms and rules, and parse every key; the number of realms."""
    database = Database(url)
    query = select(Tenant).options(selectinload(Tenant.realms), selectinload(Tenant.role_rules))
    async with database.read() as session:
        tenants = (await session.scalars(query)).all()
        stored = (await session.scalars(select(RealmKeysRow))).all()
    keys = {row.realm_id: jwt.PyJWKSet.from_dict(json.loads(row.jwks)) for row in stored}
    by_issuer = {realm.issuer: (realm, keys[realm.id]) for tenant in tenants for realm in tenant.realms}
    await database.aclose()
    return len(by_issuer)


WAYS = {"ours": ours, "eager": eager}


def timed(way: str, *, url: str) -> dict[str, float]:
    """Seconds and realms of one process."""
    command = [sys.executable, "-m", "benchmarks.loading", "--way", way, "--url", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measured(*, tenants: int, rounds: int) -> dict[str, float]:
    """The result of all rounds."""
    programs = find_binaries()
    if programs is None:
        raise SystemExit("PostgreSQL is missing: apt-get install postgresql")
    with running_postgres(programs) as server:
        url = server.create_database()
        migrating.upgrade(url)
        asyncio.run(fill(url, tenants=tenants))
        taken: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, seconds in taken.items():
                found = timed(way, url=url)
                if found["realms"] != tenants:
                    raise RuntimeError(f"{way} read {found['realms']} of {tenants} realms")
                seconds.append(found["seconds"])
    ratios = [one / other for one, other in zip(taken["ours"], taken["eager"], strict=True)]
    return (
        middle("ours / ORM and PyJWKSet", ratios)
        | {"tenants": tenants}
        | {f"seconds, {way}": median(seconds) for way, seconds in taken.items()}
    )


def main() -> int:
    options = parser("benchmarks.loading", __doc__, rounds=5)
    options.add_argument("--tenants", type=int, default=100_000)
    options.add_argument("--way", choices=WAYS, help="load once in this process, and print the time")
    options.add_argument("--url", help="the database that is read with --way")
    arguments = options.parse_args()
    if arguments.way:
        begun = time.perf_counter()
        realms = asyncio.run(WAYS[arguments.way](arguments.url))
        print(json.dumps({"realms": realms, "seconds": time.perf_counter() - begun}))
        return 0
    return report(measured(tenants=arguments.tenants, rounds=arguments.rounds), most=MOST, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
