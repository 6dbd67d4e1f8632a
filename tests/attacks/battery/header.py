"""C8 to C14: headers that offer a key, name one elsewhere, or ask for another way of reading the token."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.attacks.battery.cases import HUNG_UP, Hostile, Mint, with_header
from tests.support.tokens import DROP, Key, b64

MALLORY = Key("mallory")
EVIL = "https://evil.example"


def _own_key(header: dict[str, Any]) -> Callable[[Mint], str]:
    """Signed by a key of the sender's own, which the header offers."""
    return lambda mint: mint.token(header=header, sign=MALLORY.sign)


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
    *(with_header("C10", f"crit {value!r}", {"crit": value}, "header_refused") for value in ([], ["exp"], ["b64"], [1], None, ["none"], ["alg"], "exp", {}, True)),
    with_header("C10", "crit with its member", {"crit": ["http://example.com/x"], "http://example.com/x": True}, "header_refused"),
    Hostile("C10", "crit twice", lambda mint: mint.token(header=json.dumps(mint.header()).encode()[:-1] + b',"crit":[],"crit":[]}'), "not_strict_json"),
)  # fmt: skip


def _unencoded(mint: Mint) -> str:
    """RFC 7797: the payload itself is signed and stands there as it is."""
    head = b64(json.dumps(mint.header(b64=False, crit=["b64"])).encode())
    return f"{head}.{b64(mint.payload())}.{b64(mint.signer()(head.encode() + b'.' + mint.payload()))}"


_C11 = (
    with_header("C11", "b64 false without crit", {"b64": False}, "header_refused"),
    with_header("C11", "b64 true", {"b64": True}, "header_refused"),
    with_header("C11", "b64 false with crit", {"b64": False, "crit": ["b64"]}, "header_refused"),
    Hostile("C11", "signed unencoded", _unencoded, "header_refused"),
    Hostile("C11", "detached", lambda mint: "{0}..{2}".format(*mint.joined()), "not_base64url"),
)
_C12 = (
    *(with_header("C12", repr(kid), {"kid": kid}, "no_kid") for kid in (1, None, ["x"], {}, True, "", 1.5)),
    with_header("C12", "257 characters", {"kid": "k" * 257}, "no_kid"),
    Hostile("C12", "200 kB", lambda mint: mint.token(header={"kid": "k" * 200_000}), "token_too_large", HUNG_UP),
    *(
        with_header("C12", repr(kid), {"kid": kid}, "unknown_key")
        for kid in ("\0", "../../../dev/null", "' or 1=1 --", "a\r\nb", "*", "%", "{}", "__class__", "k" * 256, "\u202e")
    ),
    Hostile("C12", "kid of another realm", lambda mint: mint.token(header={"kid": mint.key("globex").kid}), "unknown_key"),
    Hostile("C12", "kid of the encryption key", lambda mint: mint.token(header={"kid": mint.server.realm("acme").keys.public_set()[0]["kid"]}), "unknown_key"),
    Hostile("C12", "kid in another case", lambda mint: mint.token(header={"kid": mint.key().kid.swapcase()}), "unknown_key"),
)  # fmt: skip
_C13 = (
    with_header("C13", "no kid, one key fits", {"kid": DROP}, "no_kid"),
    Hostile("C13", "no kid, several keys", lambda mint: mint.token("curves", header={"kid": DROP}), "no_kid"),
)
_C14 = tuple(
    with_header("C14", repr(kind), {"typ": kind}, "header_type")
    for kind in ("logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "JOSE+JSON", "oauth-authz-req+jwt", "", " JWT", "JWT ", 1, None, ["JWT"], True, "application/logout+jwt", "application/application/jwt")
)  # fmt: skip
CASES = (*_C8, *_C9, *_C10, *_C11, *_C12, *_C13, *_C14)
