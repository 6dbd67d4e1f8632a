"""Runs the migrations, from a checkout as from an installed wheel, for the CLI, the tests and the start-up check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from tenants_api.db import Database

T = TypeVar("T")
_PACKAGE = Path(__file__).parent


class MigrationError(Exception):
    """Migrating failed. The message is one line with what to do."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One migration: its id, the one before it, and what it does."""

    revision: str
    down_revision: str | None
    message: str


def script_location() -> Path:
    """`migrations/` of the checkout, or the copy inside the installed package."""
    shipped = _PACKAGE / "_migrations"
    return shipped if shipped.is_dir() else _PACKAGE.parent / "migrations"


def upgrade(url: str, *, revision: str = "head") -> None:
    """Bring the database to a revision; several processes may do so at once. Raises MigrationError."""
    _run(lambda config: command.upgrade(config, revision), url=url)


def downgrade(url: str, *, revision: str) -> None:
    """Take the database back to a revision. Raises MigrationError."""
    _run(lambda config: command.downgrade(config, revision), url=url)


def current(url: str) -> str | None:
    """The revision of the database; None when it was never migrated. Raises MigrationError."""
    return _connected(url, _revision_of)


def head() -> str:
    """The newest revision that this package knows."""
    newest = _scripts().get_current_head()
    assert newest is not None  # noqa: S101 (the package ships its migrations)
    return newest


def history() -> list[Revision]:
    """All revisions, oldest first."""
    found = [
        Revision(script.revision, _one(script.down_revision), script.doc) for script in _scripts().walk_revisions()
    ]
    return found[::-1]


def check(url: str, *, metadata: MetaData) -> list[str]:
    """How the database differs from the models; empty when it does not. Raises MigrationError."""
    return _connected(url, lambda connection: _differences(connection, metadata=metadata))


async def is_at_head(database: Database) -> bool:
    """Whether the database is at the newest revision.

    Raises:
        SQLAlchemyError: it cannot be read.
    """
    async with database.engine.connect() as connection:
        return await connection.run_sync(_revision_of) == head()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(""))


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(script_location()))
    config.attributes["url"] = url
    return config


def _run(action: Callable[[Config], None], *, url: str) -> None:
    try:
        action(_config(url))
    except (CommandError, SQLAlchemyError, OSError, TimeoutError) as error:
        raise _failed(error) from error


def _connected(url: str, read: Callable[[Connection], T]) -> T:
    engine = create_engine(sync_url(url))
    try:
        with engine.connect() as connection:
            return read(connection)
    except (SQLAlchemyError, OSError) as error:
        raise _failed(error) from error
    finally:
        engine.dispose()


def sync_url(url: str) -> str:
    """The same database for a driver without an event loop: Alembic runs in none."""
    parsed = make_url(url)
    driver = "sqlite" if parsed.get_backend_name() == "sqlite" else "postgresql+psycopg"
    return parsed.set(drivername=driver).render_as_string(hide_password=False)


def _revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _differences(connection: Connection, *, metadata: MetaData) -> list[str]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [str(difference) for difference in compare_metadata(context, metadata)]


def _failed(error: Exception) -> MigrationError:
    origin = getattr(error, "orig", None) or error
    first = (str(origin).strip().splitlines() or [type(origin).__name__])[0]
    return MigrationError(
        f"the database could not be migrated: {first}; check TENANTS_DATABASE_URL (or TENANTS_DATABASE_DIRECT_URL) "
        "and run `tenants-api db upgrade`"
    )


def _one(revision: object) -> str | None:
    return revision if isinstance(revision, str) else None
