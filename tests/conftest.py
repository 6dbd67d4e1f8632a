"""Fixtures of every test."""

from __future__ import annotations

import pytest

from tests.support.machine import check_required
from tests.support.postgres import postgres_server, postgres_url

__all__ = ["anyio_backend", "postgres_server", "postgres_url"]


def pytest_configure() -> None:
    check_required()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
