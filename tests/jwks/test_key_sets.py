"""Which keys of a published set are used, and why the others are not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448
from jwt.algorithms import OKPAlgorithm

from tenants_api.jwks.parse import BrokenKeySet, parse_key_set
from tests.support.tokens import DROP, Key, b64, jwks
from tests.support.verifying import Stage


@pytest.mark.parametrize(
    "odd",
    [
        {"kty": "OKP", "crv": "X25519", "kid": "okp", "x": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "okp", "x": "AAAA", "alg": "EdDSA", "use": "sig"},
        {"kty": "RSA", "kid": "enc", "use": "enc", "alg": "RSA-OAEP", "n": "AA", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "kid": "off", "x": b64(b"\x01" * 32), "y": b64(b"\x01" * 32), "alg": "ES256"},
        {"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "AAAA"},
        {"kty": "RSA", "kid": "broken", "alg": "RS256", "use": "sig", "n": "!!", "e": "AQAB"},
        {"kty": "oct", "kid": "secret", "k": "AAAA"},
        {"kid": "no-kty"},
        7,
        None,
        [],
    ],
    ids=str,
)
async def test_odd_key_in_the_set_leaves_the_others_working(stage: Stage, odd: Any) -> None:
    stage.world.answers[stage.issuer("acme")] = jwks(*([odd] if isinstance(odd, dict) else []), stage.keys["acme"])
    if not isinstance(odd, dict):
        import json

        entries = [odd, stage.keys["acme"].jwk()]
        stage.world.answers[stage.issuer("acme")] = json.dumps({"keys": entries}).encode()
    assert await stage.outcome(stage.token()) == "accepted:acme"


def _small_rsa() -> dict[str, Any]:
    return Key("acme").jwk(n=b64((2**1023 + 1).to_bytes(128)))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (_small_rsa, "RSA key of 1024 bits"),
        (lambda: Key("acme").jwk(e=b64(b"\x01")), "an invalid RSA key"),
        (lambda: Key("acme").jwk(e=b64(b"\x02")), "an invalid RSA key"),
        (lambda: Key("acme").jwk(d="AAAA"), "private"),
        (lambda: Key("acme").jwk(use="enc"), "not for signatures"),
        (lambda: Key("acme").jwk(key_ops=["encrypt"]), "not for signatures"),
        (lambda: Key("acme").jwk(alg="RSA-OAEP"), "does not fit"),
        (lambda: Key("acme").jwk(alg="HS256"), "does not fit"),
        (lambda: Key("acme").jwk(kid=DROP), "no kid"),
        (lambda: Key("acme").jwk(e=b64((2**64 + 1).to_bytes(9))), "an RSA exponent of 65 bits; at most 64"),
        (lambda: Key("acme").jwk(e=b64((2**2047 + 1).to_bytes(256))), "an RSA exponent of 2048 bits; at most 64"),
        (lambda: Key("acme", algorithm="EdDSA").jwk(alg="Ed448"), "does not fit"),
        (lambda: Key("acme", algorithm="EdDSA").jwk(alg="ES256"), "does not fit"),
    ],
)
def test_unusable_key_is_skipped_with_its_reason(key: Any, reason: str) -> None:
    with pytest.raises(BrokenKeySet) as broken:
        parse_key_set(jwks(key()))
    assert reason in broken.value.skipped[0].reason


def test_two_different_keys_under_one_kid_and_algorithm_are_both_left_out() -> None:
    other = Key("other", kid="kid-acme")
    keys = parse_key_set(jwks(Key("acme"), other, Key("third")))
    assert set(keys.keys) == {"kid-third"}
    assert [(key.kid, key.reason) for key in keys.skipped] == [
        ("kid-acme", "two different signature keys have this kid and the algorithm RS256")
    ]


def test_third_entry_does_not_settle_which_of_two_keys_is_meant() -> None:
    first, second = Key("acme", kid="shared"), Key("other", kid="shared")
    for entries in ((first, second, first), (first, first, second), (second, first, first)):
        assert set(parse_key_set(jwks(*entries, Key("third"))).keys) == {"kid-third"}


# What Keycloak publishes when one key stands in two providers, or one kid is used for keys of two types: by A3.
ONE_KID: dict[str, tuple[list[Any], set[str]]] = {
    "the same entry twice": ([Key("acme"), Key("acme")], {"RS256"}),
    "one key for two algorithms": ([Key("acme"), Key("acme").jwk(alg="PS256")], {"RS256", "PS256"}),
    "one key, once without alg": (
        [Key("acme"), Key("acme").jwk(alg=DROP)],
        {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
    ),
    "keys of two types": ([Key("acme"), Key("acme", algorithm="ES256").jwk()], {"RS256", "ES256"}),
    "keys of three types": (
        [Key("acme"), Key("acme", algorithm="ES256").jwk(), Key("acme", algorithm="EdDSA").jwk()],
        {"RS256", "ES256", "EdDSA"},
    ),
    "two RSA keys, each for its own": (
        [Key("acme"), Key("other").jwk(kid="kid-acme", alg="PS256")],
        {"RS256", "PS256"},
    ),
    "two RSA keys, one for all": (
        [Key("acme"), Key("other").jwk(kid="kid-acme", alg=DROP)],
        {"RS384", "RS512", "PS256", "PS384", "PS512"},
    ),
    "one elliptic key twice": ([Key("acme", algorithm="ES256"), Key("acme", algorithm="ES256")], {"ES256"}),
    "one Edwards key under both names": (
        [Key("acme", algorithm="EdDSA"), Key("acme", algorithm="EdDSA").jwk(alg="Ed25519")],
        {"EdDSA"},
    ),
}


@pytest.mark.parametrize(("entries", "algorithms"), ONE_KID.values(), ids=ONE_KID)
def test_keys_of_one_kid_are_told_apart_by_their_algorithm(entries: list[Any], algorithms: set[str]) -> None:
    document = jwks(*entries)
    keys = parse_key_set(document)
    assert keys.keys["kid-acme"].algorithms == algorithms
    stored = parse_key_set(keys.compact)
    assert stored.keys["kid-acme"].materials == keys.keys["kid-acme"].materials, "what is stored serves as it did"


async def test_token_is_verified_by_the_key_of_its_own_algorithm(stage: Stage) -> None:
    rsa, elliptic = Key("acme"), Key("acme", algorithm="ES256")
    stage.add("acme", algorithms=frozenset({"RS256", "ES256"}))
    stage.world.answers[stage.issuer("acme")] = jwks(rsa, elliptic)
    assert rsa.id == elliptic.id
    for key in (rsa, elliptic):
        assert await stage.outcome(key.token(stage.claims())) == "accepted:acme"
    forged = Key("other", kid=rsa.id, algorithm="ES256").token(stage.claims())
    assert await stage.outcome(forged) == "invalid_token:bad_signature"
    assert await stage.outcome(elliptic.token(stage.claims("globex"))) == "invalid_token:algorithm_refused"


async def test_realm_that_offers_its_key_for_a_second_algorithm_refuses_no_good_token(stage: Stage) -> None:
    """A3: the set with the twin used to drop both, at the next fetch."""
    key, twin = stage.keys["acme"], Key("acme", algorithm="PS256")
    stage.add("acme", algorithms=frozenset({"RS256", "PS256"}))
    assert await stage.outcome(key.token(stage.claims(jti="before"))) == "accepted:acme"
    stage.world.answers[stage.issuer("acme")] = jwks(key, twin)
    assert await stage.outcome(twin.token(stage.claims(jti="new"))) == "accepted:acme", "it is looked for at once"
    stage.clock.pass_time(301)
    for one in (key, twin):
        assert await stage.outcome(one.token(stage.claims(jti="after"))) == "accepted:acme"
    assert await stage.outcome(stage.token("globex")) == "accepted:globex"


async def test_key_that_gains_an_algorithm_ends_no_cached_token_and_one_that_loses_it_does(stage: Stage) -> None:
    key, twin = stage.keys["acme"], Key("acme", algorithm="PS256")
    realm = stage.add("acme", algorithms=frozenset({"RS256", "PS256"}))
    long_lived = {"exp": int(stage.clock.now) + 3600}
    by_rs256 = key.token(stage.claims(**long_lived))
    assert await stage.outcome(by_rs256) == "accepted:acme"
    first_seen = stage.jwks_cache.of(realm).state.keys.keys[key.id].first_seen
    epoch = realm.epoch
    stage.clock.pass_time(10)
    stage.world.answers[stage.issuer("acme")] = jwks(key, twin)
    await stage.jwks_cache.of(realm).refresh()
    by_ps256 = twin.token(stage.claims(**long_lived))
    assert await stage.outcome(by_ps256) == "accepted:acme"
    assert realm.epoch == epoch
    stage.world.answers[stage.issuer("acme")] = jwks(key)
    await stage.jwks_cache.of(realm).refresh()
    assert await stage.outcome(by_ps256) == "invalid_token:unknown_key"
    assert await stage.outcome(by_rs256) == "accepted:acme"
    assert stage.jwks_cache.of(realm).state.keys.keys[key.id].first_seen == first_seen


async def test_algorithm_that_a_known_key_lacks_costs_no_more_fetches_than_an_unknown_kid(stage: Stage) -> None:
    key, twin = stage.keys["acme"], Key("acme", algorithm="PS256")
    stage.add("acme", algorithms=frozenset({"RS256", "PS256"}))
    assert await stage.outcome(key.token(stage.claims())) == "accepted:acme"
    for number in range(200):
        assert await stage.outcome(twin.token(stage.claims(jti=str(number)))) == "invalid_token:unknown_key"
    assert stage.world.fetches[stage.issuer("acme")] < 12
    assert await stage.outcome(key.token(stage.claims(jti="good"))) == "accepted:acme"


@pytest.mark.parametrize("named", ["EdDSA", "Ed25519", DROP], ids=str)
async def test_edwards_key_is_usable_under_its_old_and_its_new_name(stage: Stage, named: Any) -> None:
    """A10: RFC 9864 names the algorithm `Ed25519` in the key; the token says `EdDSA`, as the realm's row does."""
    key = Key("acme", algorithm="EdDSA")
    stage.add("acme", algorithms=frozenset({"EdDSA"}))
    stage.world.answers[stage.issuer("acme")] = jwks(key.jwk(alg=named))
    assert await stage.outcome(key.token(stage.claims())) == "accepted:acme"
    assert await stage.outcome(key.token(stage.claims(), alg="Ed25519")) == "invalid_token:algorithm_refused"


