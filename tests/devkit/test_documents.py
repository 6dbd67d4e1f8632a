"""Key set, discovery, info and userinfo, field by field against the captured ones."""

from __future__ import annotations

import base64
import hashlib
import json

import httpx
import pytest
from cryptography import x509

from tenants_api.devkit.realms import DevRealm, create_dev_realms
from tests.devkit.conftest import BASE_URL
from tests.devkit.flows import OIDC, password
from tests.devkit.samples import samples, shape, unordered

pytestmark = pytest.mark.anyio


async def test_discovery_document_is_the_captured_one(http: httpx.AsyncClient) -> None:
    answer = await http.get("/realms/obs/.well-known/openid-configuration")
    assert unordered(answer.json()) == unordered(samples()["discovery"])
    assert answer.headers["cache-control"] == "no-cache, must-revalidate, no-transform, no-store"


async def test_key_set_has_the_captured_fields_and_the_encryption_key_first(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{OIDC}/certs")
    ours, theirs = answer.json()["keys"], samples()["jwks_default"]
    assert [shape(key) for key in ours] == [shape(key) for key in theirs]
    assert [(key["kty"], key["use"], key["alg"], key["e"]) for key in ours] == [
        ("RSA", "enc", "RSA-OAEP", "AQAB"),
        ("RSA", "sig", "RS256", "AQAB"),
    ]
    assert answer.headers["cache-control"] == "no-cache"
    assert "etag" not in answer.headers


async def test_keys_of_every_kind_have_the_captured_fields(obs: DevRealm, http: httpx.AsyncClient) -> None:
    for algorithm in ("PS256", "ES256", "EdDSA"):
        obs.mint(algorithm=algorithm)
    ours = {key["alg"]: key for key in (await http.get(f"{OIDC}/certs")).json()["keys"]}
    theirs = {key["alg"]: key for key in samples()["jwks_many_algorithms"]}
    assert {name: shape(key) for name, key in ours.items()} == {name: shape(key) for name, key in theirs.items()}
    for name in ("ES256", "EdDSA"):
        assert {field: len(ours[name][field]) for field in ("kid", "x")} == {
            field: len(theirs[name][field]) for field in ("kid", "x")
        }
        assert ours[name]["crv"] == theirs[name]["crv"]


async def test_certificate_of_a_key_is_of_that_key_and_its_thumbprints_fit(obs: DevRealm) -> None:
    entry = obs.keys.public_set()[1]
    der = base64.b64decode(entry["x5c"][0])
    assert _base64url(hashlib.sha1(der).digest()) == entry["x5t"]
    assert _base64url(hashlib.sha256(der).digest()) == entry["x5t#S256"]
    certified = x509.load_der_x509_certificate(der).public_key()
    assert certified == obs.keys.signing().private.public_key()


async def test_realm_info_is_the_captured_one(obs: DevRealm, http: httpx.AsyncClient) -> None:
    answer = await http.get("/realms/obs")
    captured = samples()["realm_info"]
    assert shape(answer.json()) == shape(captured)
    assert answer.json() | {"public_key": ""} == captured | {"public_key": ""}
    assert answer.headers["cache-control"] == "no-cache"
    obs.push_not_before(1_700_000_000)
    assert (await http.get("/realms/obs")).json()["tokens-not-before"] == 1_700_000_000


async def test_realm_info_shows_an_rsa_key_whatever_signs(obs: DevRealm, http: httpx.AsyncClient) -> None:
    shown = (await http.get("/realms/obs")).json()["public_key"]
    obs.rotate(algorithm="ES256")
    assert (await http.get("/realms/obs")).json()["public_key"] == shown


@pytest.mark.parametrize(
    "path", ["", "/.well-known/openid-configuration", "/protocol/openid-connect/certs", "/protocol/openid-connect/auth"]
)
async def test_unknown_realm_is_404_everywhere(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(f"/realms/nobody{path}")
    assert (answer.status_code, answer.json()) == (404, {"error": "Realm does not exist"})


async def test_disabled_realm_still_looks_alive(obs: DevRealm, http: httpx.AsyncClient) -> None:
    paths = ["/realms/obs", "/realms/obs/.well-known/openid-configuration", f"{OIDC}/certs"]
    before = [(await http.get(path)).json() for path in paths]
    obs.disable()
    answers = [await http.get(path) for path in paths]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.json() for answer in answers] == before


async def test_requests_are_counted_by_kind(obs: DevRealm, acme: DevRealm, http: httpx.AsyncClient) -> None:
    await http.get("/realms/obs")
    for _ in range(2):
        await http.get(f"{OIDC}/certs")
    await http.get("/realms/obs/.well-known/openid-configuration")
    await http.post(f"{OIDC}/token")
    assert obs.requests == {"info": 1, "certs": 2, "discovery": 1, "token": 1}
    assert not acme.requests


async def test_frontend_url_moves_the_issuer_and_every_url_but_not_where_the_realm_answers() -> None:
    realm = DevRealm("acme", base_url=BASE_URL, frontend_url="https://id.customer.example/auth")
    transport = httpx.ASGITransport(create_dev_realms([realm]))
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as http:
        document = (await http.get(f"{realm.realm_url}/.well-known/openid-configuration")).json()
    assert document["issuer"] == realm.issuer == "https://id.customer.example/auth/realms/acme"
    assert document["jwks_uri"].startswith(realm.issuer)
    assert BASE_URL not in json.dumps(document)


async def test_userinfo_is_the_captured_one(obs: DevRealm, http: httpx.AsyncClient) -> None:
    token = (await password(http))["access_token"]
    answer = await http.get(f"{OIDC}/userinfo", headers={"Authorization": f"Bearer {token}"})
    captured = samples()["userinfo"]
    assert answer.status_code == captured["status"]
    assert answer.json() | {"sub": ""} == captured["body"] | {"sub": ""}


@pytest.mark.parametrize("name", ["bad", "lightweight", "without_openid"])
async def test_userinfo_refuses_in_keycloaks_words(obs: DevRealm, http: httpx.AsyncClient, name: str) -> None:
    tokens = {
        "bad": "not-a-token",
        "lightweight": obs.mint(kind="lightweight"),
        "without_openid": obs.mint(scope="profile email"),
    }
    answer = await http.get(f"{OIDC}/userinfo", headers={"Authorization": f"Bearer {tokens[name]}"})
    captured = samples()[f"userinfo_{name}"]
    assert (answer.status_code, answer.text) == (captured["status"], captured["body"])
    assert answer.headers["www-authenticate"] == captured["www"]


@pytest.mark.parametrize("case", ["foreign", "twin", "expired", "stale", "id token", "none"])
async def test_userinfo_refuses_a_token_that_is_not_good(
    obs: DevRealm, acme: DevRealm, http: httpx.AsyncClient, case: str
) -> None:
    tokens = {
        "foreign": acme.mint(),
        "twin": DevRealm("twin", base_url=BASE_URL, keys=obs.keys).mint(),
        "expired": obs.mint(now=1_700_000_000),
        "stale": obs.mint(),
        "id token": obs.mint(kind="id"),
    }
    if case == "stale":
        obs.push_not_before(obs.clock() + 10)
    headers = {"Authorization": f"Bearer {tokens[case]}"} if case in tokens else {}
    assert (await http.get(f"{OIDC}/userinfo", headers=headers)).status_code == 401


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
