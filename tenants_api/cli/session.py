"""What every command stands on: the settings, a migrated database, the services, and who acts.

The CLI works on the database through the same services as the API. It needs no running API; running workers learn of
its changes through the registry version.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.composition import Services, open_services
from tenants_api.control.commands import Commands
from tenants_api.observability import logging
from tenants_api.registry.values import Actor, Change
from tenants_api.settings import Settings, load_settings

T = TypeVar("T")

Reason = Annotated[str | None, typer.Option("--reason", help="Why; kept in the audit trail.")]
TenantRef = Annotated[str, typer.Argument(metavar="TENANT", help="Id or slug.")]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run one command's coroutine to its end."""
    return asyncio.run(work)


def settings() -> Settings:
    """The settings, with logs on stderr: warnings and worse, for a person who reads them beside the answer."""
    found = load_settings()
    logging.configure(format="console", level="debug" if found.log_level == "debug" else "error")
    return found


def change(reason: str | None = None) -> Change:
    """The audit entry's who and why: the user of the operating system."""
    return Change(actor=Actor("cli", _os_user()), reason=reason)


@asynccontextmanager
async def services(*, load: bool = True) -> AsyncIterator[Services]:
    """Everything built once, without background tasks; `load` False leaves the registry in the database.

    Raises:
        NotReady: there is no such SQLite file, or the database cannot be reached or is not migrated.
        SettingsError: a variable is wrong.
    """
    found = settings()
    async with open_services(found, background=False, load=load) as opened:
        yield opened


def execute(work: Callable[[Commands], Awaitable[T]]) -> T:
    """Run one command; it needs none of the registry in memory."""

    async def executed() -> T:
        async with services(load=False) as opened:
            return await work(opened.commands)

    return run(executed())


def query(work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Run something that only reads, in one transaction."""

    async def read() -> T:
        async with services(load=False) as opened, opened.database.read() as session:
            return await work(session)

    return run(read())


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"  # a container may run as a number without a name
