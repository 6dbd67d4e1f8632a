"""An SQLite file that is replaced, or gone, under a running API: nothing is written to the old one, and it is said."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tenants_api.database.engine import Database
from tenants_api.database.errors import StorageError
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.replica.feed import ChangeFeed
from tenants_api.replica.sql_storage import SessionStorage
from tests.registry.drafts import create, read
from tests.replica.storage.stores import opened_store
from tests.support.stack import ApiClient, onboard, running_app


def replace(path: Path) -> None:
    os.replace(shutil.copy(path, path.with_suffix(".new")), path)


def remove(path: Path) -> None:
    path.unlink()


CHANGES: list[tuple[Callable[[Path], None], str]] = [(replace, "was replaced"), (remove, "was deleted")]


@pytest.fixture
def file(migrated_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(migrated_file, tmp_path / "tenants.db"))


@pytest.fixture
async def client(tmp_path: Path, realms: DevRealmServer) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path, realms) as running:
        yield running


@pytest.mark.parametrize(("change", "said"), CHANGES)
async def test_replaced_file_is_neither_read_nor_written(
    file: Path, migrated_file: Path, tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    database = Database(f"sqlite+aiosqlite:///{file}")
    other = Database(f"sqlite+aiosqlite:///{shutil.copy(migrated_file, tmp_path / 'other.db')}")
    await create(database, "acme")
    change(file)
    with pytest.raises(OperationalError, match=said):
        await create(database, "globex")
    for _ in range(3):  # whatever connections are made anew meanwhile
        with pytest.raises(OperationalError, match="restart the process"):
            await read(database, "acme")
    assert file.exists() == (change is replace), "no empty file was made in its place"
    await create(other, "globex")
    await database.aclose()
    await other.aclose()


@pytest.mark.parametrize(("change", "said"), CHANGES)
async def test_change_feed_notices_that_the_file_was_replaced(
    file: Path, change: Callable[[Path], None], said: str
) -> None:
    async with opened_store(f"sqlite+aiosqlite:///{file}") as store:
        mark = store.registry.file_mark()
        assert mark is not None
        await mark.read()
        change(file)
        for _ in range(2):
            with pytest.raises(StorageError, match=said):
                await mark.read()
        await mark.aclose()


async def test_replaced_file_is_no_longer_ready_and_takes_no_write_and_known_tokens_are_read(
    client: ApiClient, realms: DevRealmServer, tmp_path: Path
) -> None:
    for name in ("acme", "globex"):
        await onboard(client, name)
        assert (await client.me(realms.realm(name).mint())).status_code == 200
    assert (await client.get("/readyz")).status_code == 200
    replace(tmp_path / "tenants.db")
    answer = await client.admin("POST", "/tenants/acme/suspend", json={})
    assert (answer.status_code, answer.json()["code"]) == (503, "registry_unavailable")
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.me(realms.realm("globex").mint())).status_code == 200


async def test_file_that_is_restored_in_place_is_read(file: Path, tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{file}")
    backup = shutil.copy(file, tmp_path / "backup.db")
    await create(database, "acme")
    told: list[int] = []

    async def on_change(version: int) -> None:
        told.append(version)

    feed = ChangeFeed(SessionStorage(database), interval=0.01, on_change=on_change, on_resync=on_change)
    await feed.poll()
    with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(file)) as target:
        source.backup(target)
    await feed.poll()
    assert told == [1, 0]
    await create(database, "globex")
    await database.aclose()
