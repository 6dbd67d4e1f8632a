"""C: algorithms, headers and signatures that are not this realm's key over exactly these bytes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.attacks.battery.cases import HUNG_UP, Hostile, Mint
from tests.support.tokens import DROP, Key, b64, signature_of

ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MALLORY = Key("mallory")
EVIL = "https://evil.example"


def _header(row: str, name: str, header: dict[str, Any], reason: str) -> Hostile:
    return Hostile(row, name, lambda mint: mint.token(header=header), reason)


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


def _own_key(header: dict[str, Any]) -> Callable[[Mint], str]:
    """Signed by a key of the sender's own, which the header offers."""
    return lambda mint: mint.token(header=header, sign=MALLORY.sign)


def _spliced(first: str, second: str, third: str) -> Callable[[Mint], str]:
    return lambda mint: f"{mint.joined(first)[0]}.{mint.joined(second)[1]}.{mint.joined(third)[2]}"


def _raised(mint: Mint) -> str:
    """The signature of a real token over claims with one more role."""
    header, _, signature = mint.joined()
    return f"{header}.{b64(mint.payload(resource_access={'tenants-api': {'roles': ['admin']}}))}.{signature}"


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
    *(_header("C3", repr(alg), {"alg": alg}, "no_algorithm") for alg in (1, None, ["RS256"], {"RS256": 1}, True, DROP, 1.5)),
    *(
        _header("C3", repr(alg), {"alg": alg}, "algorithm_refused")
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
_C8 = (
    Hostile("C8", "own key in jwk", _own_key({"jwk": MALLORY.jwk()}), "header_refused"),
    Hostile("C8", "own key in jwk under its own kid", _own_key({"jwk": MALLORY.jwk(), "kid": MALLORY.id}), "header_refused"),
    Hostile("C8", "own key without offering it", _own_key({}), "bad_signature"),
    Hostile("C8", "empty jwk on a good signature", lambda mint: mint.token(header={"jwk": {}}), "header_refused"),
)  # fmt: skip
_C9 = (
    Hostile("C9", "jku", _own_key({"jku": f"{EVIL}/certs"}), "header_refused"),
    Hostile("C9", "jku of another registered realm", lambda mint: mint.token(header={"jku": f"{mint.issuer('globex')}/protocol/openid-connect/certs"}), "header_refused"),
    Hostile("C9", "jku on a realm of this machine", lambda mint: mint.token(header={"jku": f"{mint.issuer('elsewhere')}/protocol/openid-connect/certs"}), "header_refused"),
    Hostile("C9", "x5u", _own_key({"x5u": f"{EVIL}/cert.pem"}), "header_refused"),
    Hostile("C9", "x5c", _own_key({"x5c": ["MIIC"]}), "header_refused"),
    Hostile("C9", "x5t of another key", _own_key({"x5t": "AAAA", "x5t#S256": "AAAA"}), "bad_signature"),
    Hostile("C9", "null jku", lambda mint: mint.token(header={"jku": None}), "header_refused"),
)  # fmt: skip
_C10 = (
    *(_header("C10", f"crit {value!r}", {"crit": value}, "header_refused") for value in ([], ["exp"], ["b64"], [1], None, ["none"], ["alg"], "exp", {}, True)),
    _header("C10", "crit with its member", {"crit": ["http://example.com/x"], "http://example.com/x": True}, "header_refused"),
    Hostile("C10", "crit twice", lambda mint: mint.token(header=json.dumps(mint.header()).encode()[:-1] + b',"crit":[],"crit":[]}'), "not_strict_json"),
)  # fmt: skip


def _unencoded(mint: Mint) -> str:
    """RFC 7797: the payload itself is signed and stands there as it is."""
    head = b64(json.dumps(mint.header(b64=False, crit=["b64"])).encode())
    return f"{head}.{b64(mint.payload())}.{b64(mint.signer()(head.encode() + b'.' + mint.payload()))}"


_C11 = (
    _header("C11", "b64 false without crit", {"b64": False}, "header_refused"),
    _header("C11", "b64 true", {"b64": True}, "header_refused"),
    _header("C11", "b64 false with crit", {"b64": False, "crit": ["b64"]}, "header_refused"),
    Hostile("C11", "signed unencoded", _unencoded, "header_refused"),
    Hostile("C11", "detached", lambda mint: "{0}..{2}".format(*mint.joined()), "not_base64url"),
)
_C12 = (
    *(_header("C12", repr(kid), {"kid": kid}, "no_kid") for kid in (1, None, ["x"], {}, True, "", 1.5)),
    _header("C12", "257 characters", {"kid": "k" * 257}, "no_kid"),
    Hostile("C12", "200 kB", lambda mint: mint.token(header={"kid": "k" * 200_000}), "too_long", HUNG_UP),
    *(
        _header("C12", repr(kid), {"kid": kid}, "unknown_key")
        for kid in ("\0", "../../../dev/null", "' or 1=1 --", "a\r\nb", "*", "%", "{}", "__class__", "k" * 256, "\u202e")
    ),
    Hostile("C12", "kid of another realm", lambda mint: mint.token(header={"kid": mint.key("globex").kid}), "unknown_key"),
    Hostile("C12", "kid of the encryption key", lambda mint: mint.token(header={"kid": mint.server.realm("acme").keys.public_set()[0]["kid"]}), "unknown_key"),
    Hostile("C12", "kid in another case", lambda mint: mint.token(header={"kid": mint.key().kid.swapcase()}), "unknown_key"),
)  # fmt: skip
_C13 = (
    _header("C13", "no kid, one key fits", {"kid": DROP}, "no_kid"),
    Hostile("C13", "no kid, several keys", lambda mint: mint.token("curves", header={"kid": DROP}), "no_kid"),
)
_C14 = tuple(
    _header("C14", repr(kind), {"typ": kind}, "header_type")
    for kind in ("logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "JOSE+JSON", "oauth-authz-req+jwt", "", " JWT", "JWT ", 1, None, ["JWT"], True, "application/logout+jwt", "application/application/jwt")
)  # fmt: skip
_C15 = (
    Hostile("C15", "claims of acme, signature of globex", _spliced("acme", "acme", "globex"), "bad_signature"),
    Hostile("C15", "header and signature of globex, claims of acme", _spliced("globex", "acme", "globex"), "unknown_key"),
    Hostile("C15", "header of globex, the rest of acme", _spliced("globex", "acme", "acme"), "unknown_key"),
    Hostile("C15", "claims of globex, the rest of acme", _spliced("acme", "globex", "acme"), "unknown_key"),
    Hostile("C15", "one more role under a real signature", _raised, "bad_signature"),
)  # fmt: skip
CASES = (*_C1, *_C2, *_C3, *_C4, *_C5, *_C6, *_C7, *_C8, *_C9, *_C10, *_C11, *_C12, *_C13, *_C14, *_C15)
