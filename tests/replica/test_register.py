"""The register of all tenants: what goes in comes out, indexes follow, and idle tenants cost little."""

from __future__ import annotations

import gc
import itertools
from dataclasses import fields, replace
from typing import Any

import pytest

from tenants_api.ids import new_id
from tenants_api.registry.values import RealmRow, TenantRow, TenantState
from tenants_api.replica.register import Register
from tenants_api.role_rules import RoleRule

ISSUER = "https://login.example.com/realms/acme"


def realm_row(**changes: Any) -> RealmRow:
    values = {
        "id": new_id(), "issuer": ISSUER, "organization": None, "realm_url": ISSUER, "client_id": "tenants-api",
        "audiences": ("tenants-api",), "authorized_parties": (), "algorithms": ("RS256",), "login_client_id": None,
        "docs_client_id": None, "ca_bundle": None, "enabled": True, "not_before": 0,
    }  # fmt: skip
    return RealmRow(**values | changes)


def tenant_row(slug: str = "acme", **changes: Any) -> TenantRow:
    values = {
        "id": new_id(), "slug": slug, "name": slug.title(), "state": TenantState.ACTIVE, "changed_version": 1,
        "resource_metadata": False, "rules": (), "realms": (realm_row(),),
    }  # fmt: skip
    return TenantRow(**values | changes)


@pytest.fixture
def register() -> Register:
    return Register()


def test_tenant_comes_out_as_it_went_in(register: Register) -> None:
    numbers = itertools.count(1)
    texts = {one.name: f'ein Wört "{next(numbers)}" \\ \x7f 語' for one in fields(RealmRow) if "str" in str(one.type)}
    lists = {name: (f"{name}, one", "zwei") for name in ("audiences", "authorized_parties", "algorithms")}
    full = realm_row(**texts | lists | {"enabled": False, "not_before": 1 << 40})
    tenant = tenant_row(
        name="Ünïcode 語", resource_metadata=True, changed_version=1 << 40,
        rules=(RoleRule("realm", "owner", "admin"),), realms=(full, realm_row(organization="a part")),
    )  # fmt: skip
    register.put(tenant)
    assert register.tenant(tenant.id) == tenant
    assert repr(register.tenant(tenant.id)) == repr(replace(tenant, state="active"))
    assert register.tenant_ids() == {tenant.id.int}
    assert register.holds(tenant)
    assert not register.holds(replace(tenant, name="another"))


def test_tenant_is_found_by_slug_realm_and_issuer(register: Register) -> None:
    tenant = tenant_row(realms=(realm_row(), realm_row(issuer="https://shared.example.com", organization="acme")))
    register.put(tenant)
    assert register.by_slug("acme") == register.by_issuer(ISSUER) == tenant
    assert [register.by_realm(realm.id) for realm in tenant.realms] == [tenant, tenant]
    assert register.by_issuer("https://shared.example.com") is None, "a part of the issuer is not the issuer"
    assert register.realm_count == 2


@pytest.mark.parametrize(
    "change", [{"state": TenantState.DRAFT}, {"realms": (realm_row(enabled=False),)}, {"realms": ()}]
)
def test_what_is_not_trusted_is_found_by_slug_alone(register: Register, change: dict[str, Any]) -> None:
    before = tenant_row()
    register.put(before)
    after = replace(before, **change)
    assert register.put(after) == before
    assert register.by_slug("acme") == after
    assert (register.by_issuer(ISSUER), register.by_realm(before.realms[0].id)) == (None, None)
    assert register.realm_count == 0


@pytest.mark.parametrize("owner_first", [True, False])
def test_slug_and_issuer_change_hands_in_any_order(register: Register, owner_first: bool) -> None:
    owner = tenant_row("acme")
    register.put(owner)
    leaving, heir = replace(owner, slug="acme-old", realms=()), tenant_row("acme")
    for tenant in (leaving, heir) if owner_first else (heir, leaving):
        register.put(tenant)
    assert register.by_slug("acme") == register.by_issuer(ISSUER) == heir
    assert register.by_slug("acme-old") == leaving


def test_removed_tenant_leaves_nothing(register: Register) -> None:
    tenant = tenant_row()
    register.put(tenant)
    assert register.remove(tenant.id) == tenant
    assert register.remove(tenant.id) is None
    found = register.tenant(tenant.id), register.by_slug("acme"), register.by_issuer(ISSUER)
    assert found == (None, None, None)
    assert (register.realm_count, register.states["active"]) == (0, 0)
    assert register.holds(replace(tenant, state=TenantState.DELETED))
    assert register.tenant_ids() == set()


def test_tenants_are_counted_by_state(register: Register) -> None:
    tenant = tenant_row()
    for state in (TenantState.DRAFT, TenantState.ACTIVE, TenantState.SUSPENDED):
        register.put(replace(tenant, state=state))
        assert {name: count for name, count in register.states.items() if count} == {str(state): 1}


def test_collector_looks_at_no_idle_tenant(register: Register) -> None:
    gc.collect()
    before = len(gc.get_objects())
    for number in range(1000):
        register.put(tenant_row(f"tenant-{number}", realms=(realm_row(issuer=f"{ISSUER}-{number}"),)))
    gc.collect()
    assert len(gc.get_objects()) - before < 10
