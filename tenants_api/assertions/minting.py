"""Mints assertions and manages their signing keys.

An assertion (RFC 7519, explicitly typed by RFC 8725 section 3.11) is valid for 60 s and has tenant, subject, mapped
roles and original issuer of the caller. It has no `act` and nothing else of the caller's own token.
"""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from tenants_api.assertions.storage import KeyStorage, SealedKey
from tenants_api.clocks import Clocks
from tenants_api.database.errors import StorageError, cause_of
from tenants_api.encoding.sealing import Seal, Unreadable
from tenants_api.ids import new_id
from tenants_api.settings import Settings
from tenants_api.tokens.principal import Principal

ALGORITHM = "ES256"
JWKS_MAX_AGE_SECONDS = 300  # for which a client may cache the key set
KEY_POLL_SECONDS = 60.0  # between two reads of the stored keys
KEY_AHEAD_SECONDS = 900  # for which a key is published before it signs
KEY_RETENTION_SECONDS = 900  # for which a key stays published after its last signature


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A P-256 key (RFC 7518 section 3.4) that signs from `signs_from` (epoch seconds) until the next one does."""

    sequence: int
    signs_from: int
    private: ec.EllipticCurvePrivateKey
    kid: str
    jwk: dict[str, Any]


def new_key(sequence: int, *, signs_from: int) -> SigningKey:
    return _key(sequence, signs_from=signs_from, private=ec.generate_private_key(ec.SECP256R1()))


def to_sealed(key: SigningKey, *, seal: Seal) -> bytes:
    """The sealed private key, for the database."""
    plain = key.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return seal.close(plain, context=_context(key.sequence, signs_from=key.signs_from))


def from_sealed(sealed: bytes, *, sequence: int, signs_from: int, seal: Seal) -> SigningKey:
    """The key of a stored row. Raises Unreadable."""
    private = load_der_private_key(seal.open(sealed, context=_context(sequence, signs_from=signs_from)), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise Unreadable
    return _key(sequence, signs_from=signs_from, private=private)


def signing(keys: Sequence[SigningKey], *, now: float) -> SigningKey | None:
    """The newest key whose `signs_from` has passed; without a successor it never expires."""
    return max((key for key in keys if key.signs_from <= now), key=lambda key: key.sequence, default=None)


def published(keys: Sequence[SigningKey], *, now: float) -> list[SigningKey]:
    """The keys that clients need: the signing one, future ones, and those whose assertions may still be valid."""
    current = signing(keys, now=now)
    return [key for key in keys if current is None or key.sequence >= current.sequence or _until(key, keys) > now]


def next_key(keys: Sequence[SigningKey], *, now: float, lifetime: int) -> SigningKey | None:
    """A new key when it is time for one. The first one signs at once: no client has cached a key set."""
    newest = max(keys, key=lambda key: key.sequence, default=None)
    if newest is None:
        return new_key(1, signs_from=int(now))
    if newest.signs_from + lifetime - KEY_AHEAD_SECONDS > now:
        return None
    return new_key(newest.sequence + 1, signs_from=max(newest.signs_from + lifetime, int(now) + KEY_AHEAD_SECONDS))


def _until(key: SigningKey, keys: Sequence[SigningKey]) -> float:
    """When the last assertion of an outdated key has expired, with a margin for clocks and slow replicas."""
    return min(other.signs_from for other in keys if other.sequence > key.sequence) + KEY_RETENTION_SECONDS


def _key(sequence: int, *, signs_from: int, private: ec.EllipticCurvePrivateKey) -> SigningKey:
    numbers = private.public_key().public_numbers()
    public = {"crv": "P-256", "kty": "EC", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}
    # RFC 7638: the kid is the thumbprint.
    kid = _b64(sha256(json.dumps(public, separators=(",", ":"), sort_keys=True).encode()).digest())
    return SigningKey(sequence, signs_from, private, kid, {**public, "alg": ALGORITHM, "kid": kid, "use": "sig"})


def _context(sequence: int, *, signs_from: int) -> bytes:
    return f"{sequence}:{signs_from}".encode()


def _coordinate(value: int) -> str:
    return _b64(value.to_bytes(32, "big"))


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


ASSERTION_TYPE = "tenant-assertion+jwt"
ASSERTION_LIFETIME_SECONDS = 60
log = structlog.get_logger("tenants_api.assertions")


@dataclass(frozen=True, slots=True)
class AssertionPolicy:
    """Issuer, accepted audiences (the first is the default), and times in seconds.

    `leeway` is that of the verifier: an assertion must not outlive the caller's token by more.
    """

    issuer: str
    audiences: tuple[str, ...]
    key_lifetime: int = 86_400
    leeway: int = 30


class Assertions:
    """Mints with the stored keys; all replicas on one database share them."""

    def __init__(self, storage: KeyStorage, *, policy: AssertionPolicy, seal: Seal, clocks: Clocks) -> None:
        self._storage, self._policy, self._seal, self._clocks = storage, policy, seal, clocks
        self._keys: list[SigningKey] = []

    def mint(self, principal: Principal, *, audience: str | None = None) -> str:
        """A signed assertion about the caller: no I/O, about 0.1 ms.

        Raises:
            ValueError: the audience is not one of the policy's, or the caller's token has expired meanwhile.
            LookupError: no key was loaded (`load` or `renew`).
        """
        audience = self._policy.audiences[0] if audience is None else audience
        if audience not in self._policy.audiences:
            raise ValueError(f"{audience!r} is not one of {', '.join(self._policy.audiences)}")
        now = self._clocks.wall()
        key = signing(self._keys, now=now)
        if key is None:
            raise LookupError("no signing key is loaded")
        claims = self._claims(principal, audience=audience, now=int(now))
        return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"typ": ASSERTION_TYPE, "kid": key.kid})

    def jwks(self) -> dict[str, Any]:
        """The key set (RFC 7517 section 5) of `/.well-known/jwks.json`."""
        return {"keys": [key.jwk for key in published(self._keys, now=self._clocks.wall())]}

    async def load(self) -> None:
        """Read the stored keys.

        Raises:
            Unreadable: one was sealed under another secret.
            StorageError: the database cannot be read.
        """
        rows = await self._storage.assertion_keys()
        self._keys = [
            from_sealed(row.sealed, sequence=row.sequence, signs_from=row.signs_from, seal=self._seal) for row in rows
        ]

    async def renew(self) -> None:
        """Read the stored keys, and make the next one when it is time. Raises as `load`."""
        await self.load()
        now = self._clocks.wall()
        made = next_key(self._keys, now=now, lifetime=self._policy.key_lifetime)
        if made is None:
            return
        living = {key.sequence for key in published(self._keys, now=now)}
        outdated = [key.sequence for key in self._keys if key.sequence not in living]
        row = SealedKey(made.sequence, made.signs_from, to_sealed(made, seal=self._seal))
        if await self._storage.add_assertion_key(row, outdated=outdated):
            log.info("assertion_key_made", kid=made.kid, signs_from=made.signs_from)
        await self.load()

    async def run(self) -> None:
        """Renew for ever; after a failure the loaded keys stay in use."""
        while True:
            await asyncio.sleep(KEY_POLL_SECONDS)
            try:
                await self.renew()
            except Unreadable:
                log.error("assertion_keys_unreadable", hint="give all replicas the same TENANTS_ASSERTION_SECRET")
            except (StorageError, TimeoutError) as error:
                log.warning("assertion_keys_not_read", error=cause_of(error))
            except Exception as error:
                # A bug must not end this loop: this replica would then sign with a key that is no longer published.
                log.exception("assertion_keys_not_renewed", error=type(error).__name__)

    def _claims(self, principal: Principal, *, audience: str, now: int) -> dict[str, Any]:
        expires = min(now + ASSERTION_LIFETIME_SECONDS, principal.expires_at + self._policy.leeway)
        if expires <= now:
            raise ValueError("the caller's token has expired")
        return {
            "iss": self._policy.issuer,
            "aud": audience,
            "sub": principal.subject,
            "tenant_id": str(principal.tenant.id),
            "tenant_slug": principal.tenant.slug,
            "roles": sorted(principal.roles),
            "original_issuer": principal.issuer,
            "iat": now,
            "exp": expires,
            "jti": str(new_id()),
        }


def build_assertions(settings: Settings, *, storage: KeyStorage, clocks: Clocks) -> Assertions | None:
    """Compose `Assertions` without I/O (`load` reads the keys); None unless they are enabled."""
    issuer = settings.assertion_issuer or settings.public_url
    if settings.assertion_secret is None or issuer is None:
        return None
    secrets = [one.strip() for one in settings.assertion_secret.get_secret_value().split(",")]
    policy = AssertionPolicy(
        issuer, settings.assertion_audiences, key_lifetime=settings.assertion_key_lifetime, leeway=settings.leeway
    )
    return Assertions(storage, policy=policy, seal=Seal(secrets), clocks=clocks)
