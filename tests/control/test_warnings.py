"""What a check says of a realm that works: algorithms that are not registered, and an issuer that it does not state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from tenants_api.composition import Services
from tenants_api.control.checks import Report
from tenants_api.control.drafts import realm_draft
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.registry import repository
from tenants_api.registry.models import Realm, Tenant
from tenants_api.registry.values import TenantDraft
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.explain import explain
from tests.support.realms import CHANGE, tenant_draft
from tests.support.stack import CLIENT_ID, onboard, running_app
from tests.support.tokens import DROP, Key

INTERNAL, EXTERNAL = "http://keycloak.internal:8080/realms/acme", "https://id.example/realms/acme"


def outcome(report: Report) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in report.conditions}


def message(report: Report, condition: str) -> str:
    return next(one.message for one in report.conditions if one.type == condition)


async def preflight(services: Services, realms: DevRealmServer, *, token: str | None = None) -> Report:
    return await services.commands.checks.preflight(
        issuer=realms.realm("acme").issuer, realm_url=None, client_id="tenants-api", sample_token=token
    )


async def test_algorithm_that_is_offered_and_not_registered_is_named_and_the_realm_is_ready(
    services: Services, realms: DevRealmServer
) -> None:
    assert outcome(await preflight(services, realms))["AlgorithmsCovered"] == ("True", "Covered")
    realms.realm("acme").rotate(algorithm="ES256")
    report = await preflight(services, realms)
    found = outcome(report)
    assert report.ready
    assert found["AlgorithmsCovered"] == ("False", "AlgorithmNotRegistered")
    assert found["Ready"] == ("True", "Ready")
    assert "has keys for ES256, registered is RS256" in message(report, "AlgorithmsCovered")
    assert list(found).index("AlgorithmsCovered") == list(found).index("SigningKeysUsable") + 1


async def test_registered_algorithms_that_cover_the_realm_are_not_warned_of(
    services: Services, realms: DevRealmServer
) -> None:
    realms.realm("acme").rotate(algorithm="ES256")
    draft = tenant_draft(services, realms, "acme", algorithms=["ES256", "RS256"])
    tenant = await services.commands.create(draft, activate="now", change=CHANGE)
    covered = next(one for one in tenant.realms[0].conditions if one.type == "AlgorithmsCovered")
    assert (covered.status, covered.reason) == ("True", "Covered")


async def test_rsa_key_without_an_algorithm_is_covered_by_any_of_them(
    services: Services, realms: DevRealmServer
) -> None:
    realms.realm("acme").faults.extra_keys = [Key("plain").jwk(alg=DROP)]
    assert outcome(await preflight(services, realms))["AlgorithmsCovered"] == ("True", "Covered")


async def test_algorithm_of_a_sample_that_is_refused_for_it_is_named(
    services: Services, realms: DevRealmServer
) -> None:
    realms.realm("acme").rotate(algorithm="ES256")
    report = await preflight(services, realms, token=realms.realm("acme").mint())
    assert outcome(report)["SampleTokenVerified"] == ("False", "algorithm_refused")
    assert outcome(report)["Ready"] == ("False", "algorithm_refused")
    assert "register ES256 under algorithms" in message(report, "SampleTokenVerified")


async def test_warning_is_no_reason_of_a_change_of_health(tmp_path: Path, realms: DevRealmServer) -> None:
    async with running_app(tmp_path, realms) as client:
        realms.realm("acme").rotate(algorithm="ES256")
        await onboard(client, "acme")
        await onboard(client, "globex")
        events = (await client.admin("GET", "/audit-events", params={"action": "realm.health_changed"})).json()["data"]
    assert [event["changes"]["after"] for event in events] == [{"health": "healthy"}] * 2


async def without_hostname(
    services: Services, realms: DevRealmServer, *, token: str | None, issuer_check: str = "discovery"
) -> Report:
    """The tokens have the external issuer; the discovery document states the URL at which the realm is reached."""
    realms.realm("acme").faults.wrong_issuer = INTERNAL
    return await services.commands.checks.preflight(
        issuer=EXTERNAL,
        realm_url=realms.realm("acme").issuer,
        client_id="tenants-api",
        sample_token=token,
        issuer_check=issuer_check,
    )


async def test_realm_that_states_another_issuer_than_its_tokens_have_is_told_to_set_its_hostname(
    services: Services, realms: DevRealmServer
) -> None:
    token = realms.realm("acme").mint(claims={"iss": EXTERNAL})
    report = await without_hostname(services, realms, token=token)
    assert outcome(report)["IssuerMatches"] == ("False", "IssuerMismatch")
    assert "set KC_HOSTNAME" in message(report, "IssuerMatches")
    assert "issuer_check 'sample'" in message(report, "IssuerMatches")
    assert report.suggested_issuer is None


async def test_issuer_that_the_sample_has_is_accepted_where_the_realm_says_so(
    services: Services, realms: DevRealmServer
) -> None:
    token = realms.realm("acme").mint(claims={"iss": EXTERNAL})
    report = await without_hostname(services, realms, token=token, issuer_check="sample")
    assert report.ready
    assert outcome(report)["IssuerMatches"] == ("True", "AcceptedByIssuerCheck")
    assert outcome(report)["SampleTokenVerified"] == ("True", "Verified")


@pytest.mark.parametrize(("realm", "issuer"), [("acme", "https://elsewhere.example/realms/acme"), ("globex", EXTERNAL)])
async def test_sample_of_another_issuer_or_realm_is_refused_also_where_the_sample_decides(
    services: Services, realms: DevRealmServer, realm: str, issuer: str
) -> None:
    token = realms.realm(realm).mint(claims={"iss": issuer})
    report = await without_hostname(services, realms, token=token, issuer_check="sample")
    assert not report.ready
    assert (outcome(report)["IssuerMatches"][0] == "True") == (issuer == EXTERNAL)


async def onboard_external(services: Services, realms: DevRealmServer, *, issuer_check: str) -> Tenant:
    acme = realms.realm("acme")
    acme.faults.wrong_issuer = INTERNAL
    draft = realm_draft(
        issuer=EXTERNAL,
        realm_url=acme.issuer,
        client_id="tenants-api",
        issuer_check=issuer_check,
        policy=services.policy,
    )
    return await services.commands.create(
        TenantDraft(slug="acme", name="Acme", realms=(draft,)), activate="when_ready", change=CHANGE
    )


async def test_realm_that_accepts_another_issuer_stays_healthy_without_a_sample(
    services: Services, realms: DevRealmServer
) -> None:
    tenant = await onboard_external(services, realms, issuer_check="sample")
    assert (tenant.state, tenant.realms[0].issuer_check) == ("active", "sample")
    raw = realms.realm("acme").mint(claims={"iss": EXTERNAL})
    assert (await explain(services.verifier, Credential.bearer(raw))).reason == "accepted"

    assert services.reconciler is not None
    async with services.database.begin() as session:
        await session.execute(update(Realm).values(checked_at=datetime.now(UTC) - timedelta(hours=1)))
    assert await services.reconciler.check_due() == 1
    async with services.database.read() as session:
        realm = (await repository.get_tenant(session, ref="acme")).realms[0]
    matches = next(one for one in realm.conditions if one.type == "IssuerMatches")
    assert (realm.health, matches.status, matches.reason) == ("healthy", "Unknown", "AcceptedByIssuerCheck")
    assert INTERNAL in matches.message


async def test_realm_that_accepts_no_other_issuer_stays_a_draft(services: Services, realms: DevRealmServer) -> None:
    assert (await onboard_external(services, realms, issuer_check="discovery")).state == "draft"


async def test_way_of_checking_an_issuer_is_part_of_the_realm(tmp_path: Path, realms: DevRealmServer) -> None:
    realms.realm("acme").faults.wrong_issuer = INTERNAL
    realm = {"issuer": EXTERNAL, "realm_url": realms.realm("acme").issuer, "client_id": CLIENT_ID}
    async with running_app(tmp_path, realms) as client:
        other = await onboard(client, "globex")
        check = await client.admin("POST", "/issuer-checks", json={**realm, "issuer_check": "sample"})
        assert check.json()["ready"]
        body = {"slug": "acme", "name": "Acme", "realms": [realm]}
        tenant = (await client.admin("POST", "/tenants", json=body)).json()
        assert (tenant["state"], tenant["realms"][0]["issuer_check"]) == ("draft", "discovery")
        path = f"/tenants/acme/realms/{tenant['realms'][0]['id']}"
        patch = {"json": {"issuer_check": "sample"}, "headers": {"If-Match": "*"}}
        patched = (await client.admin("PATCH", path, **patch)).json()
        assert patched["issuer_check"] == "sample"
        assert {one["type"]: one["status"] for one in patched["conditions"]}["Ready"] == "True"
        wrong = await client.admin("PATCH", path, json={"issuer_check": "never"}, headers={"If-Match": "*"})
        assert wrong.status_code == 422
        unchanged = (await client.admin("GET", f"/tenants/{other['id']}")).json()
        assert unchanged["realms"][0]["issuer_check"] == "discovery"
