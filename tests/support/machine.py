"""What a machine has and what a run demands of it. Knows the names alone; each harness looks for its own program."""

from __future__ import annotations

import os

import pytest

VARIABLE = "TENANTS_TEST_REQUIRE"
KNOWN = frozenset(
    {
        "caddy",
        "envoy",
        "go",
        "keycloak",
        "nginx",
        "node",
        "orjson",
        "pgbouncer",
        "postgres",
        "pybase64",
        "python",
        "traefik",
    }
)


def required() -> frozenset[str]:
    """The names in TENANTS_TEST_REQUIRE, such as `postgres,keycloak`."""
    return frozenset(name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip())


def check_required() -> None:
    """A name that no test asks for would demand nothing, and its tests be skipped all the same.

    Raises:
        pytest.UsageError: TENANTS_TEST_REQUIRE holds one.
    """
    if unknown := required() - KNOWN:
        raise pytest.UsageError(f"{VARIABLE} names {', '.join(sorted(unknown))}; known are {', '.join(sorted(KNOWN))}")


def require(name: str, *, available: bool, how: str) -> None:
    """Skip the test with a plain reason where the machine lacks `name`; fail instead where the run demands it.

    `how` says in one line how to get it.
    """
    assert name in KNOWN, f"{name} is not in KNOWN: no run could demand it"
    if available:
        return
    if name in required():
        pytest.fail(f"{VARIABLE} names {name}, but this machine lacks it: {how}", pytrace=False)
    pytest.skip(f"this machine lacks {name}: {how}")
