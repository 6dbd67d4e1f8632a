"""A process that serves has no full collection over all that its start has made."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tenants_api.cli.serve import served_app
from tenants_api.server.options import frozen
from tenants_api.server.standalone import served_app as served_authz
from tests.support.lived import lived
from tests.support.realms import migrated_file

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


@asynccontextmanager
async def start(*, fails: bool = False) -> AsyncIterator[str]:
    if fails:
        raise OSError("no database")
    yield "started"


async def test_start_is_frozen_when_it_is_complete() -> None:
    async with frozen(start()) as value:
        assert value == "started"
        assert gc.get_freeze_count() > 10_000


async def test_start_that_failed_freezes_nothing() -> None:
    with pytest.raises(OSError, match="no database"):
        async with frozen(start(fails=True)):
            pass
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("served", [served_app, served_authz])
async def test_both_servers_are_frozen_before_they_say_that_their_start_is_complete(
    served: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tenants.db").write_bytes(migrated_file().read_bytes())
    monkeypatch.setenv("TENANTS_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path / 'tenants.db'}")
    async with lived(served()):
        assert gc.get_freeze_count() > 10_000
