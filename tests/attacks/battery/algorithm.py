"""C1 to C5: algorithms that are none, a secret's, misspelled, or not those of the key or the registry row."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.attacks.battery.cases import Hostile, Mint, with_header
from tests.support.tokens import DROP, b64, signature_of


def _unsigned(alg: str, header: dict[str, Any], signature: str) -> Callable[[Mint], str]:
    def make(mint: Mint) -> str:
        head = json.dumps(mint.header(**{"alg": alg, **header})).encode()
        return f"{b64(head)}.{b64(mint.payload())}.{signature}"

    return make


def _public(mint: Mint, encoding: Encoding, form: PublicFormat) -> bytes:
    found: bytes = mint.key().private.public_key().public_bytes(encoding, form)
    return found


_SECRETS: dict[str, Callable[[Mint], bytes]] = {
    "PEM": lambda mint: _public(mint, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "PEM without its last line feed": lambda mint: _public(
        mint, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    ).rstrip(),
    "PKCS #1 PEM": lambda mint: _public(mint, Encoding.PEM, PublicFormat.PKCS1),
    "DER": lambda mint: _public(mint, Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "JWK": lambda mint: json.dumps(dict(mint.key().entry)).encode(),
    "JWKS": lambda mint: json.dumps({"keys": [dict(mint.key().entry)]}).encode(),
    "n in base64url": lambda mint: str(mint.key().entry["n"]).encode(),
    "n": lambda mint: _modulus(mint).to_bytes(256),
    "kid": lambda mint: mint.key().kid.encode(),
    "nothing": lambda mint: b"",
}


def _modulus(mint: Mint) -> int:
    private = mint.key().private
    assert isinstance(private, rsa.RSAPrivateKey)
    return private.public_key().public_numbers().n


def _hmac(name: str, bits: int) -> Callable[[Mint], str]:
    def make(mint: Mint) -> str:
        secret = _SECRETS[name](mint)
        return mint.token(header={"alg": f"HS{bits}"}, sign=lambda data: hmac.digest(secret, data, f"sha{bits}"))

    return make


def _as(realm: str, alg: str, *, key: str, signed: str) -> Callable[[Mint], str]:
    """The header says `alg`, the kid is that of the `key` algorithm's key, which signs by `signed`."""

    def make(mint: Mint) -> str:
        private = mint.key(realm, key).private
        return mint.token(
            realm,
            header={"alg": alg, "kid": mint.key(realm, key).kid},
            sign=lambda data: signature_of(data, algorithm=signed, private=private),
        )

    return make


_C1 = (
    *(
        Hostile("C1", f"{alg}, {what}", _unsigned(alg, header, signature), reason)
        for alg in ("none", "None", "NONE", "nOnE", "noNE", "none ", "")
        for what, header, signature, reason in (
            ("no signature", {}, "", "not_base64url"),
            ("some signature", {}, "AAAA", "algorithm_refused"),
            ("no kid", {"kid": DROP}, "AAAA", "no_kid"),
        )
    ),
    Hostile("C1", "RS256 without a signature", _unsigned("RS256", {}, ""), "not_base64url"),
)
_C2 = tuple(
    Hostile("C2", f"HS{bits} by the {name}", _hmac(name, bits), "algorithm_refused")
    for name in _SECRETS
    for bits in (256, 384, 512)
)
_C3 = (
    *(with_header("C3", repr(alg), {"alg": alg}, "no_algorithm") for alg in (1, None, ["RS256"], {"RS256": 1}, True, DROP, 1.5)),
    *(
        with_header("C3", repr(alg), {"alg": alg}, "algorithm_refused")
        for alg in ("", "rs256", "RS256 ", " RS256", "RS256\0", "RSA256", "ЯS256", "RS256,none", "A" * 1000, "ES256K", "ES521", "RS1")
    ),
)  # fmt: skip
_C4 = (
    *(
        Hostile("C4", f"acme: {alg} by {signed}", _as("acme", alg, key="RS256", signed=signed), "algorithm_refused")
        for alg in ("PS256", "RS384", "RS512", "ES256")
        for signed in ("RS256", alg)
        if signed != "ES256"
    ),
    *(
        Hostile("C4", f"curves: {alg} with the {key} key", _as("curves", alg, key=key, signed=signed), "unknown_key")
        for alg, key, signed in (
            ("PS256", "RS256", "PS256"), ("PS256", "RS256", "RS256"), ("RS256", "PS256", "RS256"), ("RS256", "PS256", "PS256"),
            ("ES256", "RS256", "RS256"), ("RS256", "ES256", "ES256"), ("EdDSA", "RS256", "RS256"), ("ES256", "EdDSA", "EdDSA"),
        )
    ),
)  # fmt: skip
_C5 = tuple(
    Hostile("C5", f"acme: {alg}", _as("acme", alg, key=alg, signed=alg), "algorithm_refused")
    for alg in ("ES256", "PS256", "EdDSA")
)
CASES = (*_C1, *_C2, *_C3, *_C4, *_C5)
