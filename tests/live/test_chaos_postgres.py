"""The faults of PostgreSQL, once with remembered tokens and once without, under steady load."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.chaos.faults import FAULTS, Fault
from tests.live.chaos.stage import CACHED, Stage, chaos_stage
from tests.live.keycloak_server import KeycloakServer
from tests.support.machine import require
from tests.support.postgres import find_binaries
from tests.support.restartable_postgres import restartable_postgres

pytestmark = [pytest.mark.keycloak, pytest.mark.postgres, pytest.mark.xdist_group("chaos")]


@pytest.fixture(scope="module", params=[CACHED, 0], ids=["cache", "no cache"])
def on_postgres(
    request: pytest.FixtureRequest, mortal_keycloak: KeycloakServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    binaries = find_binaries()
    require("postgres", available=binaries is not None, how="apt-get install postgresql, or put initdb on the PATH")
    assert binaries is not None
    folder = tmp_path_factory.mktemp("postgres")
    with (
        restartable_postgres(binaries) as postgres,
        chaos_stage(mortal_keycloak, folder=folder, postgres=postgres, verified_tokens=request.param) as stage,
    ):
        yield stage


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.database == "postgres"], ids=str)
def test_fault_of_the_database_costs_no_good_token(on_postgres: Stage, fault: Fault) -> None:
    on_postgres.judge(fault.happen, ends_api=fault.ends_api)
