"""Lists: keyset pages in both directions, and their filters."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain

import pytest

from tenants_api.database.engine import Database
from tenants_api.database.pagination import Page, PageRequest
from tenants_api.errors import ValidationFailed
from tenants_api.registry import conditions, repository
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Health, TenantFilter, TenantState, Transition
from tests.registry.drafts import create, issuer_of, move


async def page_of(database: Database, page: PageRequest, **where: object) -> Page[Tenant]:
    async with database.read() as session:
        return await repository.list_tenants(session, where=TenantFilter(**where), page=page)  # type: ignore[arg-type]


async def slugs(database: Database, **where: object) -> list[str]:
    return [tenant.slug for tenant in (await page_of(database, PageRequest(), **where)).items]


async def test_pages_lead_forward_and_back_again_over_every_row_once(database: Database) -> None:
    created = [str((await create(database, f"tenant-{number}")).id) for number in range(5)]
    forward: list[list[str]] = []
    request: PageRequest | None = PageRequest(limit=2)
    while request is not None:
        page = await page_of(database, request)
        forward.append([str(tenant.id) for tenant in page.items])
        last = page
        request = PageRequest(limit=2, after=page.after) if page.after else None
    assert list(chain(*forward)) == sorted(created)
    assert [len(ids) for ids in forward] == [2, 2, 1]

    backward: list[list[str]] = [[str(tenant.id) for tenant in last.items]]
    cursor = last.before
    while cursor is not None:
        page = await page_of(database, PageRequest(limit=2, before=cursor))
        backward.insert(0, [str(tenant.id) for tenant in page.items])
        assert page.after is not None
        cursor = page.before
    assert list(chain(*backward)) == sorted(created)


async def test_first_page_has_no_page_before_it(database: Database) -> None:
    for slug in ("acme", "globex"):
        await create(database, slug)
    assert (await page_of(database, PageRequest(limit=1))).before is None
    whole = await page_of(database, PageRequest(limit=2))
    assert (whole.before, whole.after) == (None, None)


async def test_row_that_came_meanwhile_shifts_no_page(database: Database) -> None:
    for slug in ("acme", "globex"):
        await create(database, slug)
    first = await page_of(database, PageRequest(limit=1))
    await create(database, "initech")
    second = await page_of(database, PageRequest(limit=1, after=first.after))
    assert {first.items[0].slug, second.items[0].slug} <= {"acme", "globex", "initech"}
    assert first.items[0].id < second.items[0].id


@pytest.mark.parametrize("cursor", ["", "x", "é", "AAAA", "A" * 400, "..", "\x00"])
async def test_broken_cursor_is_refused_with_its_place(database: Database, cursor: str) -> None:
    for place in ("after", "before"):
        with pytest.raises(ValidationFailed) as refused:
            await page_of(database, PageRequest(after=cursor) if place == "after" else PageRequest(before=cursor))
        assert [error.pointer for error in refused.value.errors] == [f"/{place}"]


async def test_both_cursors_at_once_are_refused(database: Database) -> None:
    with pytest.raises(ValidationFailed):
        await page_of(database, PageRequest(after="a", before="b"))


async def test_filters_are_exact_and_can_be_joined(database: Database) -> None:
    acme = await create(database, "acme", external_id="crm-1")
    await create(database, "globex", name="50% off_road")
    await move(database, "acme", Transition.ACTIVATE)
    async with database.begin() as session:
        await conditions.store_conditions(
            session, realm_id=acme.realms[0].id, version=1, conditions=(), health=Health.FAILING, now=datetime.now(UTC)
        )
    assert await slugs(database, state=TenantState.ACTIVE) == ["acme"]
    assert await slugs(database, health=Health.FAILING) == ["acme"]
    assert await slugs(database, issuer=issuer_of("acme")) == ["acme"]
    assert await slugs(database, issuer=issuer_of("acme").upper()) == []
    assert await slugs(database, external_id="crm-1", state=TenantState.ACTIVE) == ["acme"]
    assert await slugs(database, external_id="crm-1", state=TenantState.DRAFT) == []


async def test_search_takes_its_text_literally(database: Database) -> None:
    await create(database, "acme")
    await create(database, "globex", name="50% off_road")
    assert await slugs(database, q="ACM") == ["acme"]
    assert await slugs(database, q="0%") == ["globex"]
    assert await slugs(database, q="_") == ["globex"]
    assert await slugs(database, q="' or 1=1 --") == []
