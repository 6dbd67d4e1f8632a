"""The revisions of this package, and the revision of a database.

Does not import Alembic, which would be a tenth of the imports of a process that serves.
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
    """The path of the migrations: inside the installed package, or `migrations/` in a checkout."""
    shipped = package / "_migrations"
    return shipped if shipped.is_dir() else package.parent / "migrations"


@cache
def known() -> Mapping[str, str]:
    """Every revision of this package, with the one before it; '' for the first."""
    files = (script_location() / "versions").glob("*.py")
    named = (dict(_NAME.findall(file.read_text(encoding="utf-8"))) for file in files)
    return {names["revision"]: names["down_revision"] for names in named}


@cache
def head() -> str:
    """The newest revision of this package. Raises ValueError when there are two."""
    (newest,) = known().keys() - set(known().values())
    return newest


async def is_migrated(database: Database) -> bool:
    """Whether the database is at this package's newest revision, or at a newer one, which this package does not know.

    During a rolling update the old version serves on the new schema (expand, then contract). Raises SQLAlchemyError.
    """
    async with database.engine.connect() as connection:
        revision = await connection.run_sync(revision_of)
    return revision == head() or (revision is not None and revision not in known())


def revision_of(connection: Connection) -> str | None:
    """The revision of a database; None when it was never migrated."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    return connection.execute(text(f"select version_num from {_VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608
