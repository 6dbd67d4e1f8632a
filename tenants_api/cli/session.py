"""Shared by the commands: settings, services and the actor of a change.

The CLI uses the database through the same services as the API and needs no running API. Running workers read its
changes from the change feed.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.cli.output import say
from tenants_api.composition import Services, open_services
from tenants_api.control.commands import Commands
from tenants_api.observability import logging
from tenants_api.registry.values import Actor, Change
from tenants_api.settings import Settings, load_settings, misspelt_variables

T = TypeVar("T")

Reason = Annotated[str | None, typer.Option("--reason", help="The reason, for the audit log.")]
TenantRef = Annotated[str, typer.Argument(metavar="TENANT", help="Id or slug.")]


run = asyncio.run


def settings() -> Settings:
    """The settings; configures logs on stderr for a command: errors only, or all with level `debug`."""
    found = load_settings()
    for variable, nearest in misspelt_variables().items():
        say(f"warning: {variable} is not a setting and is ignored; did you mean {nearest}?", style="yellow")
    logging.configure(format="console", level="debug" if found.log_level == "debug" else "error")
    return found


def change(reason: str | None = None) -> Change:
    """Actor and reason for the audit log; the actor is the user of the operating system."""
    return Change(actor=Actor("cli", _os_user()), reason=reason)


@asynccontextmanager
async def services(*, load: bool = True) -> AsyncIterator[Services]:
    """The services, without background tasks; `load` False does not load the registry.

    Raises:
        NotReady: the SQLite file does not exist, or the database cannot be reached or is not migrated.
        SettingsError: a variable is not valid.
    """
    found = settings()
    async with open_services(found, background=False, load=load) as opened:
        yield opened


def execute(work: Callable[[Commands], Awaitable[T]]) -> T:
    """Run a command of the control plane."""

    async def executed() -> T:
        async with services(load=False) as opened:
            return await work(opened.commands)

    return run(executed())


def query(work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Run a query in one transaction."""

    async def read() -> T:
        async with services(load=False) as opened, opened.database.read() as session:
            return await work(session)

    return run(read())


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"  # a container may run as a user id without a name
