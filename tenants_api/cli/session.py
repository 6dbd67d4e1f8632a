"""Shared by the commands: settings, services and the actor of a change.

The CLI uses the database through the same services as the API and needs no running API. Running workers read its
changes from the change feed.
"""

from __future__ import annotations

import asyncio
import getpass
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.cli.exits import USAGE, CliError
from tenants_api.cli.output import say
from tenants_api.composition import Services, open_services
from tenants_api.control.commands import Commands
from tenants_api.observability import logging
from tenants_api.registry import repository
from tenants_api.registry.errors import RealmNotFound
from tenants_api.registry.models import Realm, Tenant
from tenants_api.registry.values import Actor, Change
from tenants_api.settings import Settings, load_settings, misspelt_variables

T = TypeVar("T")

Reason = Annotated[str | None, typer.Option("--reason", help="The reason, for the audit log.")]
TenantRef = Annotated[str, typer.Argument(metavar="TENANT", help="Id or slug.")]
RealmRef = Annotated[str, typer.Argument(metavar="REALM", help="Number in `realms list`, issuer or id.")]


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


def find_realm(tenant: Tenant, ref: str) -> Realm:
    """The realm with this number, issuer or id; the realms must be loaded.

    Raises:
        RealmNotFound
        CliError: several realms of the tenant have the issuer.
    """
    found = [
        realm
        for number, realm in enumerate(tenant.realms, 1)
        if ref in (str(number), realm.issuer) or ref.lower() == str(realm.id)
    ]
    if len(found) > 1:
        names = ", ".join(str(number) for number, realm in enumerate(tenant.realms, 1) if realm in found)
        raise CliError(f"several realms have the issuer {ref!r}; expected one of the numbers {names}", code=USAGE)
    if not found:
        raise RealmNotFound(f"tenant {tenant.slug!r} has no realm {ref!r}")
    return found[0]


def realm_id(ref: str, realm: str) -> uuid.UUID:
    """The id of a tenant's realm. Raises TenantNotFound, and as `find_realm`."""

    async def find(session: AsyncSession) -> uuid.UUID:
        return find_realm(await repository.get_tenant(session, ref=ref), realm).id

    return query(find)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"  # a container may run as a user id without a name
