"""Standalone forward auth beside the whole API, on both databases: it follows every change and shares what it finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tenants_api.composition import Services, open_services
from tenants_api.control import service
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.registry.models import Rejection
from tenants_api.registry.values import Transition
from tenants_api.server.standalone import AuthzApp, open_authorizer
from tenants_api.settings import Settings
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.explain import explain
from tests.replica.storage.stores import rows_of
from tests.support.lived import lived
from tests.support.realms import CHANGE, dev_realms, replace_key, settings_for, tenant_draft
from tests.support.stack import bearer
from tests.support.waiting import becomes

SECRET = "tests-assertion-secret-0123456789abcdef"


@dataclass
class Pair:
    """The whole API and standalone forward auth on one database."""

    api: Services
    alone: httpx.AsyncClient
    realms: DevRealmServer

    async def onboard(self, name: str) -> None:
        draft = tenant_draft(self.api, self.realms, name)
        await self.api.commands.create(draft, activate="now", change=CHANGE)

    async def said(self, token: str) -> int:
        return (await self.alone.get("/authz", headers=bearer(token))).status_code


@pytest.fixture
def realms() -> Iterator[DevRealmServer]:
    with dev_realms("acme", "globex") as server:
        yield server


@pytest.fixture
def settings(realms: DevRealmServer, tmp_path: Path, database_url: str) -> Settings:
    assertion = {"assertion_secret": SECRET, "assertion_issuer": "https://api.example"}
    return settings_for(realms, tmp_path, database_url=database_url, registry_poll=0.05, **assertion)


@pytest.fixture
async def pair(settings: Settings, realms: DevRealmServer) -> AsyncIterator[Pair]:
    app = AuthzApp(lambda: open_authorizer(settings))
    async with (
        open_services(settings) as api,
        lived(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://authz.test") as alone,
    ):
        yield Pair(api, alone, realms)


async def test_it_follows_onboarding_suspension_rotation_and_removal(pair: Pair) -> None:
    await pair.onboard("acme")
    await pair.onboard("globex")
    acme, globex = pair.realms.realm("acme"), pair.realms.realm("globex")
    old = acme.mint()
    await becomes(200, lambda: pair.said(old))
    await becomes(200, lambda: pair.said(globex.mint()))
    await replace_key(acme, replica=pair.api.replica)
    await becomes(401, lambda: pair.said(old))
    for transition, expected in ((Transition.SUSPEND, 403), (Transition.DELETE, 401)):
        async with pair.api.database.begin() as session:
            await service.move(session, ref="acme", transition=transition, change=CHANGE)
        await becomes(expected, lambda: pair.said(acme.mint()))
    assert await pair.said(globex.mint()) == 200


async def test_keys_that_it_fetched_are_the_whole_apis_too(pair: Pair) -> None:
    await pair.onboard("acme")
    acme = pair.realms.realm("acme")
    await becomes(200, lambda: pair.said(acme.mint()))
    old = acme.mint()
    await pair.api.verifier.verify(Credential.bearer(old))
    kid = acme.keys.kid
    acme.rotate()
    acme.withdraw(kid)
    assert await pair.said(acme.mint()) == 200  # a kid that it did not know: it has fetched

    async def said() -> str:
        return (await explain(pair.api.verifier, Credential.bearer(old))).reason

    await becomes("unknown_key", said)


async def test_what_it_refuses_is_kept_for_the_tenants_admin(pair: Pair) -> None:
    await pair.onboard("acme")
    foreign = pair.realms.realm("acme").mint(claims={"aud": "another-api"})
    await becomes(200, lambda: pair.said(pair.realms.realm("acme").mint()))
    assert await pair.said(foreign) == 401

    async def kept() -> list[str]:
        return [row["reason"] for row in await rows_of(pair.api.database, Rejection)]

    await becomes(["wrong_audience"], kept)


async def test_both_sign_assertions_with_the_same_keys(pair: Pair) -> None:
    assert pair.api.assertion is not None
    await pair.api.assertion.load()
    assert len(pair.api.assertion.jwks()["keys"]) == 1
