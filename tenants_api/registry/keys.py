"""The stored key sets of realms."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.registry.changes import bump_version
from tenants_api.registry.models import Realm, RealmKeys, Tenant
from tenants_api.registry.values import StoredKeys


async def load_keys(session: AsyncSession, *, realm_ids: Collection[uuid.UUID] | None) -> list[StoredKeys]:
    """The stored sets of these realms, or of all."""
    query = select(*(getattr(RealmKeys, name) for name in StoredKeys.__slots__))
    if realm_ids is not None:
        query = query.where(RealmKeys.realm_id.in_(realm_ids))
    return [StoredKeys(*row) for row in await session.execute(query)]


async def store_keys(session: AsyncSession, keys: StoredKeys) -> bool:
    """Keep a set that was just fetched; True when it says something new, and then every replica learns of it.

    A realm that is gone meanwhile is no error: nothing is kept for it. An older set never replaces a newer one.
    """
    tenant_id = await session.scalar(select(Realm.tenant_id).where(Realm.id == keys.realm_id))
    row = await session.get(RealmKeys, keys.realm_id)
    if tenant_id is None or (row is not None and row.fetched_at > keys.fetched_at):
        return False
    changed = row is None or _says(row) != _says(keys)
    if row is None:
        row = RealmKeys(realm_id=keys.realm_id)
        session.add(row)
    for name in StoredKeys.__slots__:
        setattr(row, name, getattr(keys, name))
    await session.flush()
    if changed:
        version = await bump_version(session)
        await session.execute(update(Tenant).where(Tenant.id == tenant_id).values(changed_version=version))
    return changed


def _says(keys: StoredKeys | RealmKeys) -> tuple[str, int, bool]:
    return keys.digest, keys.not_before, keys.realm_enabled
