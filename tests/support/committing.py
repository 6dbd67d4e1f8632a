"""What is committed, counted at every engine of this process; and a database that is gone after the first commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

_WRITES = ("INSERT", "UPDATE", "DELETE")


@dataclass
class Commits:
    """`written` transactions wrote something and were committed. After the first, each statement raises `fault`."""

    fault: Exception | None = None
    written: int = 0
    actions: list[str] = field(default_factory=list)
    versions: int = 0

    @property
    def all(self) -> tuple[int, list[str], int]:
        """Transactions, the actions of the audit entries, steps of the registry version."""
        return self.written, self.actions, self.versions

    def _statement(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if self.fault is not None and self.written:
            raise self.fault
        if statement.lstrip().upper().startswith(_WRITES):
            connection.info["wrote"] = True

    def _committed(self, connection: Any) -> None:
        self.written += connection.info.pop("wrote", False)

    def _rolled_back(self, connection: Any) -> None:
        connection.info.pop("wrote", None)


def gone() -> OperationalError:
    """What SQLAlchemy raises of a database that went away."""
    return OperationalError("select", None, sqlite3.OperationalError("the database went away"))


@contextmanager
def counting(file: Path, *, fault: Exception | None = None) -> Iterator[Commits]:
    """What is committed to this SQLite file while the block runs."""
    commits = Commits(fault)
    listeners: dict[str, Callable[..., None]] = {
        "before_cursor_execute": commits._statement,
        "commit": commits._committed,
        "rollback": commits._rolled_back,
    }
    entries, version = _state(file)
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield commits
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)
    after, now = _state(file)
    commits.actions, commits.versions = after[len(entries) :], now - version


def _state(file: Path) -> tuple[list[str], int]:
    with closing(sqlite3.connect(file)) as base:
        actions = [action for (action,) in base.execute("select action from audit_events order by rowid")]
        ((version,),) = base.execute("select version from registry_version").fetchall()
    return actions, version
