"""Services on a migrated SQLite file beside development realms: what most end-to-end tests stand on."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tenants_api.composition import Services, open_services
from tenants_api.control.drafts import realm_draft
from tenants_api.database import migrations as migrating
from tenants_api.devkit.realms import DevRealm, DevRealmServer, serve_dev_realms
from tenants_api.devkit.realms.keys import SigningKeys, generate_rsa
from tenants_api.registry.values import Actor, Change, TenantDraft
from tenants_api.replica.replica import RegistryReplica
from tenants_api.settings import Settings, load_settings

POOLED = 16
CHANGE = Change(Actor("system", "tests"))


_pool: list[RSAPrivateKey] = []
_drawn = count()


def pooled_rsa() -> RSAPrivateKey:
    """The next key of a pool of sixteen, made as needed; to make them was a fifth of the tests' time."""
    number = next(_drawn)
    _fill(number + 1)
    return _pool[number % POOLED]


def _fill(wanted: int) -> None:
    while len(_pool) < min(wanted, POOLED):
        _pool.append(generate_rsa())


_idle: list[DevRealmServer] = []


@contextmanager
def dev_realms(*names: str) -> Iterator[DevRealmServer]:
    """New development realms on a port of this machine that no other running test uses.

    Only the server is used again: to start and to stop one takes longer than most tests.
    """
    _fill(2 * len(names))  # before anybody waits for an answer: a realm that made its keys only then would be late
    server = _idle.pop() if _idle else _started()
    for name in names:
        realm = server.add(name)
        realm.keys = SigningKeys(subject=realm.name, make_rsa=pooled_rsa)
    try:
        yield server
    finally:
        server.realms.clear()
        _idle.append(server)


def _started() -> DevRealmServer:
    server = serve_dev_realms([]).start()
    atexit.register(server.stop)
    return server


def settings_for(server: DevRealmServer, folder: Path, **changes: Any) -> Settings:
    """Settings that let this API reach the development realms, with a database of its own."""
    values = {
        "environment": "development",
        "database_url": f"sqlite+aiosqlite:///{folder / 'tenants.db'}",
        "insecure_http_hosts": (f"127.0.0.1:{server.port}",),
        "allowed_private_networks": ("127.0.0.0/8",),
        "allowed_realm_ports": (443, server.port),
        "registry_poll": 0.1,
        "reconcile_interval": 0,  # fetches that nobody asked for would disturb those who count
        **changes,
    }
    return load_settings(_env_file=None, **values)


@cache
def migrated_file() -> Path:
    """An empty, migrated SQLite file, made once a process: copying it is a hundred times faster than migrating."""
    folder = Path(tempfile.mkdtemp(prefix="tenants-api-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrating.upgrade(f"sqlite+aiosqlite:///{folder / 'empty.db'}")
    return folder / "empty.db"


def migrate(settings: Settings) -> None:
    """Bring the settings' database to the newest schema; a new SQLite file is copied."""
    path = settings.database_url.removeprefix("sqlite+aiosqlite:///")
    if path != settings.database_url and not Path(path).exists():
        shutil.copy(migrated_file(), path)
    else:
        migrating.upgrade(settings.database_url)


@asynccontextmanager
async def services_for(settings: Settings, **changes: Any) -> AsyncIterator[Services]:
    """Migrate and open."""
    await asyncio.to_thread(migrate, settings)
    async with open_services(settings, **changes) as services:
        yield services


def tenant_draft(services: Services, server: DevRealmServer, name: str, **changes: Any) -> TenantDraft:
    """The tenant that owns the development realm of this name."""
    realm = realm_draft(issuer=server.realm(name).issuer, client_id="tenants-api", policy=services.policy, **changes)
    return TenantDraft(slug=name, name=name.title(), realms=(realm,))


async def replace_key(realm: DevRealm, *, replica: RegistryReplica) -> None:
    """The realm signs with another key, the one before has left its set, and this process was told to look."""
    old = realm.keys.kid
    realm.rotate()
    realm.withdraw(old)
    tenant = replica.tenant_by_slug(realm.name)
    assert tenant is not None
    await replica.refresh_keys(tenant.realms[0].id)
