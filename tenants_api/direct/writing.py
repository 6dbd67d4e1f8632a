"""What forward auth alone writes: key sets, health and refused tokens. The same transactions as the whole API's."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tenants_api.direct.connections import Connection
from tenants_api.direct.reading import marks, to_id, to_time
from tenants_api.ids import new_id
from tenants_api.registry.trail import HEALTH_CHANGED, OBSERVER, difference, health_words
from tenants_api.registry.values import CHANNEL, KEPT_REJECTIONS, Health, Refused, StoredKeys

AT_ONCE = 500  # rows in one statement
OWNER = "select tenants.id from tenants join realms on realms.tenant_id = tenants.id where realms.id = %s"
ORIGIN = "select issuer, realm_url from realms where id = %s"
LOCK = " for no key update of tenants"  # PostgreSQL: rows that only refer to the tenant can be written meanwhile
KNOWN_KEYS = (
    "select digest, not_before, realm_enabled, issuer, realm_url, fetched_at from realm_keys where realm_id = %s"
)
KEEP_KEYS = """
    insert into realm_keys (realm_id, jwks, digest, fetched_at, not_before, realm_enabled, issuer, realm_url)
    values (%s, %s, %s, %s, %s, %s, %s, %s)
    on conflict (realm_id) do update set jwks = excluded.jwks, digest = excluded.digest,
        fetched_at = excluded.fetched_at, not_before = excluded.not_before, realm_enabled = excluded.realm_enabled,
        issuer = excluded.issuer, realm_url = excluded.realm_url
"""
BUMP = "update registry_version set version = version + 1 returning version"
TELL = "select pg_notify(%s, %s)"
MARK_CHANGED = "update tenants set changed_version = %s where id = %s"
HEALTH = "select health from realms where id = %s and issuer = %s and realm_url = %s"
CHANGE_HEALTH = """
    update realms set health = %s, checked_at = null
    where id = %s and issuer = %s and realm_url = %s and health <> %s returning id
"""
RECORD = """
    insert into audit_events
        (id, action, occurred_at, actor_type, actor_id, target_type, target_id, request_id, changes, reason)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
TENANTS = "select id from tenants where id in "
ADD_REJECTIONS = """
    insert into rejections
        (id, tenant_id, digest, reason, kid, authorized_party, audience, count, first_at, last_at)
    values {rows}
    on conflict (tenant_id, digest) do update
        set count = rejections.count + excluded.count, last_at = excluded.last_at
"""
FORGET_OLDEST = """
    delete from rejections where id in (
        select id from rejections where tenant_id = %s order by last_at desc, id desc limit {unlimited} offset %s)
"""


async def store_keys(connection: Connection, keys: StoredKeys, *, tell: bool) -> bool:
    """See `RegistryStorage`."""
    owner = await connection.run(OWNER + (LOCK if connection.is_postgresql else ""), (keys.realm_id,))
    origin = keys.issuer, keys.realm_url
    if not owner or (await connection.run(ORIGIN, (keys.realm_id,)))[0] != origin:
        return False
    known = await connection.run(KNOWN_KEYS, (keys.realm_id,))
    if known and known[0][3:5] == origin and to_time(known[0][5]) > keys.fetched_at:
        return False
    values = keys.realm_id, keys.jwks, keys.digest, keys.fetched_at, keys.not_before, keys.realm_enabled, *origin
    await connection.run(KEEP_KEYS, values)
    changed = not known or known[0][:5] != (keys.digest, keys.not_before, keys.realm_enabled, *origin)
    if changed or tell:
        await _tell(connection, tenant_id=to_id(owner[0][0]))
    return changed


async def set_health(
    connection: Connection, realm_id: uuid.UUID, *, issuer: str, realm_url: str, health: Health, reason: str | None
) -> None:
    """See `RegistryStorage`."""
    realm = realm_id, issuer, realm_url
    before = await connection.run(HEALTH, realm)
    changed = await connection.run(CHANGE_HEALTH, (str(health), *realm, str(health)))
    if not before or not changed:
        return
    changes = difference({"health": before[0][0]}, health_words(health, reason=reason))
    actor = OBSERVER.actor
    what = new_id(), HEALTH_CHANGED, datetime.now(UTC), actor.type, actor.id, "realm", str(realm_id)
    await connection.run(RECORD, (*what, None, json.dumps(changes), None))


async def add_rejections(connection: Connection, counts: Mapping[Refused, int], *, now: datetime) -> None:
    """See `RegistryStorage`."""
    if not counts:
        return
    # In one order for all writers: two replicas that wait for each other's rows would never end.
    tenants = sorted({refused.tenant_id for refused in counts})
    known = {to_id(row[0]) for row in await connection.run(TENANTS + marks(tenants), tenants)}
    rows = [_rejection(refused, counts[refused], now=now) for refused in sorted(counts) if refused.tenant_id in known]
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        statement = ADD_REJECTIONS.format(rows=", ".join(marks(row) for row in some))
        await connection.run(statement, [value for row in some for value in row])
    forget = FORGET_OLDEST.format(unlimited="all" if connection.is_postgresql else "-1")
    for tenant_id in tenants:
        if tenant_id in known:
            await connection.run(forget, (tenant_id, KEPT_REJECTIONS))


async def _tell(connection: Connection, *, tenant_id: uuid.UUID) -> None:
    """The number of this change. The row's lock makes writers queue, so versions commit in their order."""
    ((version,),) = await connection.run(BUMP)
    if connection.is_postgresql:
        await connection.run(TELL, (CHANNEL, f"{version} {tenant_id}"))
    await connection.run(MARK_CHANGED, (version, tenant_id))


def _rejection(refused: Refused, count: int, *, now: datetime) -> tuple[Any, ...]:
    told = refused.kid or None, refused.authorized_party or None, json.dumps(refused.audience)
    return new_id(), refused.tenant_id, refused.digest, refused.reason, *told, count, now, now
