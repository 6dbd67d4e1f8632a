"""Behind PgBouncer in transaction mode: each transaction may have another connection, where no setting may stay."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import psycopg
import pytest

from tenants_api.assertions.storage import SealedKey
from tenants_api.devkit.realms import DevRealmServer
from tests.replica.storage.stores import opened_store
from tests.support.postgres import PostgresServer
from tests.support.processes import wait_for
from tests.topology.stage import Replicas, pooled, replicas

pytestmark = pytest.mark.xdist_group("pgbouncer")
CONNECTIONS = 3  # to PostgreSQL, for everything that the four workers have open


@pytest.fixture(scope="module", params=["direct", "pooled only"])
def stage(
    request: pytest.FixtureRequest,
    needs_pgbouncer: None,
    postgres_server: PostgresServer,
    owner_url: str,
    realms: DevRealmServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Replicas]:
    """With a URL past the pooler for LISTEN, and without one, where nothing is ever notified."""
    folder = tmp_path_factory.mktemp("pooled")
    app_url = postgres_server.app_url(owner_url)
    with pooled(folder, port=postgres_server.port, pool=CONNECTIONS) as port:
        variables = {"TENANTS_DATABASE_URL": app_url.replace(f":{postgres_server.port}/", f":{port}/")}
        if request.param == "direct":
            variables["TENANTS_DATABASE_DIRECT_URL"] = app_url
        with replicas(folder, realms, count=2, workers=2, variables=variables) as opened:
            yield opened


def test_two_tenants_share_connections_and_never_rows(stage: Replicas) -> None:
    slugs = {realm: f"{realm}-{time.monotonic_ns()}" for realm in ("globex", "initech")}
    tokens = {realm: stage.onboard(slug, realm=realm) for realm, slug in slugs.items()}
    for realm, token in tokens.items():
        assert stage.call("POST", "/v1/items", token=token, json={"title": realm}).status_code == 201

    def read(number: int) -> tuple[str, int, frozenset[str]]:
        realm = ("globex", "initech")[number % 2]
        url = stage.served[number // 2 % len(stage.served)].base_url
        answer = stage.client.get(f"{url}/v1/items", headers={"Authorization": f"Bearer {tokens[realm]}"})
        return realm, answer.status_code, frozenset(item["title"] for item in answer.json()["data"])

    with ThreadPoolExecutor(16) as pool:
        seen = Counter(pool.map(read, range(800)))
    assert seen == {(realm, 200, frozenset({realm})): 400 for realm in slugs}
    for slug in slugs.values():
        stage.forget(slug)


async def test_storage_leaves_nothing_on_a_connection_that_others_get(
    needs_pgbouncer: None, postgres_server: PostgresServer, owner_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One connection for four of them, each with a limit of its own."""
    app_url, folder = postgres_server.app_url(owner_url), tmp_path_factory.mktemp("alone")
    with pooled(folder, port=postgres_server.port, pool=1) as port:
        url = app_url.replace(f":{postgres_server.port}/", f":{port}/")
        await asyncio.to_thread(wait_for, lambda: listens(port), what="PgBouncer listens")
        async with AsyncExitStack() as opened:
            stores = [await opened.enter_async_context(opened_store(url, timeout=1 + number)) for number in range(4)]
            for turn in range(10):
                versions = await asyncio.gather(*(store.version() for store in stores))
                assert len(set(versions)) == 1
                key = SealedKey(1000 + turn, 100, b"key")
                old = (key.sequence - 1,)
                made = await asyncio.gather(*(one.keys.add_assertion_key(key, outdated=old) for one in stores))
                assert sorted(made) == [False, False, False, True]
            async with await psycopg.AsyncConnection.connect(url.replace("+psycopg", ""), autocommit=True) as other:
                shown = await (await other.execute("show statement_timeout")).fetchone()
    assert shown == ("0",)


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_suspension_is_law_on_every_worker_that_follows_the_registry(stage: Replicas) -> None:
    slug = f"acme-{time.monotonic_ns()}"
    token = stage.onboard(slug, realm="acme")
    assert stage.everywhere(token) == {200}
    stage.suspend_and_resume(slug, token=token, times=3)
    stage.forget(slug)
