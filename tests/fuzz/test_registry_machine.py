"""The state machine of the registry, for a few orders that are the same in every run; scripts/fuzz tries others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tenants_api.devkit.realms import DevRealmServer
from tests.fuzz.registry_machine import RegistryMachine, serving_realms


@pytest.fixture
def realms() -> Iterator[DevRealmServer]:
    yield from serving_realms()


def test_no_order_of_changes_lets_a_token_count_for_more_than_its_realm(realms: DevRealmServer) -> None:
    machine = type("Machine", (RegistryMachine,), {"realms": realms})
    chosen = settings(
        max_examples=8,
        stateful_step_count=12,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=chosen)
