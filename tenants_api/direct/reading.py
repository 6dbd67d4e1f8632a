"""The registry read with a few statements. The columns are those of the rows in `registry.values`, in their order."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from tenants_api.direct.connections import Connection, Row
from tenants_api.registry.values import RealmRow, StoredKeys, TenantRow, TenantState, names_of
from tenants_api.role_rules import RoleRule

AT_ONCE = 1000  # ids in one query, for every database has a bound on parameters; tenants that are read in one go
VERSION = "select version from registry_version"
PURGED = "select id, changed_version from purged_tenants where changed_version > %s"
TENANTS = "select id, slug, name, state, changed_version, resource_metadata from tenants"
_REALM = names_of(RealmRow)
REALMS = f"select tenant_id, {', '.join(_REALM)} from realms"  # noqa: S608  (names of fields)
RULES = "select tenant_id, source, value, role from role_rules"
KEYS = "select realm_id, jwks, digest, fetched_at, not_before, realm_enabled, issuer, realm_url from realm_keys"
ORGANIZATIONS = "select issuer from organization_issuers where changed_version > %s"
# Which tenants, said of whatever column holds the id of one.
SINCE = "in (select id from tenants where changed_version > %s)"
BETWEEN = "between %s and %s"
FIRST = "select id from tenants order by id limit %s"
NEXT = "select id from tenants where id > %s order by id limit %s"


class DirectReading:
    """See `Reading`."""

    def __init__(self, connection: Connection) -> None:
        self._run = connection.run

    async def current_version(self) -> int:
        ((version,),) = await self._run(VERSION)
        return int(version)

    async def load_all(self) -> AsyncGenerator[list[TenantRow], None]:
        rows = await self._run(FIRST, (AT_ONCE,))
        while rows:
            yield await self._load(BETWEEN, (rows[0][0], rows[-1][0]), order="id")
            rows = await self._run(NEXT, (rows[-1][0], AT_ONCE))

    async def changed_since(self, version: int) -> list[TenantRow]:
        purged = await self._run(PURGED, (version,))
        gone = [TenantRow(to_id(one), "", "", TenantState.DELETED, changed, False, (), ()) for one, changed in purged]
        return gone + await self._load(SINCE, (version,), order="changed_version")

    async def organization_issuers(self, since: int) -> list[str]:
        return [issuer for (issuer,) in await self._run(ORGANIZATIONS, (since,))]

    async def load_keys(self, realm_ids: Collection[uuid.UUID]) -> list[StoredKeys]:
        found: list[StoredKeys] = []
        listed = list(realm_ids)
        for start in range(0, len(listed), AT_ONCE):
            some = listed[start : start + AT_ONCE]
            found += [_stored_keys(row) for row in await self._run(f"{KEYS} where realm_id in {marks(some)}", some)]
        return found

    async def load_all_keys(self) -> AsyncGenerator[list[StoredKeys], None]:
        rows = await self._run(f"{KEYS} order by realm_id limit %s", (AT_ONCE,))
        while rows:
            yield [_stored_keys(row) for row in rows]
            last = rows[-1][0]
            rows = await self._run(f"{KEYS} where realm_id > %s order by realm_id limit %s", (last, AT_ONCE))

    async def _load(self, within: str, values: Sequence[Any], *, order: str) -> list[TenantRow]:
        tenants = await self._run(f"{TENANTS} where id {within} order by {order}", values)
        realms: dict[uuid.UUID, list[RealmRow]] = defaultdict(list)
        for tenant, *realm in await self._run(f"{REALMS} where tenant_id {within} order by id", values):
            realms[to_id(tenant)].append(_realm(realm))
        rules: dict[uuid.UUID, list[RoleRule]] = defaultdict(list)
        for tenant, *rule in await self._run(f"{RULES} where tenant_id {within} order by tenant_id, position", values):
            rules[to_id(tenant)].append(RoleRule(*rule))
        return [_tenant(row, realms=realms, rules=rules) for row in tenants]


def marks(values: Collection[Any]) -> str:
    """A list of placeholders for these values."""
    return f"({', '.join(['%s'] * len(values))})"


def to_id(value: Any) -> uuid.UUID:
    """PostgreSQL gives a UUID, SQLite its digits."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)


def to_time(value: Any) -> datetime:
    """PostgreSQL gives an aware time in whatever zone, SQLite a text in UTC."""
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value.astimezone(UTC)


def _to_words(value: Any) -> tuple[str, ...]:
    """PostgreSQL gives a list, SQLite its JSON."""
    return tuple(json.loads(value) if isinstance(value, str) else value)


def _tenant(row: Row, *, realms: dict[uuid.UUID, list[RealmRow]], rules: dict[uuid.UUID, list[RoleRule]]) -> TenantRow:
    tenant, slug, name, state, changed_version, metadata = row
    tenant_id = to_id(tenant)
    mine = tuple(rules.get(tenant_id, ())), tuple(realms.get(tenant_id, ()))
    return TenantRow(tenant_id, slug, name, state, changed_version, bool(metadata), *mine)


def _realm(row: Sequence[Any]) -> RealmRow:
    realm = dict(zip(_REALM, row, strict=True))
    lists = {name: _to_words(realm[name]) for name in ("audiences", "authorized_parties", "algorithms")}
    organization, enabled = realm["organization"] or None, bool(realm["enabled"])
    return RealmRow(**realm | lists | {"id": to_id(realm["id"]), "organization": organization, "enabled": enabled})


def _stored_keys(row: Row) -> StoredKeys:
    realm, jwks, digest, fetched_at, not_before, enabled, *origin = row
    return StoredKeys(to_id(realm), bytes(jwks), digest, to_time(fetched_at), not_before, bool(enabled), *origin)
