"""Everything near a good token: single bytes flipped, put in and left out, claims of each JSON type, pairs of headers.

Generators only; what must come of it is with the tests.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from tests.support.tokens import DROP, Key, b64

INSERTED = "A_=. \n\0\x7f\xe9"
JSON_VALUES: tuple[Any, ...] = (
    DROP, None, True, False, 0, 1, -1, 2**53, 10**30, 1.5, -0.0, 1e300, "", "x", "0", "null", [], ["x"], [None], [[]], {}, {"a": 1},
)  # fmt: skip
# Two of these at a time; those in HARMLESS are accepted alone and in pairs, every other one refuses the token.
HARMLESS: dict[str, tuple[str, Any]] = {
    "typ at+jwt": ("typ", "at+jwt"),
    "no typ": ("typ", DROP),
    "x5t": ("x5t", "AAAA"),
    "unknown parameter": ("foo", {"bar": 1}),
    "claim in the header": ("iss", "https://evil.example"),
}
HARMFUL: dict[str, tuple[str, Any]] = {
    "alg none": ("alg", "none"),
    "alg HS256": ("alg", "HS256"),
    "alg ES256": ("alg", "ES256"),
    "alg list": ("alg", ["RS256"]),
    "no alg": ("alg", DROP),
    "other kid": ("kid", "other"),
    "no kid": ("kid", DROP),
    "kid list": ("kid", ["x"]),
    "typ logout": ("typ", "logout+jwt"),
    "typ number": ("typ", 7),
    "crit": ("crit", ["exp"]),
    "b64": ("b64", False),
    "jku": ("jku", "https://evil.example/jwks"),
    "jwk": ("jwk", {"kty": "oct", "k": "AA"}),
    "x5u": ("x5u", "https://evil.example/x5u"),
    "x5c": ("x5c", ["MII"]),
    "cty": ("cty", "JWT"),
    "zip": ("zip", "DEF"),
    "enc": ("enc", "A256GCM"),
}


def flips(raw: str) -> Iterator[str]:
    """Each bit of each byte flipped."""
    for place, character in enumerate(raw):
        for bit in range(8):
            yield raw[:place] + chr(ord(character) ^ (1 << bit)) + raw[place + 1 :]


def insertions(raw: str) -> Iterator[str]:
    """Each of some characters, and each character once more, at each place."""
    for place in range(len(raw) + 1):
        for character in INSERTED + raw[place : place + 1]:
            yield raw[:place] + character + raw[place:]


def deletions(raw: str) -> Iterator[str]:
    """Each byte left out."""
    for place in range(len(raw)):
        yield raw[:place] + raw[place + 1 :]


def single_bytes(raw: str) -> Iterator[str]:
    """All of these; every one differs from the token itself."""
    return itertools.chain(flips(raw), insertions(raw), deletions(raw))


def typed_claims(key: Key, claims: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Each claim set to each JSON value, signed by the right key: name, value, token."""
    for name in claims:
        for value in JSON_VALUES:
            changed = {**claims, name: value}
            yield name, value, key.token({claim: one for claim, one in changed.items() if one is not DROP})


def header_pairs(key: Key, claims: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every pair of header members, signed by the right key over what is written: both names, token."""
    payload = json.dumps(claims).encode()
    members = {**HARMLESS, **HARMFUL}
    for (first, (name, value)), (second, (other, thing)) in itertools.combinations(members.items(), 2):
        if name != other:
            yield first, second, key.token(payload, **{name: value, other: thing})


def doubled_headers(key: Key, claims: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each header member written twice, which is no JSON object that two readers read alike: name, token."""
    base = json.dumps({"alg": key.algorithm, "typ": "JWT", "kid": key.id})
    for label, (name, value) in {**HARMLESS, **HARMFUL}.items():
        if value is not DROP:
            twice = ", ".join([f"{json.dumps(name)}: {json.dumps(value)}"] * 2)
            text = f"{b64((base[:-1] + ', ' + twice + '}').encode())}.{b64(json.dumps(claims).encode())}"
            yield label, f"{text}.{b64(key.sign(text.encode()))}"
