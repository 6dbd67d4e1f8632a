"""Tenants: what is unique, which changes of state there are, and who may overwrite whom."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest

from tenants_api.control import service
from tenants_api.database.engine import Database
from tenants_api.database.pagination import PageRequest
from tenants_api.errors import EtagMismatch
from tenants_api.registry import audit, repository
from tenants_api.registry.changes import current_version
from tenants_api.registry.errors import (
    ExternalIdTaken,
    InvalidStateTransition,
    IssuerTaken,
    SlugTaken,
    TenantNotFound,
)
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import TRANSITIONS, TenantFilter, TenantState, Transition
from tenants_api.role_rules import RoleRule
from tenants_api.web.preconditions import etag
from tests.registry.drafts import CHANGE, RULES, create, draft, issuer_of, move, purge, read, realm

WAY_TO = {
    TenantState.DRAFT: (),
    TenantState.ACTIVE: (Transition.ACTIVATE,),
    TenantState.SUSPENDED: (Transition.ACTIVATE, Transition.SUSPEND),
    TenantState.DELETED: (Transition.DELETE,),
}


async def test_new_tenant_is_a_draft_with_everything_loaded(database: Database) -> None:
    tenant = await create(database, "acme", role_mapping=RULES, metadata={"plan": "gold"})
    assert (tenant.state, tenant.version, tenant.metadata_) == ("draft", 1, {"plan": "gold"})
    assert tenant.created_at.tzinfo is not None
    assert [(one.issuer, one.audiences, one.conditions) for one in tenant.realms] == [
        (issuer_of("acme"), ["tenants-api"], [])
    ]
    assert [(rule.source, rule.value, rule.role) for rule in tenant.role_rules] == [
        ("realm", "owner", "admin"),
        ("group", "/staff", "viewer"),
    ]


async def test_tenant_is_found_by_id_and_by_slug(database: Database) -> None:
    tenant = await create(database, "acme")
    await create(database, "globex")
    assert (await read(database, "acme")).id == (await read(database, str(tenant.id))).id == tenant.id
    for unknown in ("initech", "01a20797-0a7e-766a-974a-d07c52d60bc8"):
        with pytest.raises(TenantNotFound):
            await read(database, unknown)


async def test_slug_is_unique(database: Database) -> None:
    await create(database, "acme")
    with pytest.raises(SlugTaken, match="'acme'"):
        await create(database, "acme", realms=())


async def test_external_id_is_unique_and_the_error_names_the_one_that_is_taken(database: Database) -> None:
    await create(database, "acme", external_id="crm-1")
    await create(database, "globex", external_id="crm-2")
    with pytest.raises(ExternalIdTaken, match="'crm-1'"):
        await create(database, "initech", external_id="crm-1")
    with pytest.raises(ExternalIdTaken, match="'crm-1'"):
        async with database.begin() as session:
            await service.update_tenant(
                session, ref="globex", fields={"external_id": "crm-1"}, if_match=None, change=CHANGE
            )


async def test_slug_that_is_taken_is_named_when_a_tenant_is_replaced(database: Database) -> None:
    await create(database, "acme")
    await create(database, "globex")
    with pytest.raises(SlugTaken, match="'acme'"):
        async with database.begin() as session:
            await service.replace_tenant(
                session, ref="globex", draft=draft("acme", realms=()), if_match=None, change=CHANGE
            )


async def test_value_that_looks_like_a_constraint_misleads_nobody(database: Database) -> None:
    await create(database, "acme", external_id="uq_tenants_slug tenants.slug")
    with pytest.raises(ExternalIdTaken):
        await create(database, "globex", external_id="uq_tenants_slug tenants.slug")


async def test_issuer_is_unique_across_tenants(database: Database) -> None:
    await create(database, "acme")
    with pytest.raises(IssuerTaken, match=f"'{issuer_of('acme')}'"):
        await create(database, "globex", realms=(realm("acme"),))


async def test_postgresql_tells_which_of_several_issuers_is_taken(database: Database) -> None:
    await create(database, "acme")
    longer = (realm("ac"), realm("acme"), realm("acme-2"))
    with pytest.raises(IssuerTaken, match=f"'{issuer_of('acme' if database.is_postgresql else 'ac')}'"):
        await create(database, "globex", realms=longer)


async def test_tenants_share_an_issuer_by_organization(database: Database) -> None:
    await create(database, "acme", realms=(realm("shared", organization="acme"),))
    await create(database, "globex", realms=(realm("shared", organization="globex"),))
    with pytest.raises(IssuerTaken, match="organization 'acme'"):
        await create(database, "initech", realms=(realm("shared", organization="acme"),))


async def test_of_two_creates_of_one_issuer_at_the_same_instant_one_wins(database: Database) -> None:
    both = (create(database, slug, realms=(realm("shared"),)) for slug in ("acme", "globex"))
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["IssuerTaken", "Tenant"]


async def test_deleted_tenant_keeps_its_issuer_until_it_is_purged(database: Database) -> None:
    await create(database, "acme")
    await move(database, "acme", Transition.DELETE)
    with pytest.raises(IssuerTaken):
        await create(database, "globex", realms=(realm("acme"),))
    async with database.begin() as session:
        await service.purge_tenant(session, ref="acme", change=CHANGE)
    await create(database, "acme")


async def test_purge_takes_one_tenant_and_nothing_of_another(database: Database) -> None:
    await create(database, "acme", role_mapping=RULES)
    await create(database, "globex", role_mapping=RULES)
    await purge(database, "acme")
    with pytest.raises(TenantNotFound):
        await read(database, "acme")
    assert len((await read(database, "globex")).role_rules) == 2


@pytest.mark.parametrize("state", [TenantState.DRAFT, TenantState.ACTIVE, TenantState.SUSPENDED])
async def test_only_a_deleted_tenant_is_purged(database: Database, state: TenantState) -> None:
    await create(database, "acme")
    await move(database, "acme", *WAY_TO[state])
    with pytest.raises(InvalidStateTransition):
        async with database.begin() as session:
            await service.purge_tenant(session, ref="acme", change=CHANGE)


@pytest.mark.parametrize(("state", "transition"), list(itertools.product(TenantState, Transition)))
async def test_state_changes_only_along_the_table(
    database: Database, state: TenantState, transition: Transition
) -> None:
    await create(database, "acme")
    await move(database, "acme", *WAY_TO[state])
    allowed = TRANSITIONS[state]
    if transition in allowed:
        assert (await move(database, "acme", transition)).state == allowed[transition]
        return
    with pytest.raises(InvalidStateTransition) as refused:
        await move(database, "acme", transition)
    purge_too = ["purge"] if state == TenantState.DELETED else []
    assert refused.value.extra["allowed"] == sorted([*allowed, *purge_too])
    assert (await read(database, "acme")).state == state


async def test_change_of_another_version_is_refused(database: Database) -> None:
    tenant = await create(database, "acme")
    assert etag(tenant) == '"1"'

    async def rename(name: str, *, if_match: int | None) -> Tenant:
        async with database.begin() as session:
            return await service.update_tenant(
                session, ref="acme", fields={"name": name}, if_match=if_match, change=CHANGE
            )

    assert (await rename("Acme Ltd", if_match=1)).version == 2
    with pytest.raises(EtagMismatch):
        await rename("Lost", if_match=1)
    with pytest.raises(EtagMismatch):
        async with database.begin() as session:
            await service.move(session, ref="acme", transition=Transition.DELETE, if_match=1, change=CHANGE)
    assert (await read(database, "acme")).name == "Acme Ltd"


async def test_of_two_changes_of_one_version_at_the_same_instant_one_wins(database: Database) -> None:
    await create(database, "acme")

    async def rename(name: str) -> Tenant:
        async with database.begin() as session:
            return await service.update_tenant(session, ref="acme", fields={"name": name}, if_match=1, change=CHANGE)

    outcomes = await asyncio.gather(rename("A"), rename("B"), return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["EtagMismatch", "Tenant"]


@pytest.mark.parametrize(
    "fields",
    [{"name": "New"}, {"external_id": "crm-9"}, {"metadata": {"a": 1}}, {"role_mapping": RULES}],
    ids=lambda fields: next(iter(fields)),
)
async def test_update_changes_what_it_names_and_nothing_else(database: Database, fields: dict[str, Any]) -> None:
    await create(database, "acme", external_id="crm-1", metadata={"b": 2})
    await create(database, "globex")
    async with database.begin() as session:
        await service.update_tenant(session, ref="acme", fields=fields, if_match=None, change=CHANGE)
    stored = await read(database, "acme")
    rules = tuple(RoleRule(one.source, one.value, one.role) for one in stored.role_rules)
    found = {
        "name": stored.name,
        "external_id": stored.external_id,
        "metadata": stored.metadata_,
        "role_mapping": rules,
    }
    assert found == {"name": "Acme", "external_id": "crm-1", "metadata": {"b": 2}, "role_mapping": (), **fields}
    assert (await read(database, "globex")).version == 1


async def test_replaced_tenant_keeps_the_ids_of_realms_that_stay(database: Database) -> None:
    before = await create(database, "acme", realms=(realm("one"), realm("two")), role_mapping=RULES)
    ids = {one.issuer: one.id for one in before.realms}
    async with database.begin() as session:
        await service.replace_tenant(
            session,
            ref="acme",
            draft=draft("acme", name="Acme Ltd", realms=(realm("two", client_id="other"), realm("three"))),
            if_match=1,
            change=CHANGE,
        )
    after = await read(database, "acme")
    assert (after.name, after.role_rules) == ("Acme Ltd", [])
    found = {one.issuer: one for one in after.realms}
    assert set(found) == {issuer_of("two"), issuer_of("three")}
    assert (found[issuer_of("two")].id, found[issuer_of("two")].client_id) == (ids[issuer_of("two")], "other")


async def test_saying_the_same_again_is_no_change(database: Database) -> None:
    """Neither version nor trail: a GitOps run every minute would fill both, and every replica would read along."""
    tenant = await create(database, "acme", role_mapping=RULES, metadata={"a": 1})
    same = draft("acme", role_mapping=RULES, metadata={"a": 1})
    async with database.begin() as session:
        before = await current_version(session)
        again = await service.replace_tenant(session, ref="acme", draft=same, if_match=None, change=CHANGE)
        fields = {"name": "Acme", "role_mapping": RULES}
        await service.update_tenant(session, ref="acme", fields=fields, if_match=None, change=CHANGE)
        assert (again.version, await current_version(session)) == (tenant.version, before)
        assert len((await audit.list_events(session, page=PageRequest())).items) == 1


async def test_another_ca_bundle_is_a_change_though_the_trail_shows_only_that_there_is_one(database: Database) -> None:
    await create(database, "acme", realms=(realm("acme", ca_bundle="one"),))
    other = draft("acme", realms=(realm("acme", ca_bundle="two"),))
    async with database.begin() as session:
        changed = await service.replace_tenant(session, ref="acme", draft=other, if_match=None, change=CHANGE)
        assert (changed.version, changed.realms[0].ca_bundle) == (2, "two")


async def test_fifty_creates_of_one_issuer_at_once_leave_one_tenant(database: Database) -> None:
    async def attempt(number: int) -> str:
        try:
            await create(database, f"t{number}", realms=(realm("wanted"),))
        except IssuerTaken:
            return "taken"
        return "created"

    outcomes = Counter(await asyncio.gather(*(attempt(number) for number in range(50))))
    assert outcomes == {"created": 1, "taken": 49}
    async with database.read() as session:
        assert len((await repository.list_tenants(session, where=TenantFilter(), page=PageRequest())).items) == 1


async def test_creates_that_name_the_same_issuers_in_opposite_order_do_not_wait_for_each_other(
    database: Database,
) -> None:
    async def attempt(number: int) -> str:
        names = [f"r{one}" for one in range(6)]
        try:
            await create(database, f"t{number}", realms=[realm(one) for one in (names if number % 2 else names[::-1])])
        except IssuerTaken:
            return "taken"
        return "created"

    outcomes = Counter(await asyncio.gather(*(attempt(number) for number in range(12))))
    assert outcomes == {"created": 1, "taken": 11}


async def test_realms_are_read_in_the_order_in_which_they_were_given(database: Database) -> None:
    tenant = await create(database, "acme", realms=(realm("z"), realm("a"), realm("m")))
    assert [one.issuer.rpartition("/")[2] for one in tenant.realms] == ["z", "a", "m"]
