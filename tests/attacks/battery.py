"""Hostile tokens, by the rows of the catalogue of attacks in docs/security.md: how each is made, what it is told.

Every entry gives the operator's reason. The caller's answer is the same for all, unless `status` says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

from tests.attacks.forge import Forge, segment
from tests.support.tokens import DROP, b64

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class Attack:
    """`row` is the catalogue's, `reason` the operator's; `status` is the HTTP answer's."""

    row: str
    name: str
    make: Callable[[Forge], str]
    reason: str
    code: str = "invalid_token"
    status: int = 401

    def __str__(self) -> str:
        return f"{self.row} {self.name}"


def _claim(row: str, name: str, reason: str, /, **claims: Any) -> Attack:
    return Attack(row, name, lambda forge: forge.good(**claims), reason)


def _header(row: str, name: str, reason: str, /, **members: Any) -> Attack:
    return Attack(row, name, lambda forge: forge.headed(**members), reason)


def _payload(row: str, name: str, reason: str, spoil: Callable[[bytes], bytes]) -> Attack:
    def make(forge: Forge) -> str:
        return forge.token(forge.header(), spoil(json.dumps(forge.claims()).encode()))

    return Attack(row, name, make, reason)


def _made(row: str, name: str, reason: str, make: Callable[..., str], /, *values: Any) -> Attack:
    return Attack(row, name, lambda forge: make(forge, *values), reason)


def _parts(row: str, name: str, reason: str, join: Callable[[str, str, str], str], *, status: int = 401) -> Attack:
    return Attack(row, name, lambda forge: join(*forge.segments()), reason, status=status)


def _ec(forge: Forge, *numbers: int) -> str:
    """An ES256 token of the realm with other numbers r and s in its signature."""
    return _ec_bytes(forge, b"".join(number.to_bytes(32, "big") for number in numbers))


def _ec_bytes(forge: Forge, signature: bytes) -> str:
    header = forge.header(alg="ES256", kid=forge.acme.keys.signing("ES256").kid)
    return forge.token(header, forge.claims(), signature=signature)


def _rs_bytes(forge: Forge, signature: bytes) -> str:
    return forge.token(forge.header(), forge.claims(), signature=signature)


def _unsigned(forge: Forge, algorithm: str) -> str:
    return forge.token(forge.header(alg=algorithm), forge.claims(), signature=b"")


def _body(forge: Forge, body: bytes) -> str:
    return forge.token(forge.header(), body)


def _keyed(forge: Forge, algorithm: str, form: str) -> str:
    return forge.hmac(_public(forge, form), algorithm=algorithm)


def _twin(forge: Forge, change: Callable[[str], str]) -> str:
    return forge.good(iss=change(forge.acme.issuer))


def _public(forge: Forge, form: str) -> bytes:
    key = forge.acme.keys.signing("RS256")
    public = key.private.public_key()
    if form == "jwk":
        return json.dumps(dict(key.entry)).encode()
    if form == "jwks":
        return json.dumps({"keys": forge.acme.keys.public_set()}).encode()
    if form == "modulus":
        return str(key.entry["n"]).encode()
    if form == "kid":
        return key.kid.encode()
    if form == "der":
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _der(forge: Forge) -> str:
    """An ES256 signature in ASN.1, as other formats have it."""
    key = forge.acme.keys.signing("ES256")
    assert isinstance(key.private, ec.EllipticCurvePrivateKey)
    text = f"{segment(forge.header(alg='ES256', kid=key.kid))}.{segment(forge.claims())}"
    return f"{text}.{b64(key.private.sign(text.encode(), ec.ECDSA(hashes.SHA256())))}"


def _salted(forge: Forge) -> str:
    """PS256 with a salt of another length than the hash's (RFC 7518 section 3.5)."""
    key = forge.acme.keys.signing("PS256")
    assert isinstance(key.private, rsa.RSAPrivateKey)
    text = f"{segment(forge.header(alg='PS256', kid=key.kid))}.{segment(forge.claims())}"
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=8)
    return f"{text}.{b64(key.private.sign(text.encode(), pss, hashes.SHA256()))}"


