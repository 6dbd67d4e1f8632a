"""Which schema this package knows, and which one a database has.

Reads no more of the migrations than their names, by which they follow one another. Alembic, which runs them, is in no
process that serves: it would be a tenth of what such a process imports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from tenants_api.database.engine import Database

_PACKAGE = Path(__file__).parents[1]
_VERSION_TABLE = "alembic_version"
_NAME = re.compile(r'^(revision|down_revision) = (?:"(\w+)"|None)$', re.MULTILINE)


def script_location(package: Path = _PACKAGE) -> Path:
    """The copy inside the installed package, or `migrations/` beside it in a checkout."""
    shipped = package / "_migrations"
    return shipped if shipped.is_dir() else package.parent / "migrations"


@cache
def known() -> Mapping[str, str]:
    """Every revision that this package knows, and the one before it; before the first stands an empty text."""
    files = (script_location() / "versions").glob("*.py")
    named = (dict(_NAME.findall(file.read_text(encoding="utf-8"))) for file in files)
    return {names["revision"]: names["down_revision"] for names in named}


@cache
def head() -> str:
    """The newest of them: the one that no other follows. ValueError when that are two."""
    (newest,) = known().keys() - set(known().values())
    return newest


async def is_migrated(database: Database) -> bool:
    """Whether the database is at the newest revision that this package knows, or at a newer one.

    A revision that this package does not know is newer: migrations run before the new version starts, and until it
    took over, the old version serves on the new schema (expand, then contract).

    Raises:
        SQLAlchemyError: it cannot be read.
    """
    async with database.engine.connect() as connection:
        revision = await connection.run_sync(revision_of)
    return revision == head() or (revision is not None and revision not in known())


def revision_of(connection: Connection) -> str | None:
    """The revision that a database is at; None when it was never migrated."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    return connection.execute(text(f"select version_num from {_VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608
