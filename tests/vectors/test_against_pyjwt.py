"""The verifier against PyJWT: whatever is accepted here, PyJWT accepts; what only PyJWT accepts has its reason.

PyJWT is asked as its documentation advises: key by kid, one algorithm, issuer, audience, required claims.
"""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import jwt
import pytest

from tests.support.tokens import DROP, Key, jwks
from tests.support.verifying import Stage
from tests.vectors import mutations

DIFFERENCES = {
    "header_refused": "header members that change what is signed, or offer keys, are refused whether used or not",
    "header_type": "a logout token or a DPoP proof is no access token (RFC 8725 section 3.11)",
    "header_too_long": "a header has at most 2048 characters",
    "token_too_large": "a token has at most 8192 characters",
    "no_kid": "a token names its key; guessing is how one key comes to serve for another",
    "not_base64url": "padding is taken since PyJWT 2.15.1; one token would have several texts",
    "not_strict_json": "duplicate members, NaN, byte order marks, UTF-16: two readers would read two tokens",
    "not_an_access_token": "Keycloak signs ID, refresh and logout tokens with the same keys",
    "sender_constrained": "a token bound to a key is no bearer token (RFC 9449 section 7.2)",
    "no_subject": "a subject is printable text of 1 to 255 characters",
    "wrong_authorized_party": "azp is text",
    "no_exp": "a date is a number: no text, no boolean",
    "no_iat": "a date is a number above zero",
    "no_nbf": "a date is a number, zero at least",
    "lives_too_long": "a token lives a day at most, else it outlives every suspension",
}


def pyjwt_accepts(raw: str, *, key: Key, issuer: str) -> bool:
    try:
        jwt.decode(
            raw,
            jwt.PyJWK(key.jwk(), algorithm=key.algorithm),
            algorithms=[key.algorithm],
            issuer=issuer,
            audience="tenants-api",
            leeway=30,
            options={"require": ["exp", "iat", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
        )
        kid = jwt.get_unverified_header(raw).get("kid", key.id)
    except (jwt.PyJWTError, ValueError, RecursionError):
        return False
    return bool(kid == key.id)


def hostile(key: Key, claims: dict[str, Any]) -> itertools.chain[str]:
    """Tokens that a lenient reader takes: everything signed by the right key, and respelled good ones."""
    good, now = key.token(claims), int(claims["iat"])
    payload = json.dumps(claims).encode()
    changes: list[dict[str, Any]] = [
        {"typ": kind} for kind in ("ID", "Refresh", "Offline", "Logout", DROP)
    ] + [
        {"cnf": {"jkt": "x"}}, {"sub": ""}, {"sub": "a\0b"}, {"sub": "x" * 300}, {"azp": ["web"]}, {"aud": [*map(str, range(100)), "tenants-api"]},
        {"exp": str(now + 300)}, {"exp": now + 300.5}, {"nbf": 0}, {"exp": 10**12}, {"exp": now + 90_000}, {"iat": True}, {"iat": now - 0.5}, {"iat": DROP},
        {"nbf": True}, {"nbf": "1"}, {"exp": now - 31}, {"iat": now + 29, "exp": now + 300}, {"nbf": now + 29}, {"aud": "tenants-api"},
    ]  # fmt: skip
    texts = (
        good + "=" * (-len(good.rpartition(".")[2]) % 4), good + "==", good,
        key.token(payload[:-1] + b', "sub": "mallory"}'), key.token(payload[:-1] + b', "x": NaN}'),
        key.token(b"\xef\xbb\xbf" + payload), key.token(payload.decode().encode("utf-16")), key.token(claims, x="a" * 2000),
        key.token({**claims, "x": "a" * 7000}), key.token(claims, kid=DROP), key.token(claims, typ="dpop+jwt"),
    )  # fmt: skip
    return itertools.chain(
        texts,
        (key.token({name: one for name, one in {**claims, **change}.items() if one is not DROP}) for change in changes),
        (raw for _, _, raw in mutations.typed_claims(key, claims)),
        (raw for _, _, raw in mutations.header_pairs(key, claims)),
        (raw for _, raw in mutations.doubled_headers(key, claims)),
        itertools.islice(mutations.single_bytes(good), 0, None, 11),
    )


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_what_is_accepted_here_is_accepted_by_pyjwt_and_every_other_difference_is_named(algorithm: str) -> None:
    stage = Stage()
    stage.clock.now = float(int(time.time()))
    key = Key(f"differential-{algorithm}", algorithm=algorithm)
    stage.world.answers[stage.issuer("acme")] = jwks(key)
    stage.add("acme", algorithms=frozenset({algorithm}))
    both, differences, wrong = 0, set(), []
    for raw in hostile(key, stage.claims()):
        stage.clock.steady += 2
        found, theirs = await stage.outcome(raw), pyjwt_accepts(raw, key=key, issuer=stage.issuer("acme"))
        both += found == "accepted:acme" and theirs
        if found == "accepted:acme" and not theirs:
            wrong.append(raw)
        if theirs and found != "accepted:acme":
            differences.add(found.removeprefix("invalid_token:"))
    assert wrong == []
    assert both > 100
    assert differences == set(DIFFERENCES)
