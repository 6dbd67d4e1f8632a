"""Bad input: each gives its problem, none a 500, and nothing half-written stays behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.admin.bodies import pointers, said, slugs, tenant_body
from tests.support.stack import CLIENT_ID, ApiClient, onboard

ISSUER = "https://id.example/realms/acme"


def body(**changes: Any) -> dict[str, Any]:
    return {"slug": "acme", "name": "Acme", "realms": [], "activate": "never", **changes}


def realm(**changes: Any) -> dict[str, Any]:
    return body(realms=[{"issuer": ISSUER, "client_id": CLIENT_ID, **changes}])


def rule(**changes: Any) -> dict[str, Any]:
    return body(role_mapping=[{"from": "realm", "value": "x", "role": "viewer", **changes}])


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


WRONG: list[tuple[dict[str, Any], str]] = [
    (body(unknown=1), "/unknown"),
    (body(id="x"), "/id"),
    (body(state="active"), "/state"),
    (body(version=7), "/version"),
    (body(slug=None), "/slug"),
    (body(slug=7), "/slug"),
    (body(slug="Acme"), "/slug"),
    (body(slug="a/b"), "/slug"),
    (body(slug="-a"), "/slug"),
    (body(slug="a-"), "/slug"),
    (body(slug="acme\n"), "/slug"),
    (body(slug="a" * 64), "/slug"),
    (body(slug=""), "/slug"),
    (body(slug="ácme"), "/slug"),
    *((body(slug=twin), "/slug") for twin in (  # what looks like acme: Cyrillic, full-width, combining, invisible, …
        "\u0430cme", "a\u0441me", "\uff41cme", "acme\u0301", "ac\u200bme", "ac\u00adme", "acme\u202e", "\ufeffacme",
        "a\u2010me", "acm\u212f", "\u1d43cme", "acme\u0000", "a\u0131me", "\U0001d41ecme", "xn--cme\u0430",
        "acme\u0660")),
    (body(slug="01890a5d-ac96-774b-bcce-b302099a8057"), "/slug"),
    (body(slug="deadbeefdeadbeefdeadbeefdeadbeef"), "/slug"),
    (body(name=""), "/name"),
    (body(name="x" * 201), "/name"),
    (body(name="a\u0000b"), "/name"),
    (body(name="a\nb"), "/name"),
    (body(name=" a"), "/name"),
    (body(name=None), "/name"),
    (body(external_id=7), "/external_id"),
    (body(external_id=""), "/external_id"),
    (body(realms=None), "/realms"),
    (body(realms={}), "/realms"),
    (body(realms=[{"issuer": ISSUER, "client_id": "x"}] * 21), "/realms"),
    (body(metadata=[]), "/metadata"),
    (body(metadata={"a": "x" * 16_400}), "/metadata"),
    (body(metadata=nested(30)), "/metadata"),
    (body(metadata={"a": "\u0000"}), "/metadata"),
    (body(activate="yes"), "/activate"),
    (body(activate=True), "/activate"),
    (realm(issuer=None), "/realms/0/issuer"),
    (realm(issuer=7), "/realms/0/issuer"),
    (realm(issuer=f"{ISSUER}?x=1"), "/realms/0/issuer"),
    (realm(issuer=f"{ISSUER}#x"), "/realms/0/issuer"),
    (realm(issuer="https://u:p@id.example/realms/acme"), "/realms/0/issuer"),
    (realm(issuer="http://id.example/realms/acme"), "/realms/0/issuer"),
    (realm(realm_url="https://ID.example/realms/acme"), "/realms/0/realm_url"),
    (realm(issuer="https://169.254.169.254/realms/acme"), "/realms/0/issuer"),
    (realm(issuer="https://id.example:22/realms/acme"), "/realms/0/issuer"),
    (realm(issuer="javascript:alert(1)"), "/realms/0/issuer"),
    (realm(issuer="https://id.example/" + "x" * 600), "/realms/0/issuer"),
    (realm(realm_url="file:///etc/passwd"), "/realms/0/realm_url"),
    (realm(client_id=""), "/realms/0/client_id"),
    (realm(client_id="x" * 256), "/realms/0/client_id"),
    (realm(enabled="yes"), "/realms/0/enabled"),
    (realm(enabled=1), "/realms/0/enabled"),
    (realm(enabled=None), "/realms/0/enabled"),
    (realm(audiences=[]), "/realms/0/audiences"),
    (realm(audiences="x"), "/realms/0/audiences"),
    (realm(audiences=["account"]), "/realms/0/audiences/0"),
    (realm(algorithms=["HS256"]), "/realms/0/algorithms/0"),
    (realm(algorithms=["RS256", "none"]), "/realms/0/algorithms/1"),
    (realm(organization=""), "/realms/0/organization"),
    (realm(ca_bundle="not a certificate"), "/realms/0/ca_bundle"),
    (realm(ca_bundle="-----BEGIN CERTIFICATE-----\nM\u00fcnchen"), "/realms/0/ca_bundle"),
    (realm(ca_bundle="-----BEGIN CERTIFICATE-----\n\u0000"), "/realms/0/ca_bundle"),
    (realm(health="healthy"), "/realms/0/health"),
    (rule(**{"from": "user"}), "/role_mapping/0/from"),
    (rule(**{"from": "client:"}), "/role_mapping/0/from"),
    (rule(source="realm"), "/role_mapping/0/source"),
    (rule(role="root"), "/role_mapping/0/role"),
    (rule(value=""), "/role_mapping/0/value"),
    (body(role_mapping=[{"from": "realm", "value": "x", "role": "viewer"}] * 201), "/role_mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "pointer"), WRONG, ids=lambda value: str(value)[-60:])
async def test_wrong_field_is_named_and_nothing_is_stored(
    empty_api: ApiClient, sent: dict[str, Any], pointer: str
) -> None:
    answer = await empty_api.admin("POST", "/tenants", json=sent)
    assert said(answer) == (422, "validation_failed")
    assert pointer in pointers(answer)
    assert await slugs(empty_api) == []


UNREADABLE: list[tuple[bytes, str, tuple[int, str]]] = [
    (b"{", "application/json", (400, "invalid_request")),
    (b'{"slug":"acme","name":NaN}', "application/json", (400, "invalid_request")),
    (b'{"slug":"acme","name":"\\ud800"}', "application/json", (400, "invalid_request")),
    (b'{"slug":"acme","slug":"other"}', "application/json", (400, "invalid_request")),
    (b'{"slug":"acme","n":' + b"9" * 5000 + b"}", "application/json", (400, "invalid_request")),
    (b'{"slug":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json", (400, "invalid_request")),
    (b'{"slug":"\xff"}', "application/json", (400, "invalid_request")),
    (b'"acme"', "application/json", (422, "validation_failed")),
    (b"null", "application/json", (422, "validation_failed")),
    (b"", "application/json", (422, "validation_failed")),
    (b"{}", "text/plain", (415, "unsupported_media_type")),
    (b"{}", "", (415, "unsupported_media_type")),
    (b"slug=acme", "application/x-www-form-urlencoded", (415, "unsupported_media_type")),
    (b"--x--", "multipart/form-data; boundary=x", (415, "unsupported_media_type")),
    (b" " * 300_000, "application/json", (413, "body_too_large")),
]


@pytest.mark.parametrize(("sent", "kind", "problem"), UNREADABLE, ids=lambda value: str(value)[:40])
async def test_body_that_cannot_be_read_is_refused(
    empty_api: ApiClient, sent: bytes, kind: str, problem: tuple[int, str]
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert said(await empty_api.admin("POST", "/tenants", content=sent, headers=headers)) == problem
    assert await slugs(empty_api) == []


@pytest.mark.parametrize(
    ("break_it", "condition", "reason"),
    [
        (lambda faults: setattr(faults, "down", True), "RealmReachable", "HttpStatus"),
        (lambda faults: setattr(faults, "garbage", True), "RealmReachable", "NotJson"),
        (lambda faults: setattr(faults, "wrong_issuer", ISSUER), "IssuerMatches", "IssuerMismatch"),
        (lambda faults: setattr(faults, "empty_keys", True), "SigningKeysUsable", "NoUsableSigningKeys"),
    ],
)
async def test_realm_that_is_not_right_leaves_a_draft_with_the_reason(
    api: ApiClient, break_it: Callable[[Any], None], condition: str, reason: str
) -> None:
    break_it(api.server.realm("acme").faults)
    created = await api.admin("POST", "/tenants", json=tenant_body(api))
    assert (created.status_code, created.json()["state"]) == (201, "draft")
    found = {one["type"]: (one["status"], one["reason"]) for one in created.json()["conditions"]}
    assert found[condition] == ("False", reason)
    assert (await api.me(api.server.realm("acme").mint())).status_code == 401
    refused = await api.admin("POST", "/tenants", json=tenant_body(api, "other", realm="acme", activate="now"))
    assert said(refused) == (422, "realm_not_ready")
    assert await slugs(api) == ["acme"]


async def test_pasted_well_known_url_becomes_the_issuer(api: ApiClient) -> None:
    issuer = api.server.realm("acme").issuer
    sent = tenant_body(api)
    sent["realms"][0]["issuer"] = f"{issuer}/.well-known/openid-configuration"
    created = await api.admin("POST", "/tenants", json=sent)
    assert (created.json()["state"], created.json()["realms"][0]["issuer"]) == ("active", issuer)


async def test_what_is_taken_is_a_conflict_with_its_own_code(api: ApiClient) -> None:
    await api.admin("POST", "/tenants", json=tenant_body(api, external_id="crm-1"))
    tries = {
        "slug_taken": tenant_body(api, "acme", realm="globex"),
        "issuer_taken": tenant_body(api, "globex", realm="acme"),
        "external_id_taken": tenant_body(api, "globex", external_id="crm-1"),
    }
    for code, sent in tries.items():
        for activate in ("when_ready", "now", "never"):
            assert said(await api.admin("POST", "/tenants", json={**sent, "activate": activate})) == (409, code)
    assert await slugs(api) == ["acme"]


async def test_realm_stands_in_a_tenant_only_once(api: ApiClient) -> None:
    sent = tenant_body(api)
    sent["realms"] *= 2
    answer = await api.admin("POST", "/tenants", json=sent)
    assert (said(answer), pointers(answer)) == ((422, "validation_failed"), ["/realms/1/issuer"])


async def test_patch_refuses_null_for_what_must_be_there(api: ApiClient) -> None:
    tenant = await onboard(api, "acme")
    path = f"/tenants/acme/realms/{tenant['realms'][0]['id']}"
    for target, sent, pointer in (
        ("/tenants/acme", {"name": None}, "/name"),
        ("/tenants/acme", {"slug": "other"}, "/slug"),
        ("/tenants/acme", {"state": "suspended"}, "/state"),
        (path, {"issuer": None}, "/issuer"),
        (path, {"client_id": None}, "/client_id"),
        (path, {"enabled": None}, "/enabled"),
        (path, {"enabled": "no"}, "/enabled"),
        (path, {"audiences": ["account"]}, "/audiences/0"),
    ):
        answer = await api.admin("PATCH", target, json=sent, headers={"If-Match": "*"})
        assert (said(answer), pointers(answer)) == ((422, "validation_failed"), [pointer])


async def test_answers_never_repeat_what_was_wrong(empty_api: ApiClient) -> None:
    secret = "tak_0123456789ab_" + "S" * 43
    for sent in (body(name=[secret]), body(slug=secret), {"token": secret}, realm(client_id={"s": secret})):
        answer = await empty_api.admin(
            "POST", "/tenants", content=json.dumps(sent), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 422
        assert "SSSS" not in answer.text


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PUT"])
async def test_method_that_is_not_there_names_the_ones_that_are(empty_api: ApiClient, method: str) -> None:
    answer = await empty_api.admin(method, "/status")
    assert said(answer) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET"


async def test_path_that_is_not_there_is_a_problem_too(empty_api: ApiClient) -> None:
    for path in ("/nothing", "/tenants/", "/tenants/acme/nothing"):
        assert said(await empty_api.admin("GET", path)) == (404, "not_found")
