"""Counts rows of other tenants in reads on shared connections, by queries without a filter.

    python -m benchmarks.isolation [--reads N] [--json]

Two processes, each with a pool of eight connections and sixteen concurrent readers, read as two hundred tenants in
random order; some transactions are rolled back or cancelled. The exit code is 1 if a foreign row was read. Needs
PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
import uuid
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress

from sqlalchemy import text

from tenants_api.database import migrations as migrating
from tenants_api.database.engine import Database
from tenants_api.ids import new_id
from tenants_api.items import Item
from tenants_api.registry.models import Tenant
from tests.support.postgres import find_binaries, running_postgres

TENANTS, PROCESSES, READERS, CONNECTIONS = 200, 2, 16, 8
EVERY = text("select tenant_id from items")  # no filter
SLOW = text("select pg_sleep(1)")


async def add_tenants(url: str) -> list[uuid.UUID]:
    """Tenants with three items each."""
    database, ids = Database(url), [new_id() for _ in range(TENANTS)]
    async with database.begin() as session:
        session.add_all(Tenant(id=one, slug=f"t-{one.hex}", name="T", state="active") for one in ids)
    for one in ids:
        async with database.begin(tenant_id=one) as session:
            session.add_all(Item(tenant_id=one, title=f"{number}", created_by="s") for number in range(3))
    await database.aclose()
    return ids


def read(url: str, tenants: list[uuid.UUID], count: int, seed: int) -> Counter[str]:
    """Read in this process; counts `own`, `foreign` and `missing` rows, and interrupted transactions."""
    return asyncio.run(_read(url, tenants=tenants, count=count, chance=random.Random(seed)))


async def _read(url: str, *, tenants: list[uuid.UUID], count: int, chance: random.Random) -> Counter[str]:
    database, seen, left = Database(url, pool_size=CONNECTIONS), Counter[str](), count
    turns = asyncio.Semaphore(CONNECTIONS)

    async def reader() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            tenant = chance.choice(tenants)
            async with turns:
                if chance.random() < 0.002:
                    await _interrupt(database, tenant=tenant, how=chance.choice(("cancelled", "failed")), seen=seen)
                async with database.read(tenant_id=tenant) as session:
                    rows = list(await session.scalars(EVERY))
            seen["reads"] += 1
            seen["own"] += rows.count(tenant)
            seen["foreign"] += len(rows) - rows.count(tenant)
            seen["missing"] += 3 - rows.count(tenant)

    await asyncio.gather(*(reader() for _ in range(READERS)))
    await database.aclose()
    return seen


async def _interrupt(database: Database, *, tenant: uuid.UUID, how: str, seen: Counter[str]) -> None:
    """Interrupt a transaction of this tenant, whose connection the next one uses."""
    with suppress(TimeoutError, ZeroDivisionError):
        async with database.read(tenant_id=tenant) as session:
            await session.execute(EVERY)
            if how == "failed":
                raise ZeroDivisionError
            async with asyncio.timeout(0.01):
                await session.execute(SLOW)
    seen[how] += 1


def measured(reads: int) -> dict[str, float]:
    programs = find_binaries()
    if programs is None:
        raise SystemExit("PostgreSQL is missing: apt-get install postgresql")
    with running_postgres(programs) as server, ProcessPoolExecutor(PROCESSES) as pool:
        owner_url = server.create_database()
        migrating.upgrade(owner_url)
        url = server.app_url(owner_url)
        tenants = asyncio.run(add_tenants(url))
        begun = time.monotonic()
        parts = [pool.submit(read, url, tenants, reads // PROCESSES, seed) for seed in range(PROCESSES)]
        seen = sum((part.result() for part in parts), Counter[str]())
        taken = time.monotonic() - begun
    names = ("reads", "own", "foreign", "missing", "cancelled", "failed")
    return {name: seen[name] for name in names} | {"seconds": round(taken, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.isolation", description=__doc__)
    parser.add_argument("--reads", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    found = measured(arguments.reads)
    print(
        json.dumps({"found": found})
        if arguments.json
        else "\n".join(f"{name:10} {value:>12,}" for name, value in found.items())
    )
    return 0 if found["foreign"] == found["missing"] == 0 and found["reads"] else 1


if __name__ == "__main__":
    sys.exit(main())
