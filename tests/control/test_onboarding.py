"""Onboarding against development realms: each misconfiguration has its reason, both values and a cure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tenants_api.composition import Services
from tenants_api.control import service
from tenants_api.control.checks import Report
from tenants_api.control.drafts import realm_draft
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.errors import ValidationFailed
from tenants_api.registry import repository
from tenants_api.registry.errors import InvalidStateTransition, IssuerTaken, RealmNotReady, TenantNotFound
from tenants_api.registry.values import Transition
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.explain import explain
from tests.support.realms import CHANGE, tenant_draft


async def accepted(services: Services, raw: str) -> str:
    return (await explain(services.verifier, Credential.bearer(raw))).reason


def outcome(report: Report) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in report.conditions}


async def test_foreign_token_is_accepted_after_one_onboarding_call(services: Services, realms: DevRealmServer) -> None:
    token = realms.realm("acme").mint()
    assert await accepted(services, token) == "unknown_issuer"
    tenant = await services.commands.create(
        tenant_draft(services, realms, "acme"), activate="when_ready", change=CHANGE
    )
    assert (tenant.state, tenant.realms[0].health) == ("active", "healthy")
    assert await accepted(services, token) == "accepted"
    assert await accepted(services, realms.realm("globex").mint()) == "unknown_issuer"
    assert realms.realm("acme").requests["certs"] == 1, "the keys that the checks fetched serve the first token"


async def test_failed_check_leaves_a_draft_that_goes_on_later(services: Services, realms: DevRealmServer) -> None:
    realms.realm("acme").faults.down = True
    tenant = await services.commands.create(
        tenant_draft(services, realms, "acme"), activate="when_ready", change=CHANGE
    )
    assert tenant.state == "draft"
    assert [one.reason for one in tenant.realms[0].conditions][:3] == ["Valid", "HttpStatus", "NotReached"]
    with pytest.raises(RealmNotReady):
        await services.commands.activate("acme", change=CHANGE)
    realms.realm("acme").faults.down = False
    assert (await services.commands.activate("acme", change=CHANGE)).state == "active"
    assert await accepted(services, realms.realm("acme").mint()) == "accepted"


async def test_now_stores_nothing_when_a_check_fails(services: Services, realms: DevRealmServer) -> None:
    realms.realm("acme").faults.wrong_issuer = "https://elsewhere.example/realms/acme"
    with pytest.raises(RealmNotReady) as refused:
        await services.commands.create(tenant_draft(services, realms, "acme"), activate="now", change=CHANGE)
    report = refused.value.extra["report"]["realms"][0]
    assert report["suggested_issuer"] == "https://elsewhere.example/realms/acme"
    async with services.database.read() as session:
        with pytest.raises(TenantNotFound):
            await repository.get_tenant(session, ref="acme")


async def test_never_leaves_a_ready_realm_as_a_draft(services: Services, realms: DevRealmServer) -> None:
    tenant = await services.commands.create(tenant_draft(services, realms, "acme"), activate="never", change=CHANGE)
    assert tenant.state == "draft"
    assert tenant.realms[0].conditions[-1].reason == "Ready"
    assert await accepted(services, realms.realm("acme").mint()) == "unknown_issuer"


async def test_issuer_that_is_registered_is_taken(services: Services, realms: DevRealmServer) -> None:
    draft = tenant_draft(services, realms, "acme")
    await services.commands.create(draft, activate="when_ready", change=CHANGE)
    with pytest.raises(IssuerTaken):
        await services.commands.create(replace(draft, slug="other"), activate="when_ready", change=CHANGE)


async def preflight(services: Services, realms: DevRealmServer, *, token: str | None = None) -> Report:
    return await services.commands.checks.preflight(
        issuer=realms.realm("acme").issuer, realm_url=None, client_id="tenants-api", sample_token=token
    )


@pytest.mark.parametrize(
    ("fault", "value", "condition", "reason"),
    [
        ("down", True, "RealmReachable", "HttpStatus"),
        ("garbage", True, "RealmReachable", "NotJson"),
        ("wrong_issuer", "https://other.example/realms/acme", "IssuerMatches", "IssuerMismatch"),
        ("redirect_to", "http://169.254.169.254/", "RealmReachable", "Redirected"),
        ("huge", True, "KeysFetched", "TooLarge"),
        ("empty_keys", True, "SigningKeysUsable", "NoUsableSigningKeys"),
    ],
)
async def test_each_misconfiguration_has_its_reason_and_stops_there(
    services: Services, realms: DevRealmServer, fault: str, value: object, condition: str, reason: str
) -> None:
    setattr(realms.realm("acme").faults, fault, value)
    report = await preflight(services, realms)
    found = outcome(report)
    assert found[condition] == ("False", reason)
    assert found["Ready"] == ("False", reason)
    later = list(found)[list(found).index(condition) + 1 : -1]
    assert all(found[name] == ("Unknown", "NotReached") for name in later)


async def test_mismatch_names_both_issuers_and_suggests_the_right_one(
    services: Services, realms: DevRealmServer
) -> None:
    realms.realm("acme").faults.wrong_issuer = "https://other.example/realms/acme"
    report = await preflight(services, realms)
    message = next(one.message for one in report.conditions if one.type == "IssuerMatches")
    assert realms.realm("acme").issuer in message
    assert "https://other.example/realms/acme" in message
    assert report.suggested_issuer == "https://other.example/realms/acme"


@pytest.mark.parametrize("said", ["http://localhost:1/realms/acme", "https://kc_server/realms/acme", "x" * 9000])
async def test_issuer_that_cannot_be_registered_is_not_suggested(
    services: Services, realms: DevRealmServer, said: str
) -> None:
    realms.realm("acme").faults.wrong_issuer = said
    report = await preflight(services, realms)
    message = next(one.message for one in report.conditions if one.type == "IssuerMatches")
    assert report.suggested_issuer is None
    assert "cannot be registered" in message
    assert len(message) < 2000


async def test_suggested_issuer_with_capitals_can_be_registered(services: Services, realms: DevRealmServer) -> None:
    realms.realm("acme").faults.wrong_issuer = "https://KC.example.com/realms/acme"
    suggested = (await preflight(services, realms)).suggested_issuer
    assert suggested == "https://KC.example.com/realms/acme"
    draft = realm_draft(issuer=suggested, client_id="tenants-api", policy=services.policy)
    assert (draft.issuer, draft.realm_url) == (suggested, "https://kc.example.com/realms/acme")
    report = await services.commands.checks.preflight(
        issuer=suggested, realm_url=realms.realm("acme").issuer, client_id="tenants-api", sample_token=None
    )
    assert report.ready


async def test_token_whose_issuer_has_capitals_is_accepted_and_its_twin_in_lower_case_is_not(
    services: Services, realms: DevRealmServer
) -> None:
    issuer, acme = "https://KC.example.com/realms/acme", realms.realm("acme")
    acme.faults.wrong_issuer = issuer
    draft = replace(
        tenant_draft(services, realms, "acme"),
        realms=(realm_draft(issuer=issuer, realm_url=acme.issuer, client_id="tenants-api", policy=services.policy),),
    )
    assert (await services.commands.create(draft, activate="now", change=CHANGE)).state == "active"
    assert await accepted(services, acme.mint(claims={"iss": issuer})) == "accepted"
    assert await accepted(services, acme.mint(claims={"iss": issuer.lower()})) == "unknown_issuer"


async def test_disabled_realm_is_told_although_it_still_answers(services: Services, realms: DevRealmServer) -> None:
    realms.realm("acme").disable()
    assert outcome(await preflight(services, realms))["RealmEnabled"] == ("False", "RealmDisabled")


async def test_missing_audience_names_the_client_that_needs_the_mapper(
    services: Services, realms: DevRealmServer
) -> None:
    report = await preflight(services, realms, token=realms.realm("acme").mint(client="no-audience"))
    condition = next(one for one in report.conditions if one.type == "AudienceConfigured")
    assert (condition.status, condition.reason) == ("False", "AudienceMissing")
    assert "add an audience mapper for tenants-api to client no-audience" in condition.message


async def test_good_sample_token_is_verified(services: Services, realms: DevRealmServer) -> None:
    report = await preflight(services, realms, token=realms.realm("acme").mint())
    assert report.ready
    assert outcome(report)["SampleTokenVerified"] == ("True", "Verified")


async def test_sample_of_another_realm_is_refused_with_its_reason(services: Services, realms: DevRealmServer) -> None:
    report = await preflight(services, realms, token=realms.realm("globex").mint())
    assert outcome(report)["SampleTokenVerified"] == ("False", "unknown_issuer")


async def test_pasted_well_known_url_is_stripped_with_a_note(services: Services, realms: DevRealmServer) -> None:
    report = await services.commands.checks.preflight(
        issuer=f"{realms.realm('acme').issuer}/.well-known/openid-configuration",
        realm_url=None,
        client_id="tenants-api",
        sample_token=None,
    )
    assert outcome(report)["IssuerValid"] == ("True", "WellKnownStripped")
    assert report.ready


async def test_preflight_of_a_registered_issuer_says_that_it_is_taken(
    services: Services, realms: DevRealmServer
) -> None:
    await services.commands.create(tenant_draft(services, realms, "acme"), activate="when_ready", change=CHANGE)
    assert outcome(await preflight(services, realms))["IssuerValid"] == ("False", "IssuerTaken")


async def test_tenant_without_a_realm_cannot_be_activated(services: Services, realms: DevRealmServer) -> None:
    draft = replace(tenant_draft(services, realms, "acme"), realms=())
    assert (await services.commands.create(draft, activate="when_ready", change=CHANGE)).state == "draft"
    with pytest.raises(RealmNotReady):
        await services.commands.activate("acme", change=CHANGE)


async def test_second_realm_of_an_active_tenant_serves_at_once(services: Services, realms: DevRealmServer) -> None:
    await services.commands.create(tenant_draft(services, realms, "acme"), activate="when_ready", change=CHANGE)
    draft = realm_draft(issuer=realms.realm("globex").issuer, client_id="tenants-api", policy=services.policy)
    await services.commands.add_realm("acme", draft, change=CHANGE)
    assert (await services.verifier.verify(Credential.bearer(realms.realm("globex").mint()))).tenant.slug == "acme"


async def test_suspend_and_resume_are_explicit(services: Services, realms: DevRealmServer) -> None:
    await services.commands.create(tenant_draft(services, realms, "acme"), activate="when_ready", change=CHANGE)
    token = realms.realm("acme").mint()
    for transition, expected in ((Transition.SUSPEND, "tenant_suspended"), (Transition.RESUME, "accepted")):
        async with services.database.begin() as session:
            await service.move(session, ref="acme", transition=transition, change=CHANGE)
        await services.replica.refresh()
        assert await accepted(services, token) == expected
    with pytest.raises(InvalidStateTransition):
        await services.commands.activate("acme", change=CHANGE)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"issuer": "https://id.example/realms/a?x=1"}, "/issuer"),
        ({"issuer": "https://id.example/realms/a#x"}, "/issuer"),
        ({"issuer": "https://u:p@id.example/realms/a"}, "/issuer"),
        ({"issuer": "http://id.example/realms/a"}, "/issuer"),
        ({"issuer": "https://id.example/realms/a/"}, "/issuer"),
        ({"issuer": "https://10.0.0.1/realms/a"}, "/issuer"),
        ({"realm_url": "https://id.example\\@127.0.0.1/realms/a"}, "/realm_url"),
        ({"audiences": ["tenants-api", "account"]}, "/audiences/1"),
        ({"algorithms": ["HS256"]}, "/algorithms/0"),
        ({"algorithms": ["RS256", "none"]}, "/algorithms/1"),
        ({"ca_bundle": "not a certificate"}, "/ca_bundle"),
        ({"ca_bundle": "-----BEGIN CERTIFICATE-----\nM\u00fcnchen"}, "/ca_bundle"),
        ({"ca_bundle": "-----BEGIN CERTIFICATE-----\n\0"}, "/ca_bundle"),
        ({"ca_bundle": "\ud800"}, "/ca_bundle"),
        ({"realm_url": "https://ID.example/realms/a"}, "/realm_url"),
    ],
    ids=str,
)
async def test_realm_that_is_not_well_formed_is_refused_with_a_pointer(
    services: Services, fields: dict[str, object], pointer: str
) -> None:
    values = {"issuer": "https://id.example/realms/a", "client_id": "tenants-api", **fields}
    with pytest.raises(ValidationFailed) as refused:
        realm_draft(policy=services.policy, **values)
    assert [error.pointer for error in refused.value.errors] == [pointer]
