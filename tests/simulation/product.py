"""The one place where the simulation touches the product: how a replica is opened, and what an admin may ask of it.

An admin's changes are the very functions behind the routes of the admin plane.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from types import SimpleNamespace
from typing import Any, Protocol
from uuid import UUID

import structlog
from fastapi import Response
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tenants_api.api.admin import keys, realms, tenants, transitions
from tenants_api.clocks import Clocks
from tenants_api.composition import Services, open_services
from tenants_api.database.engine import Database
from tenants_api.database.errors import StorageError
from tenants_api.errors import ApiError
from tenants_api.outbound import tls
from tenants_api.registry.errors import RealmNotReady
from tenants_api.registry.values import Actor, Change, Transition
from tenants_api.replica.sql_storage import SessionStorage
from tenants_api.replica.storage import Listening
from tenants_api.schemas.tenants import RealmIn, RealmPatch, TenantIn, TenantPatch, TenantPut
from tenants_api.settings import Settings, load_settings
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.errors import KeysUnavailable, TokenError
from tenants_api.tokens.principal import Principal
from tests.simulation.network import Network
from tests.simulation.realms import CLIENT, PORT
from tests.simulation.sqlite import DRIVER

KEY_LIFETIME, STALE_LIMIT = 20.0, 120.0  # seconds
POLL, RECONCILE = 0.5, 8.0  # seconds
LEEWAY = 30
ALGORITHMS = ["RS256", "ES256"]
# A change that ends with one of these is answered as failed; every other exception would be a 500.
ANSWERED = (ApiError, StorageError, DBAPIError, PoolTimeout, OSError, TimeoutError)

__all__ = [
    "ANSWERED",
    "CLIENT",
    "KEY_LIFETIME",
    "LEEWAY",
    "STALE_LIMIT",
    "Clocks",
    "KeysUnavailable",
    "Principal",
    "RealmNotReady",
    "Services",
    "Settings",
    "TokenError",
]  # fmt: skip


class Announcements(Protocol):
    """Where a replica's listener hears of changes."""

    def listener(self, *, on_notify: Callable[[int], None], on_connect: Callable[[], None]) -> Listening: ...


class SimulatedStorage(SessionStorage):
    """The product's storage, with the notifications of a PostgreSQL that is not there."""

    def __init__(self, database: Database, *, announcements: Announcements) -> None:
        super().__init__(database)
        self._announcements = announcements

    @property
    def is_postgresql(self) -> bool:
        return True

    def file_mark(self) -> None:
        return None

    def listener(self, url: str, *, on_notify: Callable[[int], None], on_connect: Callable[[], None]) -> Listening:
        return self._announcements.listener(on_notify=on_notify, on_connect=on_connect)


def settings_of(path: str, *, hosts: tuple[str, ...]) -> Settings:
    settings = load_settings(
        _env_file=None,
        environment="development",
        insecure_http_hosts=hosts,
        allowed_realm_ports=(443, PORT),
        key_lifetime=KEY_LIFETIME,
        key_stale_limit=STALE_LIMIT,
        reconcile_interval=RECONCILE,
        registry_poll=POLL,
        leeway=LEEWAY,
    )
    return settings.model_copy(update={"database_url": f"{DRIVER}:///{path}"})


def open_replica(
    settings: Settings, *, clocks: Clocks, announcements: Announcements
) -> AbstractAsyncContextManager[Services]:
    """Everything that a worker of the API has; it is asked past HTTP."""

    def storage(database: Database) -> SimulatedStorage:
        return SimulatedStorage(database, announcements=announcements)

    return open_services(settings, clocks=clocks, storage=storage)


def new_network() -> Network:
    """Reading the machine's certificate authorities is the only slow work in a thread: it is done once a process."""
    network = Network()
    network.shared[tls._context] = _CONTEXTS
    return network


_CONTEXTS: dict[tuple[Any, ...], Any] = {}


async def verified(services: Services, raw: str) -> Principal:
    """As the API asks for the principal of a request: out of the cache, or by a verification that is noted."""
    return await services.verifier.verify(Credential.bearer(raw))


