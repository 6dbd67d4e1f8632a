"""A registry in memory, with the same schema and the same code as the real one."""

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

from tenants_api.composition import open_services
from tenants_api.control.drafts import realm_draft
from tenants_api.database import migrations as migrating
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.registry.values import Actor, Change, TenantDraft
from tenants_api.role_rules import RoleRule
from tenants_api.settings import Settings, load_settings
from tenants_api.tokens.principal import SAMPLE_ROLES, Principal, RoleModel, TenantRef
from tenants_api.web.authentication import PRINCIPAL

HOUR = 3600


def as_principal(
    app: ASGIApp, principal: Principal | None = None, *, tenant: str = "acme", roles: Iterable[str] = (), **facts: Any
) -> ASGIApp:
    """The application as this principal sees it: to give to `httpx.ASGITransport` or `TestClient`.

    The application itself stays as it is, so the principals of one test do not disturb each other. Nothing runs but
    the routes: no database, no lifespan needed (do not enter the `TestClient` as a context if yours needs one). Roles
    and the tenant in the path are still checked, in mounted applications and WebSockets too.

    Args:
        principal: whoever calls, whole; otherwise one is made of the following.
        tenant: its tenant's slug; the tenant's id depends on nothing else.
        roles: those that the mapping would have given; what they include is added as always.
        facts: any other field of `Principal`, and `scopes`.

    Raises:
        TypeError: `facts` names a field that `Principal` does not have.
    """
    caller = principal if principal is not None else make_principal(tenant, roles=roles, **facts)

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope[PRINCIPAL] = caller
        await app(scope, receive, send)

    return called


def make_principal(tenant: str, *, roles: Iterable[str], **facts: Any) -> Principal:
    """Somebody of this tenant; two of one tenant share its id."""
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
        "expires_at": int(time.time()) + HOUR,
        "service_account": False,
    }
    return Principal(**{**made, **facts})


CHANGE = Change(Actor("system", "tests"))


@contextmanager
def memory_registry(
    server: DevRealmServer,
    *,
    roles: RoleModel = SAMPLE_ROLES,
    role_mapping: tuple[RoleRule, ...] = (),
    **settings: Any,
) -> Iterator[Settings]:
    """Settings of an API whose registry is in memory and knows each development realm as an active tenant.

    Give them to `create_app` or `Tenancy`. The registry lasts as long as the block; every block has one of its own.

    Args:
        server: its realms become tenants of the same slug.
        roles: the application's own, if it has some.
        role_mapping: the rules of each tenant; if empty, what the API does for a tenant without any.
        settings: any other setting, by its field name.

    Raises:
        SettingsError: a setting is wrong.
    """
    name = f"file:tenants-{uuid.uuid4().hex}"
    chosen = load_settings(
        _env_file=None,
        **{
            "environment": "development",
            "database_url": f"sqlite+aiosqlite:///{name}?mode=memory&cache=shared&uri=true",
            "insecure_http_hosts": (f"127.0.0.1:{server.port}",),
            "allowed_private_networks": ("127.0.0.0/8",),
            "allowed_realm_ports": (443, server.port),
            "reconcile_interval": 0,
            **settings,
        },
    )
    # SQLite forgets a database in memory when its last connection closes.
    with closing(sqlite3.connect(f"{name}?mode=memory&cache=shared", uri=True)) as kept:
        with closing(sqlite3.connect(":memory:")) as schema:
            schema.executescript(_schema())
            schema.backup(kept)
        with ThreadPoolExecutor(1) as beside:  # the test may have an event loop of its own in this thread
            beside.submit(asyncio.run, _register(chosen, server=server, roles=roles, rules=role_mapping)).result()
        yield chosen


@cache
def _schema() -> str:
    """The newest schema as SQL: migrating takes a second or two, and is done once a process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        migrating.upgrade(f"sqlite+aiosqlite:///{path}")
        with closing(sqlite3.connect(path)) as migrated:
            return "\n".join(migrated.iterdump())


async def _register(
    settings: Settings, *, server: DevRealmServer, roles: RoleModel, rules: tuple[RoleRule, ...]
) -> None:
    async with open_services(settings, roles=roles, background=False) as services:
        for name, realm in server.realms.items():
            own = realm_draft(issuer=realm.issuer, client_id=server.client_id, policy=services.policy)
            tenant = TenantDraft(slug=name, name=name.title(), realms=(own,), role_mapping=rules)
            await services.commands.create(tenant, activate="now", change=CHANGE)
