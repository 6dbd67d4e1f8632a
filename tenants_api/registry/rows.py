"""Between drafts and rows, and what the audit log keeps of a row. No SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from tenants_api.db import utc_now
from tenants_api.ids import new_id
from tenants_api.registry.models import Realm, RoleRuleRow, Tenant
from tenants_api.registry.values import RealmDraft, frozen, names_of
from tenants_api.role_rules import RoleRule


def rule_rows(rules: Sequence[RoleRule]) -> list[RoleRuleRow]:
    return [
        RoleRuleRow(position=position, source=rule.source, value=rule.value, role=rule.role)
        for position, rule in enumerate(rules)
    ]


def rules_of(tenant: Tenant) -> tuple[RoleRule, ...]:
    return tuple(RoleRule(rule.source, rule.value, rule.role) for rule in tenant.role_rules)


def new_realm(draft: RealmDraft) -> Realm:
    realm = Realm(id=new_id(), conditions=[])
    fill_realm(realm, draft=draft)
    return realm


def in_one_order(realms: Iterable[Realm]) -> list[Realm]:
    """By issuer, for the inserts: two tenants that name the same issuers in another order each would wait for ever.

    Their ids, by which they are read, keep the order in which they were made.
    """
    return sorted(realms, key=lambda realm: (realm.issuer, realm.organization))


_MEMBERS = names_of(RealmDraft)


def fill_realm(realm: Realm, *, draft: RealmDraft) -> None:
    for name in _MEMBERS:
        value = getattr(draft, name)
        setattr(realm, name, list(value) if isinstance(value, tuple) else value)
    realm.organization = draft.organization or ""
    realm.audiences = realm.audiences or [draft.client_id]
    realm.updated_at = utc_now()


def registered_draft(realm: Realm) -> RealmDraft:
    """A registered realm as somebody would ask for it again."""
    values = {name: frozen(getattr(realm, name)) for name in _MEMBERS}
    return RealmDraft(**values | {"organization": realm.organization or None})


def tenant_facts(tenant: Tenant) -> dict[str, Any]:
    """The fields of a tenant and its realms that an admin sets, for the audit log."""
    return {
        "slug": tenant.slug,
        "name": tenant.name,
        "external_id": tenant.external_id,
        "state": str(tenant.state),
        "metadata": tenant.metadata_,
        "resource_metadata": tenant.resource_metadata,
        "issuers": sorted(realm.issuer for realm in tenant.realms),
        "realms": [realm_facts(realm) for realm in in_one_order(tenant.realms)],
        "role_mapping": [{"from": rule.source, "value": rule.value, "role": rule.role} for rule in tenant.role_rules],
    }


def realm_facts(realm: Realm) -> dict[str, Any]:
    """The fields of a realm that an admin sets, for the audit log; the CA bundle by its SHA-256."""
    facts = {name: getattr(realm, name) for name in _MEMBERS}
    bundle = realm.ca_bundle
    return {**facts, "ca_bundle": f"sha256:{sha256(bundle.encode()).hexdigest()}" if bundle is not None else None}
