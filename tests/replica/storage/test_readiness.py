"""Whether a process may serve: the API and standalone forward auth ask the same, and refuse in one line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tenants_api.composition import open_services
from tenants_api.database.engine import Database
from tenants_api.readiness import CHECKS, NotReady, check
from tenants_api.server.standalone import open_authorizer
from tenants_api.settings import Settings
from tests.support.databases import postgres_copy
from tests.support.postgres import PostgresServer

KEY_OF_ADMINS = "tests-admin-key-0123456789abcdef0123456789"
Opening = Callable[..., AbstractAsyncContextManager[Any]]
both = pytest.mark.parametrize("opening", [open_services, open_authorizer], ids=["API", "standalone forward auth"])


async def opened(opening: Opening, url: str, *, environment: str = "development") -> None:
    async with opening(Settings(database_url=url, environment=environment, admin_api_key=KEY_OF_ADMINS), load=False):
        pass


@both
@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
async def test_role_that_passes_row_level_security_does_not_serve_in_production(
    opening: Opening, postgres_server: PostgresServer, request: pytest.FixtureRequest
) -> None:
    url = postgres_copy(request)
    for role, said in (
        (postgres_server.superuser_url(url), "is a superuser"),
        (postgres_server.url(url.rpartition("/")[2], role="tenants_owner"), "owns tables"),
    ):
        with pytest.raises(NotReady, match=said):
            await opened(opening, role, environment="production")
    await opened(opening, url, environment="production")


@both
@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u:s3cret@h1:1,h2:2/tenants",
        "postgresql+psycopg://u:s3@cret:word@h/tenants",
        "postgresql+psycopg://u:s3cret@/tenants?host=h1,h2&port=1",
        "sqlite+aiosqlite://u:s3cret@host/tenants.db",
        "sqlite+aiosqlite:///file:s3cret?uri=perhaps",
    ],
)
async def test_url_that_cannot_be_read_is_one_line_without_the_password(opening: Opening, url: str) -> None:
    with pytest.raises(NotReady, match="TENANTS_DATABASE_URL is not valid") as refused:
        await opened(opening, url)
    assert not {"s3", "cret", "word@h"} & set(str(refused.value).replace("@", " ").split())
    assert "s3" not in str(refused.value)


@both
async def test_database_that_is_not_there_is_not_made(opening: Opening, tmp_path: Path) -> None:
    file = tmp_path / "typo.db"
    with pytest.raises(NotReady, match=r"no database at .*typo\.db.*tenants-api db upgrade"):
        await opened(opening, f"sqlite+aiosqlite:///{file}")
    assert not file.exists()


@both
async def test_database_that_was_never_migrated_is_not_served(opening: Opening, tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    with pytest.raises(NotReady, match="tenants-api db upgrade"):
        await opened(opening, f"sqlite+aiosqlite:///{file}")


async def test_each_check_fails_by_itself(database_url: str, migrated_file: Path) -> None:
    async with open_services(Settings(database_url=database_url), load=True) as services:
        assert [await check(one, database=services.database, replica=services.replica) for one in CHECKS] == [True] * 4
        away = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
        found = {one: await check(one, database=away, replica=services.replica) for one in CHECKS}
        assert found == {"database": False, "migrations": False, "registry": True, "feed": True}
        await away.aclose()


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite+aiosqlite:////var/lib/a%20b.db", "/var/lib/a b.db"),
        ("sqlite+aiosqlite:////var/lib/tenants.db?timeout=3", "/var/lib/tenants.db"),
        ("sqlite+aiosqlite:///file:/var/lib/tenants.db?mode=ro&uri=true", "/var/lib/tenants.db"),
        ("sqlite+aiosqlite:///file:one?mode=memory&cache=shared&uri=true", None),
        ("sqlite+aiosqlite:///file::memory:?cache=shared&uri=true", None),
        ("sqlite+aiosqlite:///:memory:", None),
        ("sqlite+aiosqlite://", None),
        ("postgresql+psycopg://h/tenants", None),
    ],
)
async def test_file_of_a_url_is_the_one_that_sqlite_opens(url: str, file: str | None) -> None:
    database = Database(url)
    assert database.file == file
    await database.aclose()