def _crossed(forge: Forge, named: str, signed: str) -> str:
    """The header names one algorithm, the realm's key signs with another."""
    kid = forge.acme.keys.signing("ES256" if named.startswith("ES") else "RS256").kid
    return forge.signed(forge.header(alg=named, kid=kid), forge.claims(), algorithm=signed)


_LAST = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _loose(text: str) -> str:
    """The same bytes in another spelling: an unused low bit of the last character is set."""
    spare = {2: 16, 3: 4}[len(text) % 4]
    at = _LAST.index(text[-1])
    assert at % spare == 0
    return text[:-1] + _LAST[at + 1]


def _loose_payload(forge: Forge) -> str:
    """The realm itself signs a payload in another spelling."""
    spelled = (forge.good(filler="x" * count).split(".") for count in range(3))
    header, payload, _ = next(parts for parts in spelled if len(parts[1]) % 4 in (2, 3))
    text = f"{header}.{_loose(payload)}"
    return f"{text}.{b64(get_default_algorithms()['RS256'].sign(text.encode(), forge.acme.keys.signing().private))}"


def _twice(member: str) -> Callable[[bytes], bytes]:
    return lambda payload: payload[:-1] + b", " + member.encode() + b"}"


SHAPE = [
    _parts("B1", "a hyphen", "not_three_segments", lambda h, p, s: "-"),
    _parts("B1", "one segment", "not_three_segments", lambda h, p, s: h),
    _parts("B1", "two segments", "not_three_segments", lambda h, p, s: f"{h}.{p}"),
    _parts("B1", "four segments", "not_three_segments", lambda h, p, s: f"{h}.{p}.{s}.{s}"),
    _parts("B1", "five segments, as JWE has", "not_three_segments", lambda h, p, s: f"{h}.{p}.{s}.{s}.{s}"),
    _parts("B1", "dots alone", "not_base64url", lambda h, p, s: ".."),
    _parts("B1", "no header", "not_base64url", lambda h, p, s: f".{p}.{s}"),
    _parts("B1", "no payload, as detached", "not_base64url", lambda h, p, s: f"{h}..{s}"),
    _parts("B1", "no signature", "not_base64url", lambda h, p, s: f"{h}.{p}."),
    _parts("B1", "trailing dot", "not_three_segments", lambda h, p, s: f"{h}.{p}.{s}."),
    _parts(
        "B2",
        "flattened JSON serialization",
        "not_three_segments",
        lambda h, p, s: json.dumps({"protected": h, "payload": p, "signature": s}),
        status=400,
    ),
    _parts(
        "B2",
        "general JSON serialization",
        "not_three_segments",
        lambda h, p, s: json.dumps({"payload": p, "signatures": [{"protected": h, "signature": s}]}),
        status=400,
    ),
    _parts("B3", "padded header", "not_base64url", lambda h, p, s: f"{h}=.{p}.{s}"),
    _parts("B3", "padded payload", "not_base64url", lambda h, p, s: f"{h}.{p}=.{s}"),
    _parts("B3", "padded signature", "not_base64url", lambda h, p, s: f"{h}.{p}.{s}=="),
    _parts("B3", "padding within", "not_base64url", lambda h, p, s: f"{h}.{p[:8]}===={p[8:]}.{s}"),
    _parts("B4", "loose low bits of the signature", "not_base64url", lambda h, p, s: f"{h}.{p}.{_loose(s)}"),
    Attack("B4", "loose low bits of the payload, signed so", _loose_payload, "not_base64url"),
    _parts("B4", "standard alphabet", "not_base64url", lambda h, p, s: f"{h}.{p}.{s[:-2]}+/"),
    _parts("B4", "exclamation marks", "not_base64url", lambda h, p, s: f"{h}.{p}.!!!!{s}"),
    _parts("B4", "space", "not_base64url", lambda h, p, s: f"{h}.{p}.{s[:5]} {s[5:]}", status=400),
    _parts("B4", "tab", "not_base64url", lambda h, p, s: f"{h}.{p}.{s[:5]}\t{s[5:]}", status=400),
    _parts("B4", "percent-encoded dot", "not_three_segments", lambda h, p, s: f"{h}%2E{p}%2E{s}"),
    _parts("B5", "fullwidth dot", "not_ascii", lambda h, p, s: f"{h}\uff0e{p}\uff0e{s}"),
    _parts("B5", "latin-1 letter", "not_ascii", lambda h, p, s: f"{h}.{p}.\xe9{s}"),
    _parts("B5", "quotes", "not_base64url", lambda h, p, s: f'"{h}.{p}.{s}"'),
    _parts("B5", "Bearer again", "not_base64url", lambda h, p, s: f"Bearer {h}.{p}.{s}", status=400),
    Attack("A8", "one character too long", lambda f: f.good(filler="x" * 8192), "too_long", status=400),
]

