"""The keys of a development realm, generated on first use; they sign and decode tokens."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from threading import RLock
from types import EllipsisType
from typing import Any, Final
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

from tenants_api.devkit.realms.certificates import base64url, certificate_members

REMOVE: Final = ...
"""As a value in `mint(claims=…)` or `mint(header=…)`: leave the member out. `None` stays a JSON null."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class DevKey:
    """A signature key and its public entry in the key set."""

    kid: str
    algorithm: str
    private: PrivateKey
    entry: Mapping[str, Any]


class SigningKeys:
    """The keys of a realm: the newest of an algorithm signs, every listed one verifies.

    Also has the HMAC secret of refresh tokens, whose kid is a UUID and never in the set, as in Keycloak. Two realms may
    share one object, to test that keys are valid only for their issuer. `make_rsa` makes RSA keys; tests with hundreds
    of realms take them from a pool.
    """

    def __init__(
        self,
        *,
        subject: str = "dev",
        algorithm: str = "RS256",
        make_rsa: Callable[[], rsa.RSAPrivateKey] | None = None,
    ) -> None:
        self._subject = subject
        self._make_rsa = make_rsa or generate_rsa
        self._algorithm = algorithm
        self._listed: tuple[DevKey, ...] = ()  # newest first; replaced, never mutated, so that readers need no lock
        self._writing = RLock()
        self._encryption: dict[str, Any] | None = None
        self._secret = secrets.token_bytes(64)
        self.secret_kid = str(uuid4())

    @property
    def kid(self) -> str:
        """The kid of the next access token."""
        return self.signing().kid

    @property
    def listed(self) -> tuple[DevKey, ...]:
        """The signature keys in the set, newest first."""
        return self._listed

    def signing(self, algorithm: str | None = None) -> DevKey:
        """The newest key of the algorithm; generated on first use, as in Keycloak."""
        name = algorithm or self._algorithm
        return self._find(name) or self._create_once(name)

    def rotate(self, *, algorithm: str = "RS256", keep_old: bool = True) -> str:
        """Sign with a new key; its kid. Old keys stay listed (passive) unless `keep_old` is False."""
        self.signing()  # generates the old key, if nothing was signed yet
        with self._writing:
            fresh = generate(algorithm, subject=self._subject, make_rsa=self._make_rsa)
            self._listed = (fresh, *(self._listed if keep_old else ()))
            self._algorithm = algorithm
        return fresh.kid

    def withdraw(self, kid: str) -> None:
        """Remove a key from the set (disabled or deleted in Keycloak). Raises KeyError for an unknown kid."""
        with self._writing:
            remaining = tuple(key for key in self._listed if key.kid != kid)
            if len(remaining) == len(self._listed):
                raise KeyError(kid)
            self._listed = remaining

    def public_set(self) -> list[dict[str, Any]]:
        """The entries of the JWKS: the RSA-OAEP encryption key first, then the signature keys, newest first."""
        self.signing()
        if self._encryption is None:
            self._encryption = dict(_entry(_encryption_key(), algorithm="RSA-OAEP", subject=self._subject), use="enc")
        return [dict(self._encryption), *(dict(key.entry) for key in self._listed)]

    def encode(
        self,
        claims: Mapping[str, Any],
        *,
        algorithm: str | None = None,
        typ: str = "JWT",
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """A compact JWS. `header` overrides members of the header, never the algorithm of the signature."""
        name = algorithm or self._algorithm
        kid, key = self._kid_and_key(name)
        head = {"alg": name, "typ": typ, "kid": kid} | dict(header or {})
        signed = f"{_segment(head)}.{_segment(claims)}"
        signature = get_default_algorithms()[name].sign(signed.encode(), key)
        return f"{signed}.{base64url(signature)}"

    def decode(self, token: str) -> dict[str, Any] | None:
        """The claims if a listed key or the HMAC secret signed them, else None; checks no claim."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            if kid == self.secret_kid:
                return _decode(token, key=self._secret, algorithms=["HS256", "HS384", "HS512"])
            found = next((key for key in self._listed if key.kid == kid), None)
            if found is None:
                return None
            return _decode(token, key=found.private.public_key(), algorithms=[found.algorithm])
        except jwt.InvalidTokenError:
            return None

    def _kid_and_key(self, algorithm: str) -> tuple[str, Any]:
        if algorithm == "none":
            return self.kid, None
        if algorithm.startswith("HS"):
            return self.secret_kid, self._secret
        key = self.signing(algorithm)
        return key.kid, key.private

    def _find(self, algorithm: str) -> DevKey | None:
        return next((key for key in self._listed if key.algorithm == algorithm), None)

    def _create_once(self, algorithm: str) -> DevKey:
        with self._writing:
            found = self._find(algorithm)
            if found is None:
                found = generate(algorithm, subject=self._subject, make_rsa=self._make_rsa)
                self._listed = (*self._listed, found)
            return found


def generate_rsa() -> rsa.RSAPrivateKey:
    """A key of 2048 bits, as in Keycloak; takes 50 to 500 ms."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def generate(algorithm: str, *, subject: str, make_rsa: Callable[[], rsa.RSAPrivateKey] = generate_rsa) -> DevKey:
    """A new key for a JWS algorithm. Raises ValueError for an algorithm without public keys."""
    make: Callable[[], PrivateKey] | None = make_rsa if algorithm in _RSA else _MAKERS.get(algorithm)
    if make is None:
        known = ", ".join((*_RSA, *_MAKERS))
        raise ValueError(f"no keys for algorithm {algorithm!r}; expected one of {known}")
    private = make()
    entry = _entry(private, algorithm=algorithm, subject=subject)
    return DevKey(kid=entry["kid"], algorithm=algorithm, private=private, entry=entry)


_RSA: Final = tuple(f"{family}{bits}" for family in ("RS", "PS") for bits in (256, 384, 512))
_MAKERS: Final[dict[str, Callable[[], PrivateKey]]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@cache
def _encryption_key() -> rsa.RSAPrivateKey:
    """One for the process: nothing is encrypted with it, and its generation for each realm would slow tests."""
    return generate_rsa()


def _entry(private: PrivateKey, *, algorithm: str, subject: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"kid": _kid(private), "kty": "", "alg": algorithm, "use": "sig"}
    if isinstance(private, rsa.RSAPrivateKey):
        entry |= certificate_members(private, subject=subject)
    members = _public_members(private)
    return entry | {name: members[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in members}


def _public_members(private: PrivateKey) -> dict[str, Any]:
    if isinstance(private, rsa.RSAPrivateKey):
        return RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)


def _kid(private: PrivateKey) -> str:
    """base64url SHA-256 of the public key, as in Keycloak: one key in two realms has one kid."""
    return base64url(hashlib.sha256(public_der(private)).digest())


def public_der(private: PrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _segment(members: Mapping[str, Any]) -> str:
    present = {name: value for name, value in members.items() if not isinstance(value, EllipsisType)}
    return base64url(json.dumps(present, separators=(",", ":")).encode())


def _decode(token: str, *, key: Any, algorithms: list[str]) -> dict[str, Any]:
    checks = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
    options: Any = {"verify_signature": True} | {f"verify_{check}": False for check in checks}
    return jwt.decode(token, key, algorithms=algorithms, options=options)
