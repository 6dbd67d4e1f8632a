"""A registry in memory, with the same schema and the same code as the real one."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tenants_api import migrating
from tenants_api.devrealms import DevRealmServer
from tenants_api.onboarding import realm_draft
from tenants_api.registry.values import Actor, Change, TenantDraft
from tenants_api.role_rules import RoleRule
from tenants_api.settings import Settings, load_settings
from tenants_api.verification.roles import SAMPLE_ROLES, RoleModel
from tenants_api.wiring import open_services

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
