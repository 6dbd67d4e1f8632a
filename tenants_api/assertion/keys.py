"""Which key signs now, which ones verifiers must know, and when the next one is made. Knows no database, no clock.

    made ── published, does not sign ──> signs_from ── signs ──> signs_from of the next ── still published ──> gone
         AHEAD                                                                          KEPT

A verifier keeps the key set for CACHED seconds, and a replica looks at the database every LOOK seconds: a key is
known everywhere before it signs, because AHEAD is longer than both together.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from tenants_api.assertion.sealing import Seal, Unreadable

ALGORITHM = "ES256"
CACHED = 300  # seconds for which a verifier may keep the key set
LOOK = 60.0  # seconds between two looks at the stored keys
AHEAD = 900  # seconds for which a key is published before it signs
KEPT = 900  # seconds for which a key stays published after its last signature; assertions live for 60


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A P-256 key (RFC 7518 section 3.4) that signs from `signs_from` (epoch seconds) until the next one does."""

    sequence: int
    signs_from: int
    private: ec.EllipticCurvePrivateKey
    kid: str
    jwk: dict[str, Any]


def new_key(sequence: int, *, signs_from: int) -> SigningKey:
    """A fresh key."""
    return _key(sequence, signs_from=signs_from, private=ec.generate_private_key(ec.SECP256R1()))


def to_sealed(key: SigningKey, *, seal: Seal) -> bytes:
    """The private half, for the database."""
    plain = key.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return seal.close(plain, context=_context(key.sequence, signs_from=key.signs_from))


def from_sealed(sealed: bytes, *, sequence: int, signs_from: int, seal: Seal) -> SigningKey:
    """The key of a stored row. Raises Unreadable."""
    private = load_der_private_key(seal.open(sealed, context=_context(sequence, signs_from=signs_from)), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise Unreadable
    return _key(sequence, signs_from=signs_from, private=private)


def signing(keys: Sequence[SigningKey], *, now: float) -> SigningKey | None:
    """The newest key whose time has come. It never expires by itself: without a successor it signs on."""
    return max((key for key in keys if key.signs_from <= now), key=lambda key: key.sequence, default=None)


def published(keys: Sequence[SigningKey], *, now: float) -> list[SigningKey]:
    """The keys that a verifier must know: the signing one, those to come, and those whose assertions may still live."""
    current = signing(keys, now=now)
    return [key for key in keys if current is None or key.sequence >= current.sequence or _until(key, keys) > now]


def next_key(keys: Sequence[SigningKey], *, now: float, lifetime: int) -> SigningKey | None:
    """The key that has to be made now, if any. The very first one signs at once: nobody can have cached a set."""
    newest = max(keys, key=lambda key: key.sequence, default=None)
    if newest is None:
        return new_key(1, signs_from=int(now))
    if newest.signs_from + lifetime - AHEAD > now:
        return None
    return new_key(newest.sequence + 1, signs_from=max(newest.signs_from + lifetime, int(now) + AHEAD))


def _until(key: SigningKey, keys: Sequence[SigningKey]) -> float:
    """When the last assertion of an outdated key has surely expired, clocks and slow replicas included."""
    return min(other.signs_from for other in keys if other.sequence > key.sequence) + KEPT


def _key(sequence: int, *, signs_from: int, private: ec.EllipticCurvePrivateKey) -> SigningKey:
    numbers = private.public_key().public_numbers()
    public = {"crv": "P-256", "kty": "EC", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}
    # RFC 7638: the name of a key follows from the key.
    kid = _b64(sha256(json.dumps(public, separators=(",", ":"), sort_keys=True).encode()).digest())
    return SigningKey(sequence, signs_from, private, kid, {**public, "alg": ALGORITHM, "kid": kid, "use": "sig"})


def _context(sequence: int, *, signs_from: int) -> bytes:
    return f"{sequence}:{signs_from}".encode()


def _coordinate(value: int) -> str:
    return _b64(value.to_bytes(32, "big"))


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
