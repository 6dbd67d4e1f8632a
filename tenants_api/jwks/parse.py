"""From the bytes of a JWKS (RFC 7517) to keys that can verify. Unusable keys are left out one by one and reported."""

from __future__ import annotations

import binascii
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from jwt import PyJWK, PyJWTError
from jwt.algorithms import Algorithm, get_default_algorithms

_GENERATOR = 65537
_LARGEST_PRIME = 701  # the 126th


def is_guessable(modulus: int) -> bool:
    """Whether a modulus of 2048 bits or more has the shape that the flawed library gives its keys."""
    return all(modulus % prime in powers for prime, powers in _powers().items())


@cache
def _powers() -> dict[int, frozenset[int]]:
    """For each small prime: the powers of the generator."""
    return {prime: frozenset(_powers_modulo(prime)) for prime in range(3, _LARGEST_PRIME + 1) if _is_prime(prime)}


def _powers_modulo(prime: int) -> Iterator[int]:
    power = 1
    while True:
        yield power
        power = power * _GENERATOR % prime
        if power == 1:
            return


def _is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))


MAX_KEYS = 256  # Keycloak keeps retired keys in the set until somebody deletes them
MAX_KID = 255  # characters

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_EDWARDS = ("Ed25519", "Ed448")
MAX_EXPONENT_BITS = 64  # a signature check takes a step for each bit: 3,072 of them are 9 ms, 17 (65537) 30 µs
ALGORITHMS = frozenset({*_RSA, *_CURVES.values(), "EdDSA"})  # never `none`, never HS*
_IMPLEMENTATIONS: Mapping[str, Algorithm] = {
    name: algorithm for name, algorithm in get_default_algorithms().items() if name in ALGORITHMS
}
_PKCS1 = {"RS256": hashes.SHA256(), "RS384": hashes.SHA384(), "RS512": hashes.SHA512()}
_PADDING = padding.PKCS1v15()
# With the bytes of a signature: two numbers as large as the curve's order (RFC 7518 section 3.4).
_ECDSA = {
    "ES256": (ec.ECDSA(hashes.SHA256()), 64),
    "ES384": (ec.ECDSA(hashes.SHA384()), 96),
    "ES512": (ec.ECDSA(hashes.SHA512()), 132),
}
_STORED = ("kid", "kty", "alg", "use", "n", "e", "crv", "x", "y")
_PRIVATE = frozenset("dpqk") | {"dp", "dq", "qi", "oth"}


class BrokenKeySet(Exception):
    """The document is not a JWKS, lists too many keys, or none of them can verify a signature.

    `skipped` says why, key by key; `reason` is the stable one of conditions, health and logs.
    """

    def __init__(
        self, message: str, *, skipped: tuple[SkippedKey, ...] = (), reason: str = "NoUsableSigningKeys"
    ) -> None:
        self.skipped, self.reason = skipped, reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class SkippedKey:
    """A key that was left out, and why."""

    kid: str | None
    reason: str


@dataclass(eq=False, slots=True)
class VerifyKey:
    """What one kid can verify: a public key for each algorithm. `first_seen` and `last_used` are epoch seconds.

    It is one key under several algorithms as a rule. Keycloak may use a kid for keys of different types: the algorithm
    of the token says which one is meant.
    """

    kid: str
    materials: dict[str, Any]
    first_seen: float = 0.0
    last_used: float | None = None

    @property
    def algorithms(self) -> frozenset[str]:
        return frozenset(self.materials)

    def shares(self, other: VerifyKey) -> bool:
        """Whether both have the same public key under one algorithm at least."""
        return any(other.materials.get(one) == material for one, material in self.materials.items())

    def verifies(self, signing_input: bytes, *, signature: bytes, algorithm: str) -> bool:
        """Whether the signature is this key's. `algorithm` is one of `algorithms`: the key decides, not the token."""
        try:
            material = self.materials[algorithm]
            # What PyJWT does, without making the same objects anew for each token.
            if algorithm in _PKCS1:
                material.verify(signature, signing_input, _PADDING, _PKCS1[algorithm])
            elif algorithm in _ECDSA:
                scheme, size = _ECDSA[algorithm]
                material.verify(_to_der(signature, size=size), signing_input, scheme)
            elif algorithm == "EdDSA":
                material.verify(signature, signing_input)
            else:
                return _IMPLEMENTATIONS[algorithm].verify(signing_input, material, signature)
        except (PyJWTError, InvalidSignature, ValueError):
            return False
        return True


