"""Which keys of a published set are used, and why the others are not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tenants_api.verification.jwk import BrokenKeySet, compact_key_set, parse_key_set
from tests.support.tokens import DROP, Key, b64, jwks
from tests.support.verifying import Stage

pytestmark = pytest.mark.anyio


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
        (lambda: Key("acme").jwk(e=b64(b"\x01")), "not a sound RSA key"),
        (lambda: Key("acme").jwk(e=b64(b"\x02")), "not a sound RSA key"),
        (lambda: Key("acme").jwk(d="AAAA"), "private"),
        (lambda: Key("acme").jwk(use="enc"), "not for signatures"),
        (lambda: Key("acme").jwk(key_ops=["encrypt"]), "not for signatures"),
        (lambda: Key("acme").jwk(alg="RSA-OAEP"), "does not fit"),
        (lambda: Key("acme").jwk(alg="HS256"), "does not fit"),
        (lambda: Key("acme").jwk(kid=DROP), "no kid"),
    ],
)
def test_unusable_key_is_skipped_with_its_reason(key: Any, reason: str) -> None:
    with pytest.raises(BrokenKeySet) as broken:
        parse_key_set(jwks(key()))
    assert reason in broken.value.skipped[0].reason


def test_two_signature_keys_under_one_kid_are_both_left_out() -> None:
    other = Key("other", kid="kid-acme")
    keys = parse_key_set(jwks(Key("acme"), other, Key("third")))
    assert set(keys.keys) == {"kid-third"}


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
    stored = compact_key_set(document, kids={"kid-acme"})
    assert [sorted(key) for key in json.loads(stored)["keys"]] == [["alg", "e", "kid", "kty", "n", "use"]]
    assert set(parse_key_set(stored).keys) == {"kid-acme"}
