"""C6, C7 and C15: signatures that are not this realm's key over exactly these bytes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tests.attacks.battery.cases import Hostile, Mint
from tests.support.tokens import b64

ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _curve(name: str, spoil: Callable[[bytes], bytes]) -> Hostile:
    """An ES256 signature (r ‖ s, 32 bytes each, RFC 7518 section 3.4), spoiled."""

    def make(mint: Mint) -> str:
        sign = mint.signer("curves", "ES256")
        return mint.token("curves", algorithm="ES256", sign=lambda data: spoil(sign(data)))

    return Hostile("C6", f"ES256: {name}", make, "bad_signature")


def _rsa(name: str, spoil: Callable[[bytes], bytes]) -> Hostile:
    def make(mint: Mint) -> str:
        sign = mint.signer()
        return mint.token(sign=lambda data: spoil(sign(data)))

    return Hostile("C6", f"RS256: {name}", make, "bad_signature")


def _number(value: int) -> bytes:
    return value.to_bytes(32)


def _der(mint: Mint) -> str:
    """ES256 in ASN.1, as most libraries give it out."""
    from_key: Any = mint.key("curves", "ES256").private
    return mint.token("curves", algorithm="ES256", sign=lambda data: from_key.sign(data, ec.ECDSA(hashes.SHA256())))


def twin(raw: str) -> str:
    """The other signature of an ES256 token, (r, n - s): as good as the first, by anybody who saw the first."""
    signing_input, _, signature = raw.rpartition(".")
    data = base64.urlsafe_b64decode(signature + "==")
    return f"{signing_input}.{b64(data[:32] + _number(ORDER_P256 - int.from_bytes(data[32:])))}"


def _padded(shape: Callable[[bytes, int], bytes]) -> Callable[[Mint], str]:
    """An RSA signature made from an encoded message of our own (RFC 8017 section 9.2), by the realm's real key."""

    def make(mint: Mint) -> str:
        private = mint.key().private
        assert isinstance(private, rsa.RSAPrivateKey)
        numbers = private.private_numbers()
        modulus = numbers.public_numbers.n

        def sign(data: bytes) -> bytes:
            message = shape(hashlib.sha256(data).digest(), 256)
            assert len(message) == 256
            return pow(int.from_bytes(message), numbers.d, modulus).to_bytes(256)

        return mint.token(sign=sign)

    return make


SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
_NO_NULL = bytes.fromhex("302f300b0609608648016503040201" + "0420")
_SHA1_INFO = bytes.fromhex("3021300906052b0e03021a05000414")


def pkcs1(
    info: bytes, *, tail: bytes = b"", kind: bytes = b"\x00\x01", fill: bytes = b"\xff"
) -> Callable[[bytes, int], bytes]:
    """EMSA-PKCS1-v1_5 with parts replaced."""
    return lambda digest, size: (
        kind + fill * (size - len(kind) - 1 - len(info + digest + tail)) + b"\0" + info + digest + tail
    )


_PADDINGS: dict[str, Callable[[bytes, int], bytes]] = {
    "garbage after the digest": pkcs1(SHA256_INFO, tail=b"garbage"),
    "short padding, garbage at the end": lambda digest, size: (b"\0\1" + b"\xff" * 8 + b"\0" + SHA256_INFO + digest).ljust(size, b"x"),
    "no NULL in the algorithm": pkcs1(_NO_NULL),
    "no digest info": pkcs1(b""),
    "info of SHA-1": pkcs1(_SHA1_INFO),
    "block type 2": pkcs1(SHA256_INFO, kind=b"\x00\x02"),
    "block type 0": pkcs1(SHA256_INFO, kind=b"\x00\x00", fill=b"\0"),
    "padding of zeros": pkcs1(SHA256_INFO, fill=b"\0"),
    "long-form length": pkcs1(b"\x30\x81\x31" + SHA256_INFO[2:]),
    "indefinite length": pkcs1(b"\x30\x80" + SHA256_INFO[2:], tail=b"\0\0"),
}  # fmt: skip


def _salted(length: int) -> Callable[[Mint], str]:
    """A PS256 signature with a salt that is not as long as the digest (RFC 7518 section 3.5)."""

    def make(mint: Mint) -> str:
        private: Any = mint.key("curves", "PS256").private
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), length)
        return mint.token("curves", algorithm="PS256", sign=lambda data: private.sign(data, scheme, hashes.SHA256()))

    return make


def _spliced(first: str, second: str, third: str) -> Callable[[Mint], str]:
    return lambda mint: f"{mint.joined(first)[0]}.{mint.joined(second)[1]}.{mint.joined(third)[2]}"


def _raised(mint: Mint) -> str:
    """The signature of a real token over claims with one more role."""
    header, _, signature = mint.joined()
    return f"{header}.{b64(mint.payload(resource_access={'tenants-api': {'roles': ['admin']}}))}.{signature}"


_C6 = (
    _curve("all zero", lambda made: bytes(64)),
    _curve("r = 0", lambda made: bytes(32) + made[32:]),
    _curve("s = 0", lambda made: made[:32] + bytes(32)),
    _curve("r = s = 1", lambda made: _number(1) * 2),
    _curve("r = s = n", lambda made: _number(ORDER_P256) * 2),
    _curve("r = s = n - 1", lambda made: _number(ORDER_P256 - 1) * 2),
    _curve("r = n", lambda made: _number(ORDER_P256) + made[32:]),
    _curve("s = n", lambda made: made[:32] + _number(ORDER_P256)),
    _curve("s = 2^256 - 1", lambda made: made[:32] + b"\xff" * 32),
    _curve("63 bytes", lambda made: made[:-1]),
    _curve("65 bytes", lambda made: made + b"\0"),
    _curve("leading zeros", lambda made: bytes(1) + made[:32] + bytes(1) + made[32:]),
    _curve("trailing zeros", lambda made: made + bytes(64)),
    _curve("one byte", lambda made: b"\0"),
    _curve("swapped halves", lambda made: made[32:] + made[:32]),
    Hostile("C6", "ES256: in ASN.1", _der, "bad_signature"),
    _rsa("all zero", lambda made: bytes(256)),
    _rsa("one", lambda made: bytes(255) + b"\1"),
    _rsa("all ones", lambda made: b"\xff" * 256),
    _rsa("255 bytes", lambda made: made[1:]),
    _rsa("257 bytes", lambda made: b"\0" + made),
    _rsa("trailing zero", lambda made: made + b"\0"),
    _rsa("one byte", lambda made: b"\0"),
)
_C7 = (
    *(Hostile("C7", name, _padded(shape), "bad_signature") for name, shape in _PADDINGS.items()),
    *(
        Hostile("C7", f"PSS with a salt of {length}", _salted(length), "bad_signature")
        for length in (0, 20, 31, 33, 64)
    ),
)
_C15 = (
    Hostile("C15", "claims of acme, signature of globex", _spliced("acme", "acme", "globex"), "bad_signature"),
    Hostile("C15", "header and signature of globex, claims of acme", _spliced("globex", "acme", "globex"), "unknown_key"),
    Hostile("C15", "header of globex, the rest of acme", _spliced("globex", "acme", "acme"), "unknown_key"),
    Hostile("C15", "claims of globex, the rest of acme", _spliced("acme", "globex", "acme"), "unknown_key"),
    Hostile("C15", "one more role under a real signature", _raised, "bad_signature"),
)  # fmt: skip
CASES = (*_C6, *_C7, *_C15)
