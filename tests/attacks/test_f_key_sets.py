"""F of the catalogue: what a realm may publish. One good key goes on working; nothing else starts to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tenants_api.devkit.realms import DevRealm
from tenants_api.jwks.parse import BrokenKeySet, parse_key_set
from tenants_api.jwks.realm_keys import RealmKeys
from tests.attacks.arena import Arena, Outcome
from tests.support.tokens import Key, b64, jwks, signature_of

pytestmark = pytest.mark.xdist_group("battery-f")
GOOD = Outcome(200, "", "")
UNKNOWN = Outcome(401, "invalid_token", "unknown_key")
POINT = {"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}


def ring_of(arena: Arena, realm: DevRealm) -> RealmKeys:
    trusted = arena.services.replica.find(realm.issuer)
    assert trusted is not None
    return arena.services.replica.jwks_cache.of(trusted)


async def fetched_anew(realm_keys: RealmKeys) -> str | None:
    """Fetch what the realm publishes now; a fetch that is under way already may have seen what it published before."""
    begun = realm_keys.state.fetches
    failure = await realm_keys.refresh()
    return failure if realm_keys.state.fetches > begun else await realm_keys.refresh()


@asynccontextmanager
async def publishing(arena: Arena, *extra: Any, alone: bool = False, name: str = "acme") -> AsyncIterator[str | None]:
    """The realm lists these entries too (or nothing else) while the block runs; gives why the fetch failed, if it did."""
    realm = arena.client.server.realm(name)
    realm.faults.extra_keys, realm.faults.empty_keys = list(extra), alone
    try:
        yield await fetched_anew(ring_of(arena, realm))
    finally:
        realm.faults.clear()
        assert await fetched_anew(ring_of(arena, realm)) is None


async def outcomes(arena: Arena, raw: str) -> set[Outcome]:
    """By the function and by the server: one and the same."""
    return {await arena.verified(raw), await arena.served(raw)}


def signed_by(arena: Arena, key: Key, *, realm: str = "acme", **header: Any) -> str:
    return arena.mint.token(realm, header={"kid": key.id, "alg": key.algorithm, **header}, sign=key.sign)


JUNK: dict[str, list[Any]] = {
    "not objects": [None, 7, "x", [], True],
    "kty of another type": [{"kid": "a", "kty": 1}, {"kid": "b", "kty": None}, {"kid": "c", "kty": ["RSA"]}],
    "kid of another type": [{"kid": kid, "kty": "RSA", "n": "AQ", "e": "AQAB"} for kid in (1, None, [], {}, "")],
    "alg of another type": [{"kid": f"g{n}", "kty": "EC", "crv": "P-256", **POINT, "alg": alg} for n, alg in enumerate((1, [], {}, True))],
    "use of another type": [{"kid": f"u{n}", "kty": "EC", "crv": "P-256", **POINT, "use": use} for n, use in enumerate((1, [], {}, None))],
    "key_ops of another type": [{"kid": f"o{n}", "kty": "EC", "crv": "P-256", **POINT, "key_ops": ops} for n, ops in enumerate((1, None, "xverifyx", {}, True, [[]], [{"verify": 1}]))],
    "crv of another type": [{"kid": f"v{n}", "kty": kty, "crv": crv, **POINT} for kty in ("EC", "OKP") for n, crv in enumerate((1, [], {}, None))],
    "numbers of another type": [{"kid": f"n{n}", "kty": "RSA", "n": number, "e": "AQAB"} for n, number in enumerate((1, None, [], {}, "é", "=", "A", ""))],
    "points of another type": [{"kid": f"p{n}", "kty": "EC", "crv": "P-256", "x": x, "y": POINT["y"]} for n, x in enumerate((1, None, [], {}, "é", "=", "A", ""))],
    "certificates that are none": [{"kid": "x", "kty": "EC", "crv": "P-256", **POINT, "x5c": [None, 7, "MII"], "x5t": []}],
}  # fmt: skip


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
async def test_f1_junk_beside_a_good_key_leaves_it_working(arena: Arena, junk: list[Any]) -> None:
    async with publishing(arena, *junk) as failure:
        assert failure is None
        assert await outcomes(arena, arena.mint.token()) == {GOOD}


@pytest.mark.parametrize("junk", [*JUNK.values(), []], ids=[*JUNK, "no keys"])
async def test_f1_set_without_a_usable_key_never_replaces_a_good_one(arena: Arena, junk: list[Any]) -> None:
    async with publishing(arena, *(entry for entry in junk if "f83O" not in json.dumps(entry)), alone=True) as failure:
        assert failure == "NoUsableSigningKeys"
        assert await outcomes(arena, arena.mint.token()) == {GOOD}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_f1_junk_is_never_stored_nor_breaks_the_storing(junk: list[Any]) -> None:
    good = Key("f1")
    document = json.dumps({"keys": [*junk, good.jwk()]}).encode()
    keys = parse_key_set(document)
    assert good.id in keys.keys
    assert set(parse_key_set(keys.compact).keys) == set(keys.keys)


async def test_f2_kid_that_two_signature_keys_bear_verifies_nothing(arena: Arena) -> None:
    first, second = Key("f2-first", kid="f2"), Key("f2-second", kid="f2")
    for pair in ((first, second), (second, first), (first, second, first)):
        async with publishing(arena, *(key.jwk() for key in pair)):
            for key in (first, second):
                assert await outcomes(arena, signed_by(arena, key)) == {UNKNOWN}
            assert await outcomes(arena, arena.mint.token()) == {GOOD}


async def test_f2_same_key_twice_is_one_key(arena: Arena) -> None:
    """F2, A3"""
    key, other = Key("f2-first", kid="f2"), Key("f2-second", kid="f2")
    async with publishing(arena, key.jwk(), key.jwk(), key.jwk(alg="PS256")):
        assert await outcomes(arena, signed_by(arena, key)) == {GOOD}
        assert await outcomes(arena, signed_by(arena, other)) == {Outcome(401, "invalid_token", "bad_signature")}
        assert await outcomes(arena, arena.mint.token()) == {GOOD}


async def test_f2_encryption_key_of_the_same_kid_is_passed_over(arena: Arena) -> None:
    """F2: Keycloak publishes both uses."""
    signing, encryption = Key("f2-sig", kid="f2e"), Key("f2-enc", kid="f2e")
    async with publishing(arena, encryption.jwk(use="enc", alg="RSA-OAEP"), signing.jwk()):
        assert await outcomes(arena, signed_by(arena, signing)) == {GOOD}
        assert await outcomes(arena, signed_by(arena, encryption)) == {Outcome(401, "invalid_token", "bad_signature")}


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
async def test_f3_symmetric_key_in_the_set_verifies_nothing(arena: Arena, algorithm: str) -> None:
    secret = b"0123456789abcdef0123456789abcdef"
    async with publishing(arena, {"kty": "oct", "kid": "f3", "k": b64(secret), "alg": algorithm, "use": "sig"}):
        raw = arena.mint.token(
            header={"alg": "HS256", "kid": "f3"},
            sign=lambda data: signature_of(data, algorithm="HS256", private=secret),
        )
        assert await outcomes(arena, raw) == {Outcome(401, "invalid_token", "algorithm_refused")}
        assert await outcomes(arena, arena.mint.token()) == {GOOD}


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
async def test_f4_key_whose_private_part_is_published_verifies_nothing(arena: Arena, member: str) -> None:
    """F4: everybody who can read the set could sign with it."""
    leaked = Key("f4")
    async with publishing(arena, leaked.jwk(**{member: "AAAA"})):
        assert await outcomes(arena, signed_by(arena, leaked)) == {UNKNOWN}
        assert await outcomes(arena, arena.mint.token()) == {GOOD}


def _number(value: int) -> str:
    return b64(value.to_bytes(max(1, (value.bit_length() + 7) // 8)))


ROCA = json.loads((Path(__file__).parent / "data" / "roca-modulus.json").read_text("utf-8"))["n"]

WEAK: dict[str, dict[str, Any]] = {
    "1024 bits": {"n": _number(2**1023 + 1)},
    "512 bits": {"n": _number(2**511 + 1)},
    "2047 bits": {"n": _number(2**2046 + 1)},
    "20,000 bits": {"n": _number(2**20_000 + 1)},
    "even modulus": {"n": _number(2**2047)},
    "modulus of 0": {"n": "AA"},
    "exponent 0": {"e": "AA"},
    "exponent 1": {"e": "AQ"},
    "exponent 2": {"e": "Ag"},
    "even exponent": {"e": _number(65536)},
    "exponent of 65 bits": {"e": _number(2**64 + 1)},
    "exponent of 2,047 bits": {"e": _number(2**2046 + 1)},
    "exponent longer than the modulus": {"e": _number(2**3000 + 1)},
    "ROCA": {"n": ROCA},
}


@pytest.mark.parametrize("weak", WEAK.values(), ids=WEAK)
async def test_f5_weak_rsa_key_is_left_out(arena: Arena, weak: dict[str, Any]) -> None:
    async with publishing(arena, Key("f5").jwk(**weak)):
        assert await outcomes(arena, signed_by(arena, Key("f5"))) == {UNKNOWN}
        assert await outcomes(arena, arena.mint.token()) == {GOOD}


@pytest.mark.parametrize("bits", [1024, 2040])
async def test_f5_signature_of_a_short_key_is_refused_though_it_is_right(arena: Arena, bits: int) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    numbers = private.public_key().public_numbers()
    async with publishing(arena, Key("f5").jwk(kid="short", n=_number(numbers.n), e=_number(numbers.e))):
        raw = arena.mint.token(
            header={"kid": "short"}, sign=lambda data: signature_of(data, algorithm="RS256", private=private)
        )
        assert await outcomes(arena, raw) == {UNKNOWN}


CURVES: dict[str, dict[str, Any]] = {
    "point off the curve": {"kty": "EC", "crv": "P-256", "x": b64(b"\x01" * 32), "y": b64(b"\x01" * 32), "alg": "ES256"},
    "infinity": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "alg": "ES256"},
    "zeros": {"kty": "EC", "crv": "P-256", "x": b64(bytes(32)), "y": b64(bytes(32)), "alg": "ES256"},
    "coordinates too long": {"kty": "EC", "crv": "P-256", "x": b64(bytes(1) + b"\x01" * 32), "y": POINT["y"]},
    "curve of another algorithm": {"kty": "EC", "crv": "P-384", **POINT, "alg": "ES384"},
    "curve that is not on the list": {"kty": "EC", "crv": "secp256k1", **POINT, "alg": "ES256K"},
    "alg of another curve": {"kty": "EC", "crv": "P-256", **POINT, "alg": "ES384"},
    "alg of RSA": {"kty": "EC", "crv": "P-256", **POINT, "alg": "RS256"},
    "X25519 for signatures": {"kty": "OKP", "crv": "X25519", "x": b64(b"\x09" * 32), "use": "sig", "alg": "EdDSA"},
    "Ed25519 that is too short": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "alg": "EdDSA"},
}  # fmt: skip


@pytest.mark.parametrize("entry", CURVES.values(), ids=CURVES)
async def test_f6_odd_point_is_left_out(arena: Arena, entry: dict[str, Any]) -> None:
    async with publishing(arena, {"kid": "f6", **entry}, name="curves") as failure:
        assert failure is None
        keys = ring_of(arena, arena.client.server.realm("curves")).state.keys
        assert keys is not None
        assert "f6" not in keys.keys
        assert "f6" in [key.kid for key in keys.skipped]
        assert await outcomes(arena, arena.mint.token("curves", algorithm="ES256")) == {GOOD}


USES: dict[str, dict[str, Any]] = {
    "use enc": {"use": "enc"},
    "key_ops encrypt": {"key_ops": ["encrypt"]},
    "key_ops sign": {"key_ops": ["sign"]},
    "key_ops empty": {"key_ops": []},
    "key_ops as a text": {"key_ops": "verify"},
    "alg RSA-OAEP": {"alg": "RSA-OAEP"},
    "alg HS256": {"alg": "HS256"},
    "alg none": {"alg": "none"},
    "alg RS512": {"alg": "RS512"},
    "use in another case": {"use": "SIG"},
}


@pytest.mark.parametrize("change", USES.values(), ids=USES)
async def test_f7_key_for_another_use_verifies_nothing(arena: Arena, change: dict[str, Any]) -> None:
    key = Key("f7")
    async with publishing(arena, key.jwk()):
        assert await outcomes(arena, signed_by(arena, key)) == {GOOD}
    async with publishing(arena, key.jwk(**change)):
        assert await outcomes(arena, signed_by(arena, key)) == {UNKNOWN}


async def test_f8_token_of_a_key_that_left_the_set_is_refused_after_the_next_fetch(arena: Arena) -> None:
    key = Key("f8")
    raw = signed_by(arena, key)
    async with publishing(arena, key.jwk()):
        assert await outcomes(arena, raw) == {GOOD}
    assert await outcomes(arena, raw) == {UNKNOWN}


async def test_f9_f10_new_key_and_new_bytes_under_an_old_kid_count_after_the_next_fetch(arena: Arena) -> None:
    before, after = Key("f10-before", kid="f10"), Key("f10-after", kid="f10")
    old, new = signed_by(arena, before), signed_by(arena, after)
    async with publishing(arena, before.jwk()):
        assert await outcomes(arena, old) == {GOOD}
    async with publishing(arena, after.jwk()):
        assert await outcomes(arena, new) == {GOOD}
        assert await outcomes(arena, old) == {Outcome(401, "invalid_token", "bad_signature")}


async def test_f10_key_that_is_replaced_under_its_kid_ends_cached_tokens_at_once(arena: Arena) -> None:
    """F10: without a fetch in which the kid was absent, the replaced key must still end what it had verified."""
    before, after = Key("f10-before", kid="f10"), Key("f10-after", kid="f10")
    raw = signed_by(arena, before)
    realm = arena.client.server.realm("acme")
    async with publishing(arena, before.jwk()):
        assert await outcomes(arena, raw) == {GOOD}
        realm.faults.extra_keys = [after.jwk()]
        assert await fetched_anew(ring_of(arena, realm)) is None
        assert await outcomes(arena, raw) == {Outcome(401, "invalid_token", "bad_signature")}


MODERN: dict[str, dict[str, Any]] = {
    "ML-DSA": {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
    "Ed448": {"kty": "OKP", "crv": "Ed448", "x": b64(b"\x01" * 57), "alg": "Ed448"},
    "unknown kty": {"kty": "LATTICE", "alg": "L1"},
    "unknown alg": {"kty": "RSA", "alg": "RS2048", "n": "AQAB", "e": "AQAB"},
    "no kty": {"alg": "RS256"},
}


@pytest.mark.parametrize("entry", MODERN.values(), ids=MODERN)
async def test_f11_keys_of_kinds_that_we_do_not_know_are_passed_over(arena: Arena, entry: dict[str, Any]) -> None:
    async with publishing(arena, {"kid": "f11", **entry}) as failure:
        assert failure is None
        assert await outcomes(arena, arena.mint.token()) == {GOOD}


@pytest.mark.parametrize("document", [b"null", b"[]", b"7", b'"keys"', b'{"keys": {"0": {}}}', b'{"KEYS": []}', jwks()])
def test_f1_document_that_is_no_set_is_refused_as_a_whole(document: bytes) -> None:
    with pytest.raises(BrokenKeySet):
        parse_key_set(document)
