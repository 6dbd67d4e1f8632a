"""Three replicas of two workers on PostgreSQL, behind the nginx that is shipped: they behave as one."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tenants_api.database import migrations as migrating
from tenants_api.devkit.realms import DevRealmServer
from tests.live.chaos.load import Caller
from tests.support.postgres import PostgresServer
from tests.support.processes import wait_for
from tests.topology.stage import Replicas, replicas

pytestmark = pytest.mark.xdist_group("replicas")


@pytest.fixture(scope="module", params=["notified", "polling"])
def stage(
    request: pytest.FixtureRequest,
    needs_nginx: None,
    postgres_server: PostgresServer,
    owner_url: str,
    realms: DevRealmServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Replicas]:
    """Also with the listener cut off: then looking every half second must do."""
    cut = {"TENANTS_DATABASE_DIRECT_URL": owner_url.replace(str(postgres_server.port), "1")}
    variables = {"TENANTS_DATABASE_URL": postgres_server.app_url(owner_url), "TENANTS_DATABASE_POOL_SIZE": "5"}
    if request.param == "polling":
        variables |= cut
    folder = tmp_path_factory.mktemp("replicas")
    with replicas(folder, realms, count=3, workers=2, nginx=True, variables=variables) as opened:
        yield opened


def test_tenant_lives_and_is_suspended_on_every_worker_whoever_was_told(stage: Replicas) -> None:
    slug = f"acme-{time.monotonic_ns()}"
    token = stage.onboard(slug, realm="acme")
    assert stage.everywhere(token) == {200}
    stage.suspend_and_resume(slug, token=token, times=3)
    stage.forget(slug)
    assert stage.everywhere(token) == {401}


def test_requests_of_two_tenants_at_once_see_their_own_rows_alone(stage: Replicas) -> None:
    slugs = {realm: f"{realm}-{time.monotonic_ns()}" for realm in ("globex", "initech")}
    tokens = {realm: stage.onboard(slug, realm=realm) for realm, slug in slugs.items()}
    for realm, token in tokens.items():
        for _ in range(3):
            made = stage.call("POST", "/v1/items", token=token, json={"title": realm})
            assert made.status_code == 201, made.text

    def read(number: int) -> tuple[str, frozenset[str]]:
        realm = ("globex", "initech")[number % 2]
        answer = stage.call("GET", "/v1/items", token=tokens[realm])
        assert answer.status_code == 200, answer.text
        return realm, frozenset(item["title"] for item in answer.json()["data"])

    with ThreadPoolExecutor(16) as pool:
        seen = Counter(pool.map(read, range(600)))
    assert seen == {("globex", frozenset({"globex"})): 300, ("initech", frozenset({"initech"})): 300}
    for slug in slugs.values():
        stage.forget(slug)


def test_replica_that_is_killed_under_load_costs_no_answer(
    needs_nginx: None, postgres_server: PostgresServer, realms: DevRealmServer, tmp_path: Path
) -> None:
    owner_url = postgres_server.create_database()
    migrating.upgrade(owner_url)
    variables = {"TENANTS_DATABASE_URL": postgres_server.app_url(owner_url)}
    with replicas(tmp_path, realms, count=2, workers=1, nginx=True, variables=variables) as stage:
        token = stage.onboard("acme", realm="acme")
        callers = [Caller(stage.base_url, token=token) for _ in range(4)]
        try:
            wait_for(lambda: all(one.answers()["200"] > 20 for one in callers), what="there is load")
            os.killpg(stage.served[-1].process.pid, signal.SIGKILL)
            before = [one.answers()["200"] for one in callers]
            wait_for(
                lambda: all(one.answers()["200"] > old + 50 for one, old in zip(callers, before, strict=True)),
                what="the other one serves",
            )
            assert sum((one.answers() for one in callers), Counter()).keys() == {"200"}
        finally:
            for one in callers:
                one.end()