def _to_der(signature: bytes, *, size: int) -> bytes:
    """An ECDSA signature as it stands in a JWS, as cryptography wants it. ValueError when it has another length."""
    if len(signature) != size:
        raise ValueError("not a signature of this curve")
    half = size // 2
    return encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable signature keys of one realm, by kid.

    `compact` is a JWKS of them with what verifying needs (no certificates): what is worth storing. `digest` is the
    SHA-256 of the document that was read.
    """

    keys: Mapping[str, VerifyKey]
    skipped: tuple[SkippedKey, ...]
    compact: bytes
    digest: bytes


def parse_key_set(document: bytes, *, present: KeySet | None = None) -> KeySet:
    """Read a JWKS; `present` is given back where the document says what it was read from.

    Raises:
        BrokenKeySet: it is no JWKS, lists more than 256 keys, or no key in it can verify a signature.
    """
    digest = sha256(document).digest()
    if present is not None and (digest == present.digest or document == present.compact):
        return present
    entries = _entries(document)
    found: dict[str, VerifyKey] = {}
    disputed: set[tuple[str, str]] = set()
    skipped: list[SkippedKey] = []
    for entry in entries:
        try:
            kid, algorithms, material = _read_key(entry)
        except _Unusable as reason:
            skipped.append(SkippedKey(_text(entry, "kid") if isinstance(entry, dict) else None, str(reason)))
            continue
        materials = found.setdefault(kid, VerifyKey(kid, {})).materials
        disputed |= {(kid, one) for one in algorithms if materials.setdefault(one, material) != material}
    for kid, algorithm in sorted(disputed):
        # Which of the two is meant cannot be told, so neither is used. The same key twice is one key.
        del found[kid].materials[algorithm]
        skipped.append(SkippedKey(kid, f"two different signature keys have this kid and the algorithm {algorithm}"))
    usable = {kid: key for kid, key in found.items() if key.materials}
    if not usable:
        raise BrokenKeySet("no key in the set can verify a signature", skipped=tuple(skipped))
    return KeySet(usable, tuple(skipped), _compact(entries, kids=usable.keys()), digest)


def _compact(entries: list[Any], *, kids: Collection[str]) -> bytes:
    kept = (entry for entry in entries if isinstance(entry, dict) and _text(entry, "kid") in kids)
    # An entry that is refused for what is left out here (a private part, key_ops) must not come back without it.
    keys = [{name: entry[name] for name in _STORED if name in entry} for entry in kept if not _misuse(entry)]
    return json.dumps({"keys": keys}, separators=(",", ":"), sort_keys=True).encode()


def any_lost(before: Mapping[str, VerifyKey], *, now: Mapping[str, VerifyKey]) -> bool:
    """Whether a key that verified tokens is gone, or another key has its kid and algorithm."""
    return any(_is_lost(key, now=now.get(kid)) for kid, key in before.items())


def _is_lost(key: VerifyKey, *, now: VerifyKey | None) -> bool:
    return now is None or any(now.materials.get(one) != material for one, material in key.materials.items())


class _Unusable(Exception):
    """Why one key is left out."""


def _entries(document: bytes) -> list[Any]:
    try:
        keys = json.loads(document.decode("utf-8"))["keys"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise BrokenKeySet("the document is not a JWKS") from error
    if not isinstance(keys, list):
        raise BrokenKeySet("the document is not a JWKS")
    if len(keys) > MAX_KEYS:
        raise BrokenKeySet(f"the set lists {len(keys)} keys; at most {MAX_KEYS} are read", reason="TooManyKeys")
    return keys


def _read_key(entry: Any) -> tuple[str, frozenset[str], Any]:
    """The kid, the algorithms that it may verify, and the public key. Raises _Unusable."""
    if not isinstance(entry, dict):
        raise _Unusable("not an object")
    kid = _text(entry, "kid")
    if not kid:
        raise _Unusable("no kid")
    if len(kid) > MAX_KID or not kid.isprintable():
        # It is shown to admins, in answers and in logs; Keycloak's have 43 characters.
        raise _Unusable(f"a kid of more than {MAX_KID} characters, or one with control characters")
    if (reason := _misuse(entry)) is not None:
        raise _Unusable(reason)
    algorithms = _algorithms_of(entry)
    try:
        material = PyJWK(entry, algorithm=min(algorithms)).key
    except (PyJWTError, ValueError, TypeError, AttributeError, UnsupportedAlgorithm, binascii.Error) as error:
        raise _Unusable("its parameters are not a public key") from error
    return kid, algorithms, material


def _misuse(entry: dict[str, Any]) -> str | None:
    """Why an entry is not a public signature key, whatever its parameters are; None when it may be one."""
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return f"not for signatures (use {entry.get('use')!r})"
    if _PRIVATE & entry.keys():
        return "the set publishes private or symmetric key parts"
    return None


def _algorithms_of(entry: dict[str, Any]) -> frozenset[str]:
    """What the key's type and curve allow, narrowed to its `alg` when it has one."""
    kind, curve, named = entry.get("kty"), entry.get("crv"), entry.get("alg")
    if kind == "RSA":
        _check_rsa(entry)
        fitting = frozenset(_RSA)
    elif kind == "EC" and isinstance(curve, str) and curve in _CURVES:
        fitting = frozenset({_CURVES[curve]})
    elif kind == "OKP" and curve in _EDWARDS:
        fitting = frozenset({"EdDSA"})
        # RFC 9864 section 2.2 names the algorithm by its curve. A token still has to say `EdDSA`, as Keycloak's do:
        # one algorithm has one name in a realm's list.
        named = "EdDSA" if named == curve else named
    else:
        raise _Unusable(f"kty {kind!r} with crv {curve!r} is not supported")
    if named is None:
        return fitting
    if not isinstance(named, str) or named not in fitting:
        raise _Unusable(f"alg {named!r} does not fit the key")
    return frozenset({named})


