"""Keys and tokens made by hand, for tests of the verifier that want no realm at all."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms


class _Drop:
    def __repr__(self) -> str:
        return "DROP"


DROP = _Drop()  # as a claim's value: leave the claim out


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signature_of(data: bytes, *, algorithm: str, private: Any) -> bytes:
    """A JWS signature by any private key, also where the key does not fit the realm."""
    return get_default_algorithms()[algorithm].sign(data, private)


@cache
def _private(name: str, kind: str) -> Any:
    if kind == "RSA":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1()) if kind == "EC" else ed25519.Ed25519PrivateKey.generate()


_KINDS = {"ES256": "EC", "EdDSA": "OKP"}
_JWK: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}


@dataclass(frozen=True)
class Key:
    """A signing key; keys of one `name` and algorithm family are the same key in the whole test run."""

    name: str
    kid: str = ""
    algorithm: str = "RS256"

    @property
    def private(self) -> Any:
        return _private(self.name, _KINDS.get(self.algorithm, "RSA"))

    @property
    def id(self) -> str:
        return self.kid or f"kid-{self.name}"

    def jwk(self, **changes: Any) -> dict[str, Any]:
        kind = _KINDS.get(self.algorithm, "RSA")
        public = json.loads(_JWK[kind].to_jwk(self.private.public_key()))
        public.pop("key_ops", None)
        entry = {"kid": self.id, "alg": self.algorithm, "use": "sig", **public, **changes}
        return {name: value for name, value in entry.items() if value is not DROP}

    def sign(self, data: bytes) -> bytes:
        return signature_of(data, algorithm=self.algorithm, private=self.private)

    def token(self, claims: Any, **header: Any) -> str:
        """Sign any payload: a dict, or bytes as they are."""
        members = {"alg": self.algorithm, "typ": "JWT", "kid": self.id, **header}
        members = {name: value for name, value in members.items() if value is not DROP}
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        text = f"{b64(json.dumps(members).encode())}.{b64(payload)}"
        return f"{text}.{b64(self.sign(text.encode()))}"


def jwks(*keys: Key | dict[str, Any]) -> bytes:
    return json.dumps({"keys": [key.jwk() if isinstance(key, Key) else key for key in keys]}).encode()


@dataclass
class Clock:
    """Both clocks, moved by hand."""

    now: float = 1_800_000_000.0
    steady: float = 1_000.0

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.steady += seconds


@dataclass
class FakeRealm:
    """What a realm would answer, by hand: a `KeySource` for one or more issuers."""

    answers: dict[str, bytes] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    fetches: dict[str, int] = field(default_factory=dict)
    not_before: dict[str, int] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    gates: dict[str, Any] = field(default_factory=dict)


def claims_for(issuer: str, *, now: float, **changes: Any) -> dict[str, Any]:
    """The claims of a Keycloak access token; a value of DROP leaves one out."""
    claims = {
        "exp": int(now) + 300,
        "iat": int(now),
        "jti": "onrtro:6f47b804-e22d-0d12-9a4e-9c3d0e623dc1",
        "iss": issuer,
        "aud": ["tenants-api", "account"],
        "sub": "65ec3e18-558a-486f-b14a-ecc7ba1e2dfa",
        "typ": "Bearer",
        "azp": "web",
        "sid": "Kks0sQl4orHzUn3jHKiTm5R9",
        "acr": "1",
        "realm_access": {"roles": ["offline_access", "tenant-user"]},
        "resource_access": {"tenants-api": {"roles": ["editor"]}, "account": {"roles": ["view-profile"]}},
        "scope": "openid profile email",
        "email_verified": True,
        "name": "Alice Doe",
        "preferred_username": "alice",
        "email": "alice@acme.example",
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not DROP}
