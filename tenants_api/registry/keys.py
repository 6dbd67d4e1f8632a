"""The stored key sets of realms."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Collection, Iterator
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.registry.changes import REGISTRY_BATCH_SIZE, bump_version, lock_tenant_of
from tenants_api.registry.models import Realm, RealmKeysRow, Tenant
from tenants_api.registry.values import StoredKeys

_KEYS = select(*(getattr(RealmKeysRow, name) for name in StoredKeys.__slots__))


async def load_keys(session: AsyncSession, *, realm_ids: Collection[uuid.UUID]) -> list[StoredKeys]:
    """The stored sets of these realms."""
    found: list[StoredKeys] = []
    for some in _slices(realm_ids):
        found += [StoredKeys(*row) for row in await session.execute(_KEYS.where(RealmKeysRow.realm_id.in_(some)))]
    return found


async def load_all_keys(session: AsyncSession) -> AsyncGenerator[list[StoredKeys], None]:
    """All stored sets, in batches."""
    query = _KEYS.order_by(RealmKeysRow.realm_id).limit(REGISTRY_BATCH_SIZE)
    rows = (await session.execute(query)).all()
    while rows:
        yield [StoredKeys(*row) for row in rows]
        rows = (await session.execute(query.where(RealmKeysRow.realm_id > rows[-1].realm_id))).all()


async def store_keys(session: AsyncSession, keys: StoredKeys, *, notify: bool = False) -> bool:
    """Store a set that was just fetched; True when it differs from the stored one.

    All replicas are notified then, and with `notify` in any case. Nothing is stored when the realm was removed
    meanwhile, has another issuer or URL, or has a newer set of the same origin.
    """
    tenant_id = await lock_tenant_of(session, realm_id=keys.realm_id)
    if tenant_id is None or not await _is_origin(session, keys=keys):
        return False
    row = await session.get(RealmKeysRow, keys.realm_id, populate_existing=True)
    if row is not None and _origin(row) == _origin(keys) and row.fetched_at > keys.fetched_at:
        return False
    changed = row is None or _content(row) != _content(keys)
    if row is None:
        row = RealmKeysRow(realm_id=keys.realm_id)
        session.add(row)
    for name in StoredKeys.__slots__:
        setattr(row, name, getattr(keys, name))
    await session.flush()
    if changed or notify:
        version = await bump_version(session, tenant_id=tenant_id)
        await session.execute(update(Tenant).where(Tenant.id == tenant_id).values(changed_version=version))
    return changed


async def forget_keys(session: AsyncSession, *, realm_id: uuid.UUID) -> None:
    """Delete the stored set of a realm, whose issuer or URL has changed."""
    await session.execute(delete(RealmKeysRow).where(RealmKeysRow.realm_id == realm_id))


async def _is_origin(session: AsyncSession, *, keys: StoredKeys) -> bool:
    """Whether the set was fetched for the realm's present issuer and URL. The caller holds the lock of its tenant."""
    now = await session.execute(select(Realm.issuer, Realm.realm_url).where(Realm.id == keys.realm_id))
    return tuple(now.one()) == _origin(keys)


def _origin(keys: StoredKeys | RealmKeysRow) -> tuple[str | None, str | None]:
    return keys.issuer, keys.realm_url


def _slices(realm_ids: Collection[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    listed = list(realm_ids)
    return (listed[start : start + REGISTRY_BATCH_SIZE] for start in range(0, len(listed), REGISTRY_BATCH_SIZE))


def _content(keys: StoredKeys | RealmKeysRow) -> tuple[Any, ...]:
    return keys.digest, keys.not_before, keys.realm_enabled, *_origin(keys)
