"""Every fault once, under steady load: no good token refused, no bad one accepted, nothing noticed by the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.chaos.faults import FAULTS, Fault
from tests.live.chaos.stage import Stage, chaos_stage
from tests.live.conftest import required_keycloak
from tests.live.keycloak_server import KeycloakServer, running_keycloak
from tests.support.machine import require
from tests.support.postgres import find_binaries, restartable_postgres

pytestmark = [pytest.mark.keycloak, pytest.mark.xdist_group("chaos")]


@pytest.fixture(scope="module")
def own_keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeycloakServer]:
    """A Keycloak that may be killed."""
    version = required_keycloak()
    with running_keycloak(version, folder=tmp_path_factory.mktemp("chaos"), realms=[]) as server:
        yield server


@pytest.fixture(scope="module")
def on_sqlite(own_keycloak: KeycloakServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with chaos_stage(own_keycloak, folder=tmp_path_factory.mktemp("sqlite")) as stage:
        yield stage


@pytest.fixture(scope="module")
def on_postgres(own_keycloak: KeycloakServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    binaries = find_binaries()
    require("postgres", available=binaries is not None, how="apt-get install postgresql, or put initdb on the PATH")
    assert binaries is not None
    folder = tmp_path_factory.mktemp("postgres")
    with (
        restartable_postgres(binaries) as postgres,
        chaos_stage(own_keycloak, folder=folder, postgres=postgres) as stage,
    ):
        yield stage


def judge(stage: Stage, fault: Fault) -> None:
    with stage.counting() as counts:
        fault.happen(stage)
    assert counts.answered > 20
    assert (counts.refused, counts.calm_refused) == ({}, {})
    assert (counts.forged_accepted, counts.mistakes) == (0, 0)
    assert fault.ends_api or counts.lost == 0


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.database == "sqlite"], ids=str)
def test_fault_costs_no_good_token(on_sqlite: Stage, fault: Fault) -> None:
    judge(on_sqlite, fault)


@pytest.mark.postgres
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.database == "postgres"], ids=str)
def test_fault_of_the_database_costs_no_good_token(on_postgres: Stage, fault: Fault) -> None:
    judge(on_postgres, fault)
