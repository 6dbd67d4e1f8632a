"""Which tokens are accepted, and why the others are not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.tokens import DROP, Key, b64, jwks
from tests.support.verifying import Stage

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["uncached", "cached"])
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(cached=request.param)


async def test_token_of_a_registered_realm_is_accepted_for_its_tenant(stage: Stage) -> None:
    principal = await stage.verifier.verify(stage.token("acme"))
    assert (principal.tenant.slug, principal.subject) == ("acme", "65ec3e18-558a-486f-b14a-ecc7ba1e2dfa")
    assert (principal.username, principal.email, principal.full_name) == ("alice", "alice@acme.example", "Alice Doe")
    assert principal.roles == {"editor"}
    assert principal.scopes == ("openid", "profile", "email")
    assert not principal.service_account


async def test_unknown_issuer_is_refused_without_any_fetch(stage: Stage) -> None:
    token = Key("stranger").token({**stage.claims(), "iss": "https://evil.example/realms/acme"})
    assert await stage.outcome(token) == "invalid_token:unknown_issuer"
    assert stage.world.fetches == {}


@pytest.mark.parametrize(
    "twin",
    [
        "https://id.example/realms/acme/",
        "https://ID.example/realms/acme",
        "https://id.example:443/realms/acme",
        "http://id.example/realms/acme",
        "https://id.example/realms/acm",
        "https://id.example/realms/acme2",
        "https://id.example/realms/%61cme",
        "https://id.example/realms/\u0430cme",
        "https://id.example/realms/acme\x00",
        " https://id.example/realms/acme",
        "https://id.example/realms/./acme",
    ],
)
async def test_issuer_is_compared_byte_for_byte(stage: Stage, twin: str) -> None:
    token = stage.keys["acme"].token({**stage.claims(), "iss": twin})
    assert await stage.outcome(token) == "invalid_token:unknown_issuer"


async def test_same_kid_in_two_realms_never_stands_in_for_the_other(stage: Stage) -> None:
    stage.keys = {name: Key(name, kid="shared") for name in ("acme", "globex")}
    stage.world.answers = {stage.issuer(name): jwks(key) for name, key in stage.keys.items()}
    assert await stage.outcome(stage.token("acme")) == "accepted:acme"
    assert await stage.outcome(stage.token("globex")) == "accepted:globex"
    for claimed, signer in (("acme", "globex"), ("globex", "acme")):
        forged = stage.keys[signer].token(stage.claims(claimed))
        assert await stage.outcome(forged) == "invalid_token:bad_signature"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"typ": "ID", "nonce": "n", "at_hash": "x"}, "not_an_access_token"),
        ({"typ": "Refresh"}, "not_an_access_token"),
        ({"typ": "Offline"}, "not_an_access_token"),
        ({"typ": "Logout"}, "not_an_access_token"),
        ({"typ": "DPoP", "cnf": {"jkt": "x"}}, "not_an_access_token"),
        ({"typ": DROP}, "not_an_access_token"),
        ({"typ": ["Bearer"]}, "not_an_access_token"),
        ({"cnf": {"jkt": "x"}}, "sender_constrained"),
        ({"cnf": {}}, "sender_constrained"),
        ({"cnf": None}, "sender_constrained"),
        ({"sub": DROP}, "no_subject"),
        ({"sub": ""}, "no_subject"),
        ({"sub": " "}, "no_subject"),
        ({"sub": 7}, "no_subject"),
        ({"sub": "a\x00b"}, "no_subject"),
        ({"sub": "x" * 256}, "no_subject"),
        ({"aud": "account"}, "wrong_audience"),
        ({"aud": ["account"]}, "wrong_audience"),
        ({"aud": DROP}, "wrong_audience"),
        ({"aud": None}, "wrong_audience"),
        ({"aud": ["tenants-api", 1]}, "wrong_audience"),
        ({"aud": [["tenants-api"]]}, "wrong_audience"),
        ({"aud": {"tenants-api": 1}}, "wrong_audience"),
        ({"aud": "tenants-api,account"}, "wrong_audience"),
        ({"aud": "Tenants-API"}, "wrong_audience"),
        ({"azp": ["web"]}, "wrong_authorized_party"),
        ({"exp": DROP}, "no_exp"),
        ({"exp": "4102444800"}, "no_exp"),
        ({"exp": True}, "no_exp"),
        ({"exp": 1e308}, "no_exp"),
        ({"exp": 10**400}, "no_exp"),
        ({"exp": 0}, "no_exp"),
        ({"exp": -1}, "no_exp"),
        ({"exp": 1_800_000_300.5}, "no_exp"),
        ({"exp": [1]}, "no_exp"),
        ({"exp": 1_900_000_000}, "lives_too_long"),
        ({"iat": DROP}, "no_iat"),
        ({"iat": "now"}, "no_iat"),
        ({"iat": True}, "no_iat"),
        ({"iat": 1_800_000_031}, "issued_in_the_future"),
        ({"nbf": 1_800_000_031}, "not_yet_valid"),
        ({"nbf": None}, "no_nbf"),
        ({"nbf": True}, "no_nbf"),
    ],
    ids=str,
)
async def test_token_with_a_wrong_claim_is_refused(stage: Stage, changes: dict[str, Any], reason: str) -> None:
    assert await stage.outcome(stage.token(**changes)) == f"invalid_token:{reason}"


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
async def test_claim_typ_is_read_in_any_letter_case(stage: Stage, kind: str) -> None:
    assert await stage.outcome(stage.token(typ=kind)) == "accepted:acme"


@pytest.mark.parametrize(("after", "code"), [(329, "accepted:acme"), (330, "token_expired:expired")])
async def test_expired_token_is_told_so_after_the_leeway(stage: Stage, after: int, code: str) -> None:
    token = stage.token()
    stage.clock.now += after
    assert await stage.outcome(token) == code


async def test_expired_token_that_is_bad_in_another_way_is_not_told_that_it_expired(stage: Stage) -> None:
    token = stage.token(aud="account")
    stage.clock.now += 1000
    assert await stage.outcome(token) == "invalid_token:wrong_audience"
    forged = stage.keys["globex"].token(stage.claims("acme", exp=int(stage.clock.now) - 100), kid="kid-acme")
    assert await stage.outcome(forged) == "invalid_token:bad_signature"


async def test_authorized_parties_are_an_allow_list(stage: Stage) -> None:
    stage.add("acme", authorized_parties=frozenset({"mobile"}))
    assert await stage.outcome(stage.token()) == "invalid_token:wrong_authorized_party"
    assert await stage.outcome(stage.token(azp="mobile")) == "accepted:acme"
    assert await stage.outcome(stage.token(azp=DROP)) == "invalid_token:wrong_authorized_party"


async def test_token_issued_before_not_before_is_refused(stage: Stage) -> None:
    stage.add("acme", not_before=int(stage.clock.now) + 1)
    assert await stage.outcome(stage.token()) == "invalid_token:issued_before_not_before"


async def test_not_before_of_the_realm_itself_counts_too(stage: Stage) -> None:
    stage.world.not_before[stage.issuer("acme")] = int(stage.clock.now) + 1
    assert await stage.outcome(stage.token()) == "invalid_token:issued_before_not_before"
    assert await stage.outcome(stage.token("globex")) == "accepted:globex"


async def test_tokens_of_a_disabled_realm_are_refused(stage: Stage) -> None:
    stage.world.disabled.add(stage.issuer("acme"))
    assert await stage.outcome(stage.token()) == "invalid_token:realm_disabled"


async def test_suspension_shows_only_to_a_token_that_is_good(stage: Stage) -> None:
    token = stage.token()
    assert await stage.outcome(token) == "accepted:acme"
    stage.add("acme", suspended=True)
    assert await stage.outcome(token) == "tenant_suspended:tenant_suspended"
    assert await stage.outcome(stage.token(aud="account")) == "invalid_token:wrong_audience"


async def test_removed_realm_is_refused_at_once_also_from_the_cache(stage: Stage) -> None:
    token = stage.token()
    assert await stage.outcome(token) == "accepted:acme"
    stage.snapshot.remove(stage.snapshot.find(stage.issuer("acme")).id)
    assert await stage.outcome(token) == "invalid_token:unknown_issuer"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS512"},
        {"alg": "rs256"},
        {"alg": DROP},
        {"alg": None},
        {"alg": ["RS256"]},
        {"kid": DROP},
        {"kid": ""},
        {"kid": 7},
        {"kid": "../../dev/null"},
        {"kid": "k" * 257},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"b64": True},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": {"kty": "RSA"}},
        {"x5c": ["MII"]},
        {"typ": "logout+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": 7},
        {"cty": "JWT"},
        {"zip": "DEF"},
    ],
    ids=str,
)
async def test_token_with_a_wrong_header_is_refused(stage: Stage, header: dict[str, Any]) -> None:
    raw = stage.keys["acme"].token(stage.claims(), **header)
    assert (await stage.outcome(raw)).startswith("invalid_token:")


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
async def test_header_types_of_access_tokens_are_accepted(stage: Stage, kind: str) -> None:
    assert await stage.outcome(stage.keys["acme"].token(stage.claims(), typ=kind)) == "accepted:acme"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: "",
        lambda raw: ".",
        lambda raw: "..",
        lambda raw: raw + "=",
        lambda raw: raw + "==",
        lambda raw: raw + ".",
        lambda raw: raw + "\n",
        lambda raw: " " + raw,
        lambda raw: raw.replace(".", "..", 1),
        lambda raw: raw.rpartition(".")[0],
        lambda raw: raw.rpartition(".")[0] + ".",
        lambda raw: raw[:-2] + "!!",
        lambda raw: raw + "a" * 9000,
        lambda raw: raw[:-1] + "\xe9",
        lambda raw: "Bearer " + raw,
        lambda raw: json.dumps({"protected": raw.split(".")[0], "payload": "", "signature": ""}),
    ],
)
async def test_text_that_is_not_one_compact_jws_is_refused(stage: Stage, spoil: Any) -> None:
    assert (await stage.outcome(spoil(stage.token()))).startswith("invalid_token:")


async def test_every_other_spelling_of_the_last_character_is_refused(stage: Stage) -> None:
    raw = stage.token()
    assert await stage.outcome(raw) == "accepted:acme"
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for character in alphabet.replace(raw[-1], ""):
        assert (await stage.outcome(raw[:-1] + character)).startswith("invalid_token:")


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"[]",
        b'"x"',
        b"",
        b"{",
        b'{"iss": NaN}',
        b'{"a": Infinity}',
        b"\xef\xbb\xbf{}",
        '{"iss": "x"}'.encode("utf-16"),
        b'{"iss": "\xe9"}',
        b"[" * 100_000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b'{"exp": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda payload: repr(payload[:20]),
)
async def test_payload_that_is_not_strict_json_is_refused(stage: Stage, payload: bytes) -> None:
    assert (await stage.outcome(stage.keys["acme"].token(payload))).startswith("invalid_token:")


@pytest.mark.parametrize("twice", [b'"sub": "mallory"', b'"\\u0073ub": "mallory"'])
async def test_duplicate_member_is_refused(stage: Stage, twice: bytes) -> None:
    payload = json.dumps(stage.claims()).encode()[:-1] + b", " + twice + b"}"
    assert await stage.outcome(stage.keys["acme"].token(payload)) == "invalid_token:not_strict_json"


async def test_lone_surrogate_is_refused(stage: Stage) -> None:
    assert await stage.outcome(stage.token(name="\ud800")) == "invalid_token:not_strict_json"


async def test_escaped_text_that_is_sound_is_accepted(stage: Stage) -> None:
    principal = await stage.verifier.verify(stage.token(name="Zoë 😀"))
    assert principal.full_name == "Zoë 😀"


async def test_hmac_with_the_public_key_is_refused(stage: Stage) -> None:
    import hashlib
    import hmac

    secret = json.dumps(stage.keys["acme"].jwk()).encode()
    text = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'kid-acme'}).encode())}.{b64(json.dumps(stage.claims()).encode())}"
    raw = f"{text}.{b64(hmac.digest(secret, text.encode(), hashlib.sha256))}"
    assert await stage.outcome(raw) == "invalid_token:algorithm_refused"


async def test_algorithm_comes_from_the_registry_row(stage: Stage) -> None:
    key = Key("acme-ec", algorithm="ES256")
    stage.world.answers[stage.issuer("acme")] = jwks(Key("acme"), key)
    raw = key.token(stage.claims())
    assert await stage.outcome(raw) == "invalid_token:algorithm_refused"
    stage.add("acme", algorithms=frozenset({"ES256"}))
    assert await stage.outcome(raw) == "accepted:acme"
    assert await stage.outcome(stage.token()) == "invalid_token:algorithm_refused"


@pytest.mark.parametrize("algorithm", ["RS384", "PS256", "ES256", "EdDSA"])
async def test_each_allowed_algorithm_verifies(stage: Stage, algorithm: str) -> None:
    key = Key(f"acme-{algorithm}", algorithm=algorithm)
    stage.world.answers[stage.issuer("acme")] = jwks(key)
    stage.add("acme", algorithms=frozenset({algorithm}))
    assert await stage.outcome(key.token(stage.claims())) == "accepted:acme"


async def test_organization_chooses_the_tenant_of_a_shared_realm(stage: Stage) -> None:
    issuer = stage.issuer("shared")
    for name in ("north", "south"):
        stage.add(name, issuer=issuer, organization=name)
    stage.world.answers[issuer] = jwks(Key("shared"))
    key = Key("shared")

    def token(claim: Any) -> str:
        return key.token({**stage.claims(), "iss": issuer, "organization": claim})

    assert await stage.outcome(token(["north"])) == "accepted:north"
    assert await stage.outcome(token({"south": {"id": "1"}})) == "accepted:south"
    assert await stage.outcome(token("north")) == "accepted:north"
    for claim in (["north", "south"], ["east"], [], None, 7, [["north"]]):
        assert await stage.outcome(token(claim)) == "invalid_token:unknown_issuer"
