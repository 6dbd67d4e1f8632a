"""Two replicas on one database: what one learns, the other knows; what was stored outlives a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tenants_api.composition import Services
from tenants_api.control import service
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.errors import RateLimited
from tenants_api.registry import repository
from tenants_api.registry.values import TenantDraft, Transition
from tenants_api.role_rules import RoleRule
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.errors import KeysUnavailable
from tenants_api.tokens.explain import explain
from tests.support import waiting
from tests.support.realms import CHANGE, replace_key, services_for, settings_for, tenant_draft

BOUND = 1.0  # seconds: what the contract promises


@dataclass
class Replicas:
    """Two replicas; `here` makes the changes, `there` only follows."""

    here: Services
    there: Services
    realms: DevRealmServer

    async def onboard(self, name: str) -> TenantDraft:
        draft = tenant_draft(self.here, self.realms, name)
        await self.here.commands.create(draft, activate="now", change=CHANGE)
        return draft


@pytest.fixture
async def replicas(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[Replicas]:
    settings = settings_for(realms, tmp_path)
    async with services_for(settings) as here, services_for(settings) as there:
        yield Replicas(here, there, realms)


async def reason(services: Services, raw: str) -> str:
    return (await explain(services.verifier, Credential.bearer(raw))).reason


async def becomes(expected: str, ask: Callable[[], Awaitable[str]]) -> None:
    """The answer must come within the promised bound."""
    await waiting.becomes(expected, ask, within=BOUND)


async def test_new_realm_is_accepted_on_the_other_replica_within_the_bound(replicas: Replicas) -> None:
    token = replicas.realms.realm("acme").mint()
    assert await reason(replicas.there, token) == "unknown_issuer"
    await replicas.onboard("acme")
    assert await reason(replicas.here, token) == "accepted"
    await becomes("accepted", lambda: reason(replicas.there, token))
    assert replicas.realms.realm("acme").requests["certs"] == 1, "the other replica used the stored keys"


async def test_refresh_by_hand_is_read_back_before_it_is_answered(replicas: Replicas) -> None:
    """Who made the last change has its version: that is how an operator sees that every replica has followed."""
    draft = await replicas.onboard("acme")
    replica = replicas.here.replica
    tenant = replica.tenant_by_slug(draft.slug)
    assert tenant is not None
    before = replica.version
    replicas.realms.realm("acme").push_not_before()
    await replica.refresh_keys(tenant.realms[0].id)
    assert replica.version > before


@pytest.mark.parametrize(
    ("transition", "expected"),
    [(Transition.SUSPEND, "tenant_suspended"), (Transition.DELETE, "unknown_issuer")],
)
async def test_suspension_and_deletion_reach_cached_tokens_everywhere(
    replicas: Replicas, transition: Transition, expected: str
) -> None:
    await replicas.onboard("acme")
    token = replicas.realms.realm("acme").mint()
    for services in (replicas.here, replicas.there):
        await becomes("accepted", lambda services=services: reason(services, token))
    async with replicas.here.database.begin() as session:
        await service.move(session, ref="acme", transition=transition, change=CHANGE)
    for services in (replicas.here, replicas.there):
        await becomes(expected, lambda services=services: reason(services, token))


async def test_role_mapping_holds_for_cached_tokens_everywhere(replicas: Replicas) -> None:
    await replicas.onboard("acme")
    token = replicas.realms.realm("acme").mint()
    await becomes("accepted", lambda: reason(replicas.there, token))
    assert (await replicas.there.verifier.verify(Credential.bearer(token))).roles == {"editor"}
    async with replicas.here.database.begin() as session:
        rules = (RoleRule("realm", "tenant-user", "viewer"),)
        await service.update_tenant(session, ref="acme", fields={"role_mapping": rules}, if_match=None, change=CHANGE)

    async def roles() -> str:
        return ",".join((await replicas.there.verifier.verify(Credential.bearer(token))).roles)

    await becomes("viewer", roles)


async def test_withdrawn_key_is_refused_everywhere_after_one_refresh(replicas: Replicas) -> None:
    await replicas.onboard("acme")
    realm = replicas.realms.realm("acme")
    token = realm.mint()
    await becomes("accepted", lambda: reason(replicas.there, token))
    await replace_key(realm, replica=replicas.here.replica)
    assert await reason(replicas.here, token) == "unknown_key"
    await becomes("unknown_key", lambda: reason(replicas.there, token))
    assert await reason(replicas.there, realm.mint()) == "accepted"


async def test_pushed_not_before_and_a_disabled_realm_take_effect_everywhere_after_one_refresh(
    replicas: Replicas,
) -> None:
    await replicas.onboard("acme")
    await replicas.onboard("globex")
    acme, globex = replicas.realms.realm("acme"), replicas.realms.realm("globex")
    tokens = acme.mint(), globex.mint()
    for token in tokens:
        await becomes("accepted", lambda token=token: reason(replicas.there, token))
    acme.push_not_before(now=acme.clock() + 1)
    globex.disable()
    for name in ("acme", "globex"):
        tenant = replicas.here.replica.tenant_by_slug(name)
        assert tenant is not None
        await replicas.here.replica.refresh_keys(tenant.realms[0].id)
    await becomes("issued_before_not_before", lambda: reason(replicas.there, tokens[0]))
    await becomes("realm_disabled", lambda: reason(replicas.there, tokens[1]))


async def test_manual_refresh_after_an_outage_ends_the_waiting_of_every_replica(replicas: Replicas) -> None:
    """Each replica backs off by itself, for half a minute at last; the one that was asked tells the others."""
    await replicas.onboard("acme")
    acme = replicas.realms.realm("acme")
    await becomes("accepted", lambda: reason(replicas.there, acme.mint()))
    tenant = replicas.here.replica.tenant_by_slug("acme")
    assert tenant is not None
    realm_id = tenant.realms[0].id
    acme.faults.down = True
    waiting = replicas.there.replica.jwks_cache.find(realm_id)
    assert waiting is not None
    for _ in range(3):
        await waiting.refresh()
    assert (waiting.state.failures, waiting.state.last_failure) == (3, "HttpStatus")
    acme.faults.down = False
    await replicas.here.replica.refresh_keys(realm_id)

    async def failures() -> str:
        return str(waiting.state.failures)

    await becomes("0", failures)
    assert waiting.fresh
    assert waiting.state.last_failure is None


async def test_manual_refresh_has_a_cooldown_and_says_when_a_realm_is_gone(replicas: Replicas) -> None:
    await replicas.onboard("acme")
    await replicas.onboard("globex")
    ids = {name: replicas.here.replica.tenant_by_slug(name).realms[0].id for name in ("acme", "globex")}
    report = await replicas.here.replica.refresh_keys(ids["acme"])
    assert report.source == "live"
    with pytest.raises(RateLimited) as limited:
        await replicas.here.replica.refresh_keys(ids["acme"])
    assert int(limited.value.headers["Retry-After"]) >= 1
    replicas.realms.realm("globex").faults.down = True
    with pytest.raises(KeysUnavailable):
        await replicas.here.replica.refresh_keys(ids["globex"])


async def test_restart_with_every_realm_gone_serves_from_stored_keys(realms: DevRealmServer, tmp_path: Path) -> None:
    settings = settings_for(realms, tmp_path)
    async with services_for(settings) as first:
        await first.commands.create(tenant_draft(first, realms, "acme"), activate="now", change=CHANGE)
    token = realms.realm("acme").mint()
    realms.realm("acme").faults.down = True
    async with services_for(settings) as second:
        assert await reason(second, token) == "accepted"
        tenant = second.replica.tenant_by_slug("acme")
        assert tenant is not None
        assert second.replica.key_report(tenant.realms[0].id).source == "stored"


async def test_health_follows_what_is_observed_and_the_state_does_not(realms: DevRealmServer, tmp_path: Path) -> None:
    settings = settings_for(realms, tmp_path, key_lifetime=1)
    async with services_for(settings) as services:
        await services.commands.create(tenant_draft(services, realms, "acme"), activate="now", change=CHANGE)

        async def observed() -> str:
            await services.verifier.verify(Credential.bearer(realms.realm("acme").mint()))
            async with services.database.read() as session:
                tenant = await repository.get_tenant(session, ref="acme")
            return f"{tenant.state} {tenant.realms[0].health}"

        assert await observed() == "active healthy"
        realms.realm("acme").faults.down = True
        await waiting.becomes("active degraded", observed)
        realms.realm("acme").faults.down = False
        await waiting.becomes("active healthy", observed)