PAYLOADS = [
    *(
        _made("B7", f"payload {body[:12]!r}", reason, _body, body)
        for body, reason in (
            (b"null", "not_an_object"),
            (b"[]", "not_an_object"),
            (b'"x"', "not_an_object"),
            (b"1", "not_an_object"),
            (b"true", "not_an_object"),
            (b" ", "not_strict_json"),
            (b"{", "not_strict_json"),
            (b"exp=1", "not_strict_json"),
            (b"{}{}", "not_strict_json"),
            (b"{'exp':1}", "not_strict_json"),
            (b"{}", "no_issuer"),
            (b'{"a":"\xff"}', "not_strict_json"),
        )
    ),
    _payload("B7", "byte order mark", "not_strict_json", lambda body: b"\xef\xbb\xbf" + body),
    _payload("B7", "UTF-16", "not_strict_json", lambda body: body.decode().encode("utf-16")),
    _payload("B7", "UTF-32", "not_strict_json", lambda body: body.decode().encode("utf-32")),
    _payload("B7", "latin-1", "not_strict_json", lambda body: body.replace(b"Alice", b"Ren\xe9")),
    _payload("B7", "text after it", "not_strict_json", lambda body: body + b"{}"),
    _payload("B7", "NUL after it", "not_strict_json", lambda body: body + b"\0"),
    _payload("B7", "a comment", "not_strict_json", lambda body: b"/**/" + body),
    _payload("B8", "sub twice", "not_strict_json", _twice('"sub": "another"')),
    _payload("B8", "sub twice by escape", "not_strict_json", _twice('"s\\u0075b": "another"')),
    _payload("B8", "iss twice", "not_strict_json", _twice('"iss": "https://id.example/realms/acme"')),
    _payload("B8", "twice within", "not_strict_json", _twice('"x": {"roles": [], "roles": ["admin"]}')),
    _payload(
        "B9", "deep lists", "not_strict_json", lambda body: body[:-1] + b',"x":' + b"[" * 2000 + b"]" * 2000 + b"}"
    ),
    _payload(
        "B9",
        "one brace too many after deep objects",
        "not_strict_json",
        lambda body: body[:-1] + b',"x":' + b'{"a":' * 400 + b"1" + b"}" * 402,
    ),
    _payload("B9", "5000 digits", "not_strict_json", lambda body: body[:-1] + b',"x":' + b"9" * 5000 + b"}"),
    _payload("B9", "NaN", "not_strict_json", _twice('"x": NaN')),
    _payload("B9", "Infinity", "not_strict_json", _twice('"x": -Infinity')),
    _payload("D13", "lone surrogate", "not_strict_json", _twice('"x": "\\ud800"')),
    _payload("D13", "lone surrogate in a name", "not_strict_json", _twice('"\\udc00": 1')),
    Attack(
        "B8",
        "kid twice in the header",
        lambda f: f.token(json.dumps(f.header()).encode()[:-1] + b', "kid": "other"}', f.claims()),
        "not_strict_json",
    ),
    Attack(
        "B8",
        "alg twice in the header, by escape",
        lambda f: f.token(json.dumps(f.header()).encode()[:-1] + b', "\\u0061lg": "none"}', f.claims()),
        "not_strict_json",
    ),
    Attack(
        "B9", "deep header", lambda f: f.token(b'{"alg":' + b"[" * 700 + b"]" * 700 + b"}", f.claims()), "no_algorithm"
    ),
    Attack("B9", "long header", lambda f: f.headed(x="y" * 2000), "header_too_long"),
    Attack("B7", "header that is a list", lambda f: f.token(b'["RS256"]', f.claims()), "not_an_object"),
    _header("B10", "nested JWT", "header_refused", cty="JWT"),
    _header("B10", "JWE header", "header_refused", enc="A256GCM", alg="dir"),
    _header("B10", "PBES2 with two thousand million rounds", "algorithm_refused", alg="PBES2-HS256+A128KW", p2c=2**31),
    _header("B10", "zip", "header_refused", zip="DEF"),
]

