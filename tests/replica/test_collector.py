"""The garbage collector while a registry is read."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tenants_api.replica.replica import paused_collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.enable()


def test_collector_rests_while_the_block_runs_and_works_again_afterwards() -> None:
    with paused_collector():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collector_works_again_after_a_block_that_failed() -> None:
    with pytest.raises(ValueError, match="no database"), paused_collector():
        raise ValueError("no database")
    assert gc.isenabled()


def test_application_that_has_no_collector_gets_none() -> None:
    gc.disable()
    with paused_collector():
        pass
    assert not gc.isenabled()
