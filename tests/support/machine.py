"""What a machine has and what a run demands of it. Knows no program by itself; each harness asks for its own."""

from __future__ import annotations

import os

import pytest

VARIABLE = "TENANTS_TEST_REQUIRE"


def required() -> frozenset[str]:
    """The names in TENANTS_TEST_REQUIRE, such as `postgres,keycloak`."""
    return frozenset(name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip())


def require(name: str, *, available: bool, how: str) -> None:
    """Skip the test with a plain reason where the machine lacks `name`; fail instead where the run demands it.

    `how` says in one line how to get it.
    """
    if available:
        return
    if name in required():
        pytest.fail(f"{VARIABLE} names {name}, but this machine lacks it: {how}", pytrace=False)
    pytest.skip(f"this machine lacks {name}: {how}")
