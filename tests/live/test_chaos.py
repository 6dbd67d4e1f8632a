"""Every fault once, with remembered tokens and without, under steady load.

No good token is refused, no bad one accepted, and the other tenant notices nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.chaos.faults import FAULTS, Fault
from tests.live.chaos.stage import CACHED, Stage, chaos_stage
from tests.live.keycloak_server import KeycloakServer

pytestmark = [pytest.mark.keycloak, pytest.mark.xdist_group("chaos")]


@pytest.fixture(scope="module", params=[CACHED, 0], ids=["cache", "no cache"])
def on_sqlite(
    request: pytest.FixtureRequest, mortal_keycloak: KeycloakServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("sqlite")
    with chaos_stage(mortal_keycloak, folder=folder, verified_tokens=request.param) as stage:
        yield stage


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.database == "sqlite"], ids=str)
def test_fault_costs_no_good_token(on_sqlite: Stage, fault: Fault) -> None:
    on_sqlite.judge(fault.happen, ends_api=fault.ends_api)
