"""Migrations run as the owner, on an empty database of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.databases import BOTH


@pytest.fixture(params=BOTH)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of this test's own; the owner's URL."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'tenants.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