def test_ed448_is_usable_under_its_own_name() -> None:
    entry = json.loads(OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key()))
    entry.pop("key_ops", None)
    assert parse_key_set(jwks({**entry, "kid": "k", "alg": "Ed448"})).keys["k"].algorithms == {"EdDSA"}


@pytest.mark.parametrize("exponent", [3, 17, 65537, 2**32 + 1, 2**64 - 1])
def test_usual_rsa_exponents_are_accepted(exponent: int) -> None:
    entry = Key("acme").jwk(e=b64(exponent.to_bytes((exponent.bit_length() + 7) // 8)))
    assert set(parse_key_set(jwks(entry)).keys) == {"kid-acme"}


@pytest.mark.parametrize("spoiled", [{"d": "AAAA"}, {"key_ops": ["encrypt"]}, {"key_ops": ["sign"], "use": DROP}])
def test_entry_that_is_refused_is_not_usable_when_it_was_stored(spoiled: dict[str, Any]) -> None:
    """What makes it refused is not stored; without that it would be a second key, or an algorithm more."""
    document = jwks(Key("acme"), Key("other").jwk(kid="kid-acme", **spoiled), Key("acme").jwk(alg="PS256", **spoiled))
    stored = parse_key_set(parse_key_set(document).compact)
    assert stored.keys["kid-acme"].algorithms == {"RS256"}


def test_encryption_key_with_the_same_kid_does_not_disturb_the_signature_key() -> None:
    keys = parse_key_set(jwks(Key("other").jwk(kid="kid-acme", use="enc", alg="RSA-OAEP"), Key("acme")))
    assert set(keys.keys) == {"kid-acme"}


@pytest.mark.parametrize("document", [b"", b"{}", b'{"keys": {}}', b'{"keys": null}', b"[]", b"\xff", b"[" * 9999])
def test_document_that_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(BrokenKeySet):
        parse_key_set(document)


def test_set_with_too_many_keys_is_refused() -> None:
    with pytest.raises(BrokenKeySet, match="10000"):
        parse_key_set(jwks(*[{"kid": str(number)} for number in range(10_000)]))


def test_stored_set_keeps_what_verifying_needs_and_nothing_else() -> None:
    document = jwks(Key("acme").jwk(x5c=["MII"]), Key("other").jwk(use="enc", alg="RSA-OAEP"))
    stored = parse_key_set(document).compact
    assert [sorted(key) for key in json.loads(stored)["keys"]] == [["alg", "e", "kid", "kty", "n", "use"]]
    assert set(parse_key_set(stored).keys) == {"kid-acme"}


def test_set_that_is_known_is_not_parsed_again() -> None:
    document = jwks(Key("acme").jwk(x5c=["MII"]))
    keys = parse_key_set(document)
    assert parse_key_set(document, present=keys) is keys
    assert parse_key_set(keys.compact, present=keys) is keys, "as it is stored"
    assert set(parse_key_set(jwks(Key("other")), present=keys).keys) == {"kid-other"}
    with pytest.raises(BrokenKeySet):
        parse_key_set(b"{}", present=keys)