SIGNATURES = [
    *(
        _made("C1", f"{name!r} without a signature", "not_base64url", _unsigned, name)
        for name in ("none", "None", "nOnE", "NONE", "noNE")
    ),
    *(_header("C1", f"{name!r} with a signature", "algorithm_refused", alg=name) for name in ("none", "NONE", "")),
    Attack("C1", "none without a kid", lambda f: f.headed(alg="none", kid=DROP), "no_kid"),
    *(
        _made("C2", f"{name} with the {form}", "algorithm_refused", _keyed, name, form)
        for name, form in (
            ("HS256", "der"),
            ("HS256", "jwk"),
            ("HS384", "jwks"),
            ("HS512", "modulus"),
            ("HS256", "kid"),
        )
    ),
    *(
        _header("C3", f"alg {value!r}", "no_algorithm", alg=value)
        for value in (1, None, ["RS256"], {"RS256": 1}, True, DROP)
    ),
    *(_header("C3", f"alg {value!r}", "algorithm_refused", alg=value) for value in ("rs256", "RS256 ", "RS256\0", "*")),
    *(
        _made("C4", f"header {named}, signed {signed}", reason, _crossed, named, signed)
        for named, signed, reason in (
            ("PS256", "RS256", "unknown_key"),
            ("RS384", "RS256", "algorithm_refused"),
            ("RS256", "PS256", "bad_signature"),
            ("RS256", "ES256", "bad_signature"),
            ("ES256", "RS256", "bad_signature"),
            ("EdDSA", "RS256", "unknown_key"),
        )
    ),
    Attack(
        "C5",
        "an algorithm that only another tenant allows",
        lambda f: f.globex.mint(algorithm="ES256"),
        "algorithm_refused",
    ),
    *(
        _made("C6", f"ES256 {name}", "bad_signature", _ec, r, s)
        for name, r, s in (
            ("r = s = 0", 0, 0),
            ("r = 0", 0, 7),
            ("s = 0", 7, 0),
            ("r = s = 1", 1, 1),
            ("r = n", P256_ORDER, 7),
            ("s = n", 7, P256_ORDER),
            ("r = s = n - 1", P256_ORDER - 1, P256_ORDER - 1),
            ("r over the field", 2**256 - 1, 2**256 - 1),
        )
    ),
    *(
        _made("C6", f"ES256 signature of {size} bytes", "bad_signature", _ec_bytes, b"\1" * size)
        for size in (1, 32, 63, 65, 66, 96, 128)
    ),
    Attack("C6", "ES256 signature in ASN.1", _der, "bad_signature"),
    *(
        _made("C6", f"RS256 signature of {name}", "bad_signature", _rs_bytes, body)
        for name, body in (
            ("one byte", b"\1"),
            ("255 bytes", b"\1" * 255),
            ("257 bytes", b"\0" * 257),
            ("zeros", b"\0" * 256),
            ("ones", b"\xff" * 256),
            ("1", b"\0" * 255 + b"\1"),
        )
    ),
    Attack("C7", "PS256 with a short salt", _salted, "bad_signature"),
    Attack(
        "C8",
        "a key of the sender's own in jwk",
        lambda f: f.signed(
            f.header(jwk={"kty": "RSA", "n": f.stranger.keys.signing().entry["n"], "e": "AQAB"}),
            f.claims(),
            signer=f.stranger,
        ),
        "header_refused",
    ),
    *(
        _header("C9", f"{name} of the sender's choice", "header_refused", **{name: value})
        for name, value in (("jku", "http://127.0.0.1:9/keys"), ("x5u", "http://127.0.0.1:9/cert"), ("x5c", ["MIIB"]))
    ),
    *(
        _header("C10", f"crit {value!r}", "header_refused", crit=value)
        for value in ([], ["exp"], ["b64"], [1], None, ["http://example.com/x"], "exp", ["alg"])
    ),
    _header("C11", "b64 false", "header_refused", b64=False),
    _header("C11", "b64 true", "header_refused", b64=True),
    *(
        _header("C12", f"kid {str(value)[:20]!r}", "no_kid", kid=value)
        for value in (1, None, ["a"], {"a": 1}, True, "", "k" * 257)
    ),
    *(
        _header("C12", f"kid {value!r}", "unknown_key", kid=value)
        for value in ("../../dev/null", "' or 1=1 --", "a\r\nb", "a\0b", "\u202e", "k" * 256)
    ),
    Attack("C12", "kid of another realm", lambda f: f.headed(kid=f.globex.keys.kid), "unknown_key"),
    _header("C13", "no kid", "no_kid", kid=DROP),
    *(
        _header("C14", f"typ {value!r}", "header_type", typ=value)
        for value in (
            "logout+jwt",
            "dpop+jwt",
            "secevent+jwt",
            "JOSE",
            1,
            None,
            ["JWT"],
            "",
            "JWT ",
            "application/logout+jwt",
        )
    ),
    Attack(
        "C15",
        "payload of one realm, signature of another",
        lambda f: f.signed(f.header(), f.claims(), signer=f.globex),
        "bad_signature",
    ),
    Attack(
        "C15",
        "spliced",
        lambda f: ".".join((f.segments()[0], f.good(sub="mallory").split(".")[1], f.segments()[2])),
        "bad_signature",
    ),
]

