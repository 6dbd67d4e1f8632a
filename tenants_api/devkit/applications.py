"""Applications in tests: a fixed principal, or a registry in memory with the real schema and code."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from tenants_api.composition import REGISTRY_IN_TESTS, open_services
from tenants_api.control.drafts import realm_draft
from tenants_api.database import migrations as migrating
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.registry.values import Actor, Change, TenantDraft
from tenants_api.role_rules import RoleRule
from tenants_api.settings import Settings, load_settings
from tenants_api.tokens.principal import Principal, RoleModel, TenantRef
from tenants_api.web.authentication import PRINCIPAL

EXPIRES_IN_SECONDS = 3600


def as_principal(
    app: ASGIApp, principal: Principal | None = None, *, tenant: str = "acme", roles: Iterable[str] = (), **facts: Any
) -> ASGIApp:
    """The application with this principal as the caller of every request, for `httpx.ASGITransport` or `TestClient`.

    The application itself is unchanged, so one test may have several principals. Neither a database nor the lifespan is
    needed. Where the lifespan runs, as in a `TestClient` that is entered as a context, this library's part of it opens
    an empty registry in memory in place of the settings' database. Roles and the tenant in the path are still checked,
    in mounted applications and WebSockets too.

    Args:
        principal: the caller; otherwise it is made of the following.
        tenant: the tenant's slug, from which its id is derived.
        roles: the mapped roles; included roles are added as always.
        facts: any other field of `Principal`, and `scopes`.

    Raises:
        TypeError: `facts` names a field that `Principal` does not have.
    """
    caller = principal if principal is not None else make_principal(tenant, roles=roles, **facts)

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await asyncio.to_thread(_schema)  # cached for the following line
            with _memory_database() as url:
                REGISTRY_IN_TESTS.set(url)  # of this task, which is the lifespan's
                await app(scope, receive, send)
            return
        scope[PRINCIPAL] = caller
        await app(scope, receive, send)

    return called


def make_principal(tenant: str, *, roles: Iterable[str], **facts: Any) -> Principal:
    """A principal of this tenant; `facts` are other fields of `Principal`, and `scopes`."""
    subject = facts.pop("subject", "test-subject")
    made = {
        "tenant": TenantRef(uuid.uuid5(uuid.NAMESPACE_URL, f"tenants-api/testing/{tenant}"), tenant, tenant.title()),
        "issuer": f"https://id.test/realms/{tenant}",
        "organization": None,
        "subject": subject,
        "roles": frozenset(roles),
        "username": subject,
        "email": f"{subject}@{tenant}.test",
        "email_verified": True,
        "full_name": None,
        "authorized_party": "tenants-api",
        "scope": " ".join(facts.pop("scopes", ("openid",))),
        "expires_at": int(time.time()) + EXPIRES_IN_SECONDS,
        "service_account": False,
    }
    return Principal(**{**made, **facts})


CHANGE = Change(Actor("system", "tests"))


@contextmanager
def memory_registry(
    server: DevRealmServer,
    *,
    roles: RoleModel | None = None,
    role_mapping: tuple[RoleRule, ...] = (),
    **settings: Any,
) -> Iterator[Settings]:
    """Settings of an API with a registry in memory, where each development realm is an active tenant.

    Pass them to `create_app` or `Tenancy`. The registry exists while the block runs; each block has its own.

    Args:
        server: its realms become tenants with the same slug.
        roles: the application's roles; the settings have them then.
        role_mapping: the rules of each tenant; if empty, the default rules apply.
        settings: other settings by field name.

    Raises:
        SettingsError: a setting is not valid.
    """
    with _memory_database() as url:
        chosen = load_settings(
            _env_file=None,
            **{
                "environment": "development",
                "database_url": url,
                "insecure_http_hosts": (f"127.0.0.1:{server.port}",),
                "allowed_private_networks": ("127.0.0.0/8",),
                "allowed_realm_ports": (443, server.port),
                "reconcile_interval": 0,
                "roles": roles.as_lists() if roles is not None else None,
                **settings,
            },
        )
        with ThreadPoolExecutor(1) as executor:  # this thread may already run an event loop of the test
            executor.submit(asyncio.run, _register(chosen, server=server, rules=role_mapping)).result()
        yield chosen


@contextmanager
def _memory_database() -> Iterator[str]:
    """The URL of an empty registry in memory, which exists while the block runs."""
    name = f"file:tenants-{uuid.uuid4().hex}"
    # SQLite deletes a database in memory when its last connection closes.
    with closing(sqlite3.connect(f"{name}?mode=memory&cache=shared", uri=True)) as database:
        with closing(sqlite3.connect(":memory:")) as schema:
            schema.executescript(_schema())
            schema.backup(database)
        yield f"sqlite+aiosqlite:///{name}?mode=memory&cache=shared&uri=true"


@cache
def _schema() -> str:
    """The newest schema as SQL; cached, because a migration takes one or two seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        migrating.upgrade(f"sqlite+aiosqlite:///{path}")
        with closing(sqlite3.connect(path)) as migrated:
            return "\n".join(migrated.iterdump())


async def _register(settings: Settings, *, server: DevRealmServer, rules: tuple[RoleRule, ...]) -> None:
    async with open_services(settings, background=False) as services:
        for name, realm in server.realms.items():
            own = realm_draft(issuer=realm.issuer, client_id=server.client_id, policy=services.policy)
            tenant = TenantDraft(slug=name, name=name.title(), realms=(own,), role_mapping=rules)
            await services.commands.create(tenant, activate="now", change=CHANGE)
