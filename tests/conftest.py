"""Fixtures of every test, and the random order of `scripts/test --random`."""

from __future__ import annotations

import os
import random
from itertools import chain
from pathlib import Path

import pytest

from tests.support.machine import check_required

pytest_plugins = ["tests.fixtures.databases", "tests.fixtures.one_app", "tests.fixtures.verifying"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--random-order", metavar="SEED", help="shuffle the files, and the tests within each file")


def pytest_configure() -> None:
    check_required()
    # Nothing of the caller's settings may change what is tested.
    for name in [name for name in os.environ if name.startswith("TENANTS_") and not name.startswith("TENANTS_TEST_")]:
        del os.environ[name]


def pytest_report_header(config: pytest.Config) -> str | None:
    seed = config.getoption("random_order")
    return seed and f"random order, again with: scripts/test --random {seed}"


@pytest.hookimpl(tryfirst=True)  # pytest then joins the tests that share a parametrized fixture
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if (seed := config.getoption("random_order")) is None:
        return
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    shuffled = list(files.values())
    for tests in (shuffled, *shuffled):
        random.Random(seed).shuffle(tests)
    items[:] = chain.from_iterable(shuffled)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
