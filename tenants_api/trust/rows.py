"""From the registry's rows to what the verifier needs."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from tenants_api.registry.values import RealmMembers, RealmRow, TenantRow, TenantState
from tenants_api.role_rules import RoleRule
from tenants_api.verification.principal import TenantRef
from tenants_api.verification.realms import LIVING, TrustedRealm


def trusted_rows(tenant: TenantRow) -> Iterable[RealmRow]:
    """The realms whose tokens are read at all: a draft's are unknown, a suspended tenant's are refused later."""
    if tenant.state not in (TenantState.ACTIVE, TenantState.SUSPENDED):
        return ()
    return (realm for realm in tenant.realms if realm.enabled)


def trusted_realms(tenant: TenantRow) -> Iterable[TrustedRealm]:
    """The same as the verifier wants them."""
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
    """A realm as the verifier wants it: the one place that says which members it gets."""
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


def facts(realm: TrustedRealm) -> tuple[Any, ...]:
    """All that the registry says; what changes while the realm lives is left out."""
    names = (name for name in TrustedRealm.__slots__ if name not in LIVING)
    return tuple(getattr(realm, name) for name in names)