def _check_rsa(entry: dict[str, Any]) -> None:
    modulus, exponent = _number(entry.get("n")), _number(entry.get("e"))
    if not 2048 <= modulus.bit_length() <= 8192:
        raise _Unusable(f"an RSA key of {modulus.bit_length()} bits; 2048 to 8192 are accepted")
    if exponent < 3 or exponent % 2 == 0 or modulus % 2 == 0:
        raise _Unusable("not a sound RSA key (exponent or modulus)")
    if exponent.bit_length() > MAX_EXPONENT_BITS:
        # Whoever sends garbage would have us compute with it.
        raise _Unusable(f"an RSA exponent of {exponent.bit_length()} bits; at most {MAX_EXPONENT_BITS} are accepted")
    if is_guessable(modulus):
        raise _Unusable("a key of the library that CVE-2017-15361 (ROCA) is about: its private part can be computed")


def _text(entry: dict[str, Any], name: str) -> str | None:
    """A member that must be text: a realm may publish anything."""
    value = entry.get(name)
    return value if isinstance(value, str) else None


def _number(value: Any) -> int:
    if not isinstance(value, str) or len(value) > 2048:
        raise _Unusable("n or e is not base64url")
    try:
        return int.from_bytes(binascii.a2b_base64(value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4)))
    except ValueError as error:
        raise _Unusable("n or e is not base64url") from error
