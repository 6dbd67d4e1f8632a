"""Checks 1 to 6, 15, 16 and 18 of twenty: which tokens pass, and what the documentation tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tenants_api.devkit.realms import REMOVE, DevRealmServer, DevUser
from tests.support.stack import ADMIN_KEY, CLIENT_ID, ApiClient, bearer, onboard, running_app
from tests.support.tokens import DROP, Key, claims_for

PAGES = ("/docs", "/openapi.json", "/admin/docs", "/admin/openapi.json", "/t/acme/docs", "/t/acme/openapi.json")


def refused(answer: httpx.Response, *, status: int = 401, code: str = "invalid_token") -> None:
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="tenants-api"')


async def post_item(client: ApiClient, token: str) -> httpx.Response:
    return await client.post("/v1/items", json={"title": "Paper"}, headers=bearer(token))


async def test_01_same_kid_in_two_realms_never_stands_in_for_the_other(realms: DevRealmServer, tmp_path: Path) -> None:
    acme, globex = Key("checks-acme", kid="the-same-kid"), Key("checks-globex", kid="the-same-kid")
    realms.realm("acme").faults.extra_keys = [acme.jwk()]
    realms.realm("globex").faults.extra_keys = [globex.jwk()]
    async with running_app(tmp_path, realms) as client:
        for name in ("acme", "globex"):
            await onboard(client, name)
        now = realms.realm("acme").clock()
        of_acme, of_globex = (claims_for(realms.realm(name).issuer, now=now) for name in ("acme", "globex"))
        assert (await client.me(acme.token(of_acme))).json()["tenant"]["slug"] == "acme"
        assert (await client.me(globex.token(of_globex))).json()["tenant"]["slug"] == "globex"
        refused(await client.me(globex.token(of_acme)))
        refused(await client.me(acme.token(of_globex)))
        head, body, _ = acme.token(of_acme).split(".")
        refused(await client.me(f"{head}.{body}.{globex.token(of_globex).split('.')[2]}"))


async def test_02_tokens_of_another_kind_are_refused(realms: DevRealmServer, tmp_path: Path) -> None:
    realm = realms.realm("acme")
    async with running_app(tmp_path, realms) as client:
        await onboard(client, "acme")
        for kind in ("id", "refresh", "logout"):
            refused(await client.me(realm.mint(kind=kind)))
            refused(await client.me(realm.mint(kind=kind, client=CLIENT_ID, algorithm="RS256")))
        refused(await client.me(realm.mint(header={"typ": "logout+jwt"})))
        assert (await client.me(realm.mint())).status_code == 200


UNSOUND: list[dict[str, Any]] = [
    {"exp": REMOVE},
    {"exp": "4102444800"},
    {"exp": True},
    {"exp": float("nan")},
    {"exp": 10**30},
    {"exp": None},
    {"sub": REMOVE},
    {"sub": ""},
    {"sub": 7},
]


async def test_03_token_without_a_sound_exp_or_sub_is_refused(realms: DevRealmServer, tmp_path: Path) -> None:
    async with running_app(tmp_path, realms) as client:
        await onboard(client, "acme")
        for claims in UNSOUND:
            refused(await client.me(realms.realm("acme").mint(claims=claims)))


async def test_04_forged_token_without_scope_is_401_not_403(realms: DevRealmServer, tmp_path: Path) -> None:
    realm, forger = realms.realm("acme"), Key("checks-forger")
    async with running_app(tmp_path, realms) as client:
        await onboard(client, "acme")
        claims = claims_for(realm.issuer, now=realm.clock(), scope=DROP, resource_access=DROP, realm_access=DROP)
        refused(await post_item(client, forger.token(claims)))
        refused(await post_item(client, forger.token(claims, kid=realm.keys.kid)))


async def test_05_role_on_the_calling_client_grants_nothing_on_ours_it_does(
    realms: DevRealmServer, tmp_path: Path
) -> None:
    realm = realms.realm("acme")
    for name, client_id in (("dora", "web"), ("emil", CLIENT_ID)):
        realm.add_user(DevUser(name, "pw", f"{name}@acme.example", name, "Doe", client_roles={client_id: ("admin",)}))
    async with running_app(tmp_path, realms) as client:
        await onboard(client, "acme")
        refused(await post_item(client, realm.mint(username="dora")), status=403, code="insufficient_role")
        assert (await client.me(realm.mint(username="dora"))).json()["roles"] == []
        assert (await post_item(client, realm.mint(username="emil"))).status_code == 201


async def test_06_token_for_account_alone_is_refused(realms: DevRealmServer, tmp_path: Path) -> None:
    audiences: list[Any] = ["account", ["account"], [], REMOVE]
    async with running_app(tmp_path, realms) as client:
        await onboard(client, "acme")
        for audience in audiences:
            refused(await client.me(realms.realm("acme").mint(claims={"aud": audience})))


async def test_06_account_cannot_be_registered_as_an_audience(realms: DevRealmServer, tmp_path: Path) -> None:
    realm = {"issuer": realms.realm("acme").issuer, "client_id": CLIENT_ID, "audiences": ["account"]}
    async with running_app(tmp_path, realms) as client:
        answer = await client.admin("POST", "/tenants", json={"slug": "acme", "name": "Acme", "realms": [realm]})
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
        assert answer.json()["errors"][0]["pointer"] == "/realms/0/audiences/0"


async def test_15_unusable_keys_in_the_set_leave_the_others_working(realms: DevRealmServer, tmp_path: Path) -> None:
    realm = realms.realm("acme")
    realm.faults.extra_keys = [
        Key("checks-okp", algorithm="EdDSA").jwk(),
        Key("checks-enc").jwk(use="enc", alg="RSA-OAEP"),
        {"kty": "RSA", "kid": "broken", "use": "sig", "alg": "RS256", "n": "!!", "e": "AQAB"},
        {"kty": "EC", "kid": "off-curve", "use": "sig", "alg": "ES256", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "unheard-of", "kid": "new"},
        {},
    ]
    async with running_app(tmp_path, realms) as client:
        await onboard(client, "acme")
        assert (await client.me(realm.mint())).status_code == 200
        refused(await client.me(Key("checks-enc").token(claims_for(realm.issuer, now=realm.clock()))))


async def test_16_documentation_holds_no_secret(realms: DevRealmServer, tmp_path: Path) -> None:
    secrets = {"admin_api_key": ADMIN_KEY, "database": str(tmp_path), "kid": realms.realm("acme").keys.kid}
    async with running_app(tmp_path, realms) as client:
        await onboard(client, "acme", login_client_id="web")
        made = await client.admin("POST", "/api-keys", json={"name": "ci", "scopes": ["tenants:read"]})
        assert made.status_code == 201, made.text
        secrets["made_key"] = made.json()["key"]
        await client.me(realms.realm("acme").mint())
        for page in PAGES:
            answer = await client.get(page)
            assert answer.status_code == 200, page
            found = [name for name, secret in secrets.items() if secret in answer.text]
            assert not found, f"{page} shows {found}"
            assert "-----BEGIN" not in answer.text
            assert "alice-pw" not in answer.text


async def test_16_shared_documents_say_nothing_about_any_tenant(realms: DevRealmServer, tmp_path: Path) -> None:
    async with running_app(tmp_path, realms) as client:
        before = [(await client.get(page)).text for page in PAGES[:4]]
        await onboard(client, "acme")
        await onboard(client, "globex")
        assert [(await client.get(page)).text for page in PAGES[:4]] == before


async def test_18_sender_constrained_token_as_bearer_is_refused(realms: DevRealmServer, tmp_path: Path) -> None:
    realm = realms.realm("acme")
    async with running_app(tmp_path, realms) as client:
        await onboard(client, "acme")
        refused(await client.me(realm.mint(kind="dpop")))
        refused(await client.me(realm.mint(claims={"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})))
        refused(
            await client.me(realm.mint(claims={"cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}}))
        )
