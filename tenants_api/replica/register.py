"""Every tenant in memory, in a few hundred bytes each.

Of a hundred thousand tenants most are idle. As objects each would take three kilobytes, which the garbage collector
traverses repeatedly; so a row is one `bytes` of JSON, which four dictionaries share.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from tenants_api.registry.values import RealmMembers, RealmRow, TenantRow, TenantState, frozen, names_of
from tenants_api.role_rules import RoleRule
from tenants_api.tokens.principal import TenantRef
from tenants_api.tokens.realms import MUTABLE_FIELDS, TrustedRealm


def trusted_rows(tenant: TenantRow) -> Iterable[RealmRow]:
    """The realms that the verifier must know: none of a draft; those of a suspended tenant, for the precise refusal."""
    if tenant.state not in (TenantState.ACTIVE, TenantState.SUSPENDED):
        return ()
    return (realm for realm in tenant.realms if realm.enabled)


def trusted_realms(tenant: TenantRow) -> Iterable[TrustedRealm]:
    """The same as values of the verifier."""
    reference = TenantRef(tenant.id, tenant.slug, tenant.name)
    suspended = tenant.state == TenantState.SUSPENDED
    for realm in trusted_rows(tenant):
        yield trusted_realm(
            realm,
            realm_id=realm.id,
            tenant=reference,
            rules=tenant.rules,
            not_before=realm.not_before,
            suspended=suspended,
        )


def trusted_realm(
    realm: RealmMembers,
    *,
    realm_id: uuid.UUID,
    tenant: TenantRef,
    rules: tuple[RoleRule, ...] = (),
    not_before: int = 0,
    suspended: bool = False,
) -> TrustedRealm:
    """A realm as a value of the verifier."""
    return TrustedRealm(
        id=realm_id,
        tenant=tenant,
        issuer=realm.issuer,
        realm_url=realm.realm_url,
        client_id=realm.client_id,
        audiences=frozenset(realm.audiences),
        organization=realm.organization,
        authorized_parties=frozenset(realm.authorized_parties),
        algorithms=frozenset(realm.algorithms),
        rules=rules,
        ca_bundle=realm.ca_bundle,
        not_before=not_before,
        suspended=suspended,
        login_client_id=realm.login_client_id,
        docs_client_id=realm.docs_client_id,
    )


def registry_fields(realm: TrustedRealm) -> tuple[Any, ...]:
    """The values of all fields from the registry, without `MUTABLE_FIELDS`."""
    names = (name for name in TrustedRealm.__slots__ if name not in MUTABLE_FIELDS)
    return tuple(getattr(realm, name) for name in names)


_TENANT, _REALM = names_of(TenantRow), names_of(RealmRow)
# A row is serialized as its values in the order of its fields: names would double the size.
_VALUES: dict[type, Callable[[Any], Any]] = {
    TenantRow: attrgetter(*_TENANT),
    RealmRow: attrgetter(*_REALM),
    RoleRule: attrgetter("source", "value", "role"),
    uuid.UUID: attrgetter("hex"),
}
_to_json = json.JSONEncoder(separators=(",", ":"), default=lambda value: _VALUES[type(value)](value)).encode


class Register:
    """All tenants but the deleted ones. `states` counts them by state."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self._tenants: dict[int, bytes] = {}
        self._slugs: dict[str, bytes] = {}
        self._realms: dict[int, bytes] = {}
        self._issuers: dict[str, bytes] = {}

    @property
    def realm_count(self) -> int:
        """How many realms the verifier knows."""
        return len(self._realms)

    def tenant(self, tenant_id: uuid.UUID) -> TenantRow | None:
        return _row(self._tenants.get(tenant_id.int))

    def by_slug(self, slug: str) -> TenantRow | None:
        return _row(self._slugs.get(slug))

    def by_realm(self, realm_id: uuid.UUID) -> TenantRow | None:
        """The tenant of a realm that the verifier knows."""
        return _row(self._realms.get(realm_id.int))

    def by_issuer(self, issuer: str) -> TenantRow | None:
        """The tenant of a realm that the verifier knows and that has this issuer and no organization."""
        return _row(self._issuers.get(issuer))

    def holds(self, tenant: TenantRow) -> bool:
        """Whether the register has exactly this row."""
        if tenant.state == TenantState.DELETED:
            return tenant.id.int not in self._tenants
        return self._tenants.get(tenant.id.int) == _packed(tenant)

    def tenant_ids(self) -> set[int]:
        """The ids of all tenants, as integers."""
        return set(self._tenants)

    def put(self, tenant: TenantRow) -> TenantRow | None:
        """Add or replace the tenant; returns its previous row."""
        before = self.remove(tenant.id)
        packed = _packed(tenant)
        self.states[tenant.state] += 1
        self._tenants[tenant.id.int] = self._slugs[tenant.slug] = packed
        for realm in trusted_rows(tenant):
            self._realms[realm.id.int] = packed
            if realm.organization is None:
                self._issuers[realm.issuer] = packed
        return before

    def remove(self, tenant_id: uuid.UUID) -> TenantRow | None:
        """Remove the tenant; returns its previous row."""
        packed = self._tenants.pop(tenant_id.int, None)
        tenant = _row(packed)
        if tenant is None:
            return None
        self.states[tenant.state] -= 1
        _forget(self._slugs, tenant.slug, packed)
        for realm in trusted_rows(tenant):
            _forget(self._realms, realm.id.int, packed)
            _forget(self._issuers, realm.issuer, packed)
        return tenant


def _forget(index: dict[Any, bytes], key: Any, packed: bytes | None) -> None:
    if index.get(key) is packed:  # else another tenant got this slug or issuer in the same batch of changes
        del index[key]


def _packed(tenant: TenantRow) -> bytes:
    return _to_json(tenant).encode("ascii")


def _row(packed: bytes | None) -> TenantRow | None:
    if packed is None:
        return None
    values = dict(zip(_TENANT, json.loads(packed), strict=True))
    rules, realms = tuple(RoleRule(*rule) for rule in values["rules"]), tuple(map(_realm_row, values["realms"]))
    return TenantRow(**values | {"id": uuid.UUID(values["id"]), "rules": rules, "realms": realms})


def _realm_row(packed: list[Any]) -> RealmRow:
    values = dict(zip(_REALM, map(frozen, packed), strict=True))
    return RealmRow(**values | {"id": uuid.UUID(values["id"])})