CLAIMS = [
    *(_claim("D1", f"exp {value!r}", "no_exp", exp=value) for value in (DROP, None)),
    *(
        _claim("D2", f"exp {str(value)[:20]!r}", "no_exp", exp=value)
        for value in (
            "123",
            " 1 ",
            "4_102_444_800",
            "\u0661\u0662",
            True,
            [],
            {},
            -1,
            0,
            1e308,
            1.5,
            10**400,
            2**63,
            "1795000000",
        )
    ),
    Attack("D3", "exp in milliseconds", lambda f: f.good(exp=f.now * 1000), "no_exp"),
    Attack("D3", "ten years", lambda f: f.good(exp=f.now + 315_360_000), "lives_too_long"),
    *(_claim("D4", f"iat {value!r}", "no_iat", iat=value) for value in (DROP, None, True, "1", 1.5, 0, -5)),
    Attack("D4", "iat in the future", lambda f: f.good(iat=f.now + 120, exp=f.now + 300), "issued_in_the_future"),
    *(_claim("D5", f"nbf {value!r}", "no_nbf", nbf=value) for value in (None, True, "1", [], 1.5)),
    Attack("D5", "nbf in the future", lambda f: f.good(nbf=f.now + 120), "not_yet_valid"),
    *(_claim("D6", f"iss {value!r}", "no_issuer", iss=value) for value in (DROP, None, "", 1, {})),
    Attack("D6", "iss in a list", lambda f: f.good(iss=[f.acme.issuer]), "no_issuer"),
    Attack("D6", "iss of another realm", lambda f: f.good(iss=f.globex.issuer), "unknown_key"),
    *(
        _claim("D7", f"aud {value!r}", "wrong_audience", aud=value)
        for value in (
            DROP,
            None,
            "",
            [],
            "tenants-ap",
            "tenants-api2",
            "Tenants-Api",
            "tenants-api ",
            ["tenants-api", 1],
            [["tenants-api"]],
            {"tenants-api": 1},
            "tenants-api,x",
            "tenants-api x",
            1,
            True,
            ["x"] * 101,
        )
    ),
    _claim("D8", "aud account alone", "wrong_audience", aud="account"),
    Attack("D10", "ID token", lambda f: f.acme.mint(kind="id"), "not_an_access_token"),
    Attack("D10", "refresh token", lambda f: f.acme.mint(kind="refresh"), "algorithm_refused"),
    Attack("D10", "refresh token, signed by the realm's key", lambda f: f.good(typ="Refresh"), "not_an_access_token"),
    Attack("D10", "offline token", lambda f: f.good(typ="Offline"), "not_an_access_token"),
    Attack("D10", "logout token", lambda f: f.acme.mint(kind="logout"), "header_type"),
    Attack(
        "D10",
        "logout token with an ordinary header",
        lambda f: f.good(typ="Logout", events={"http://schemas.openid.net/event/backchannel-logout": {}}),
        "not_an_access_token",
    ),
    *(
        _claim("D10", f"typ {value!r}", "not_an_access_token", typ=value)
        for value in (DROP, None, "", "JWT", "Bearer ", ["Bearer"], 1, "\u212aearer")
    ),
    *(
        _claim("D11", f"sub {str(value)[:12]!r}", "no_subject", sub=value)
        for value in (DROP, None, "", " ", 1, ["a"], {}, True, "s" * 256, "a\0b", "a\u202eb", "a\nb")
    ),
    Attack("D11", "lightweight token", lambda f: f.acme.mint(kind="lightweight"), "no_subject"),
    Attack("E1", "unknown realm", lambda f: f.stranger.mint(), "unknown_issuer"),
    *(
        _made("E1", f"twin {name}", "unknown_issuer", _twin, twin)
        for name, twin in (
            ("with a slash", lambda i: i + "/"),
            ("in capitals", str.upper),
            ("with a query", lambda i: i + "?a"),
            ("with a fragment", lambda i: i + "#a"),
            ("with user info", lambda i: i.replace("//", "//a@")),
            ("with a dot segment", lambda i: i.replace("/realms", "/./realms")),
            ("percent-encoded", lambda i: i[:-1] + "%65"),
            ("in Cyrillic", lambda i: i.replace("acme", "\u0430cme")),
            ("with NUL", lambda i: i + "\0"),
            ("with a space", lambda i: i + " "),
            ("shortened", lambda i: i[:-1]),
            ("longer", lambda i: i + "x"),
            ("https", lambda i: i.replace("http:", "https:")),
            ("with a dot after the host", lambda i: i.replace(":", ".:", 2)),
        )
    ),
    Attack(
        "E5",
        "signed by another registered realm",
        lambda f: f.signed(f.header(kid=f.globex.keys.kid), f.claims(), signer=f.globex),
        "unknown_key",
    ),
    Attack(
        "E5",
        "another realm's token with our issuer",
        lambda f: f.globex.mint(claims={"iss": f.acme.issuer}),
        "unknown_key",
    ),
    Attack("O1", "DPoP-bound token as a bearer token", lambda f: f.acme.mint(kind="dpop"), "not_an_access_token"),
    *(
        _claim("O2", f"cnf {value!r}", "sender_constrained", cnf=value)
        for value in ({}, None, {"jkt": 1}, {"jkt": "a", "x5t#S256": "b"}, "x", [])
    ),
    *(_claim("D18", f"azp {value!r}", "wrong_authorized_party", azp=value) for value in (1, ["web"], {}, True)),
    Attack(
        "D1",
        "expired beyond the leeway",
        lambda f: f.good(iat=f.now - 400, exp=f.now - 31),
        "expired",
        code="token_expired",
    ),
    Attack(
        "D1",
        "expired by the leeway exactly",
        lambda f: f.good(iat=f.now - 400, exp=f.now - 30),
        "expired",
        code="token_expired",
    ),
]

BATTERY = [*SHAPE, *PAYLOADS, *SIGNATURES, *CLAIMS]