class Admin:
    """What an admin asks one replica for. `name` is found as the request id in the audit trail."""

    def __init__(self, services: Services, *, name: str) -> None:
        self._services = services
        self._caller: Any = SimpleNamespace(change=self._change)
        self._name = name

    def _change(self, reason: str | None = None) -> Change:
        return Change(Actor("api_key", "simulation"), self._name, reason)

    async def create(self, slug: str, *, realms_in: list[dict[str, Any]], activate: str) -> None:
        body = TenantIn.model_validate(_tenant(slug, realms_in) | {"slug": slug, "activate": activate})
        await tenants.create_tenant(body, Response(), self._caller, self._services.commands, "/admin")

    async def put(self, slug: str, *, realms_in: list[dict[str, Any]], role: str, activate: str) -> None:
        body = TenantPut.model_validate(_tenant(slug, realms_in) | {"activate": activate, "role_mapping": _rules(role)})
        await tenants.put_tenant(slug, body, Response(), self._caller, self._services.commands, "/admin")

    async def move(self, slug: str, transition: str) -> None:
        if transition == "delete":
            await tenants.delete_tenant(slug, self._caller, self._services.commands, "*")
            return
        wanted = transitions.TransitionRequest(slug, None, self._change(), self._services.commands, Response())
        await wanted.move(Transition(transition))

    async def activate(self, slug: str) -> None:
        wanted = transitions.TransitionRequest(slug, None, self._change(), self._services.commands, Response())
        await transitions.activate_tenant(wanted)

    async def purge(self, slug: str) -> None:
        wanted = transitions.TransitionRequest(slug, None, self._change(), self._services.commands, Response())
        await transitions.purge_tenant(wanted)

    async def map_roles(self, slug: str, role: str) -> None:
        body = TenantPatch.model_validate({"role_mapping": _rules(role)})
        await tenants.update_tenant(slug, body, Response(), self._caller, self._services.commands, "*")

    async def add_realm(self, slug: str, realm: dict[str, Any]) -> None:
        body, commands = RealmIn.model_validate(realm), self._services.commands
        await realms.add_realm(slug, body, Response(), self._caller, commands, "/admin")

    async def patch_realm(self, slug: str, realm_id: str, patch: dict[str, Any]) -> None:
        body = RealmPatch.model_validate(patch)
        await realms.update_realm(slug, UUID(realm_id), body, Response(), self._caller, self._services.commands, "*")

    async def remove_realm(self, slug: str, realm_id: str) -> None:
        await realms.remove_realm(slug, UUID(realm_id), self._caller, self._services.commands, "*")

    async def refresh_keys(self, slug: str, realm_id: str) -> None:
        await keys.refresh_keys(slug, UUID(realm_id), self._caller, self._services)


def _tenant(slug: str, realms_in: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": slug.title(), "realms": realms_in}


def _rules(role: str) -> list[dict[str, str]]:
    """All of the client's roles mean this one role; without rules each means itself."""
    names = ("editor", "viewer") if role else ()
    return [{"from": f"client:{CLIENT}", "value": name, "role": role} for name in names]


def realm_in(issuer: str, realm_url: str, *, organization: str | None = None) -> dict[str, Any]:
    """A realm as an admin describes it."""
    return {
        "issuer": issuer, "realm_url": realm_url, "client_id": CLIENT, "organization": organization,
        "algorithms": ALGORITHMS,
    }  # fmt: skip


async def lend_pool(services: Services, seconds: float) -> None:
    """Hold every connection that requests share."""
    engine = services.database.engine
    pool: Any = engine.pool
    size = pool.size() + max(0, pool._max_overflow)
    held = []
    try:
        for _ in range(size):
            async with asyncio.timeout(1.0):
                held.append(await engine.connect())
    except (TimeoutError, SQLAlchemyError):
        """Others hold the rest."""
    try:
        await asyncio.sleep(seconds)
    finally:
        for connection in held:
            await connection.close()


@contextmanager
def quiet() -> Iterator[None]:
    """Without the product's log: the trace tells what happened."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
