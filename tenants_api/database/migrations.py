"""Runs Alembic's migrations, from a checkout or an installed wheel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, MetaData, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from tenants_api.database.revisions import revision_of, script_location

T = TypeVar("T")
MIGRATION_LOCK_TIMEOUT_SECONDS = 60.0  # to wait for another migration


class MigrationError(Exception):
    """Migrating failed. The message is one line with what to do."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One migration: its id, the one before it, and what it does."""

    revision: str
    down_revision: str | None
    message: str


def upgrade(url: str, *, revision: str = "head", lock_timeout: float = MIGRATION_LOCK_TIMEOUT_SECONDS) -> None:
    """Upgrade the database to a revision; concurrent upgrades wait `lock_timeout` seconds. Raises MigrationError."""
    _run(lambda config: command.upgrade(config, revision), url=url, lock_timeout=lock_timeout)


def downgrade(url: str, *, revision: str, lock_timeout: float = MIGRATION_LOCK_TIMEOUT_SECONDS) -> None:
    """Downgrade the database to a revision. Raises MigrationError."""
    _require_file(url)
    _run(lambda config: command.downgrade(config, revision), url=url, lock_timeout=lock_timeout)


def current(url: str) -> str | None:
    """The revision of the database; None when it was never migrated. Raises MigrationError."""
    return read(url, revision_of)


def history() -> list[Revision]:
    """All revisions, oldest first."""
    scripts = ScriptDirectory.from_config(_config("", lock_timeout=MIGRATION_LOCK_TIMEOUT_SECONDS))
    found = [Revision(script.revision, _one(script.down_revision), script.doc) for script in scripts.walk_revisions()]
    return found[::-1]


def check(url: str, *, metadata: MetaData) -> list[str]:
    """The differences between the database and the models. Raises MigrationError."""
    return read(url, lambda connection: _differences(connection, metadata=metadata))


def read(url: str, query: Callable[[Connection], T]) -> T:
    """The result of a query, on a connection of its own. Raises MigrationError."""
    _require_file(url)
    engine = sync_engine(url)
    try:
        with engine.connect() as connection:
            return query(connection)
    except (SQLAlchemyError, OSError) as error:
        raise _failed(error) from error
    finally:
        engine.dispose()


def run(url: str, statements: Iterable[str]) -> None:
    """Run statements in one transaction: all of them or none. Raises MigrationError."""
    engine = sync_engine(url)
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    except (SQLAlchemyError, OSError) as error:
        raise _failed(error) from error
    finally:
        engine.dispose()


def _config(url: str, *, lock_timeout: float) -> Config:
    config = Config()
    # Config reads % as the start of a placeholder.
    config.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    config.attributes.update(url=url, lock_timeout=lock_timeout)
    return config


def _run(action: Callable[[Config], None], *, url: str, lock_timeout: float) -> None:
    try:
        action(_config(url, lock_timeout=lock_timeout))
    except (CommandError, SQLAlchemyError, OSError) as error:
        raise _failed(error) from error


def sync_url(url: str) -> str:
    """The URL of the same database for a synchronous driver, which Alembic needs."""
    parsed = make_url(url)
    driver = "sqlite" if parsed.get_backend_name() == "sqlite" else "postgresql+psycopg"
    return parsed.set(drivername=driver).render_as_string(hide_password=False)


def sync_engine(url: str) -> Engine:
    """An engine of this URL with timeouts for a server that does not answer and for a locked file."""
    name = sync_url(url)
    limit = {"timeout": 10} if name.startswith("sqlite") else {"connect_timeout": 5, "prepare_threshold": None}
    return create_engine(name, connect_args=limit)


def _require_file(url: str) -> None:
    # SQLite would create an empty file at a mistyped path.
    path = make_url(url).database if sync_url(url).startswith("sqlite") else None
    if path and path != ":memory:" and not Path(path).exists():
        raise MigrationError(f"there is no database at {path}: run `tenants-api db upgrade`")


def _differences(connection: Connection, *, metadata: MetaData) -> list[str]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [str(difference) for difference in compare_metadata(context, metadata)]


def _failed(error: Exception) -> MigrationError:
    origin = getattr(error, "orig", None) or error
    first = (str(origin).strip().splitlines() or [type(origin).__name__])[0]
    return MigrationError(f"the database could not be migrated: {first}; {_hint(error)}")


def _hint(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "wait for it to end, then run `tenants-api db upgrade` again"
    if isinstance(error, CommandError):
        return "`tenants-api db history` lists the revisions that this version knows"
    return "check that it runs, and TENANTS_DATABASE_URL (or TENANTS_DATABASE_DIRECT_URL)"


def _one(revision: object) -> str | None:
    return revision if isinstance(revision, str) else None
