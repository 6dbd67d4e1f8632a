"""B: texts that are not exactly one compact JWS with strict JSON inside. None may reach the look-up of a key."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.attacks.battery.cases import HUNG_UP, MALFORMED, NOT_HTTP, REFUSED, Hostile, Mint
from tests.support.tokens import b64

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _spelled(
    row: str, name: str, spoil: Callable[[str], str], reason: str, answer: tuple[int, str] = REFUSED
) -> Hostile:
    """A good token, respelled."""
    return Hostile(row, name, lambda mint: spoil(mint.token()), reason, answer)


def _segment(row: str, name: str, number: int, spoil: Callable[[str], str], reason: str) -> Hostile:
    """A token with one segment respelled and then signed anew, so that only the spelling is wrong."""

    def make(mint: Mint) -> str:
        parts = list(mint.joined()[:2])
        parts[number] = spoil(parts[number])
        return mint.compact(".".join(parts), sign=mint.signer())

    return Hostile(row, f"{name}, segment {number + 1}", make, reason)


def _payload(row: str, name: str, payload: bytes | Callable[[Mint], bytes], reason: str) -> Hostile:
    def make(mint: Mint) -> str:
        return mint.token(payload=payload(mint) if callable(payload) else payload)

    return Hostile(row, name, make, reason)


def _header(row: str, name: str, header: Callable[[Mint], bytes], reason: str) -> Hostile:
    return Hostile(row, name, lambda mint: mint.token(header=header(mint)), reason)


def _loose(text: str) -> str:
    """The same bytes in base64url with an unused low bit set, where the length leaves one; else one more member."""
    rest = len(text) % 4
    if rest == 0:
        return text + "A"  # five characters of a group are no base64 at all
    return text[:-1] + ALPHABET[ALPHABET.index(text[-1]) + 1]


def _loose_payload(rest: int) -> Callable[[Mint], str]:
    """A payload whose last group has this many characters, loose, and signed as it stands."""

    def make(mint: Mint) -> str:
        payloads = (b64(mint.payload()[:-1] + b" " * more + b"}") for more in range(3))
        payload = next(text for text in payloads if len(text) % 4 == rest)
        return mint.compact(f"{mint.joined()[0]}.{_loose(payload)}", sign=mint.signer())

    return make


def _dumped(mint: Mint, more: bytes) -> bytes:
    return mint.payload()[:-1] + b", " + more + b"}"


def _flattened(mint: Mint) -> str:
    header, payload, signature = mint.joined()
    return json.dumps({"protected": header, "payload": payload, "signature": signature}, separators=(",", ":"))


def _general(mint: Mint) -> str:
    header, payload, signature = mint.joined()
    signatures = [{"protected": header, "signature": signature}]
    return json.dumps({"payload": payload, "signatures": signatures}, separators=(",", ":"))


def _padded_json(mint: Mint) -> str:
    """RFC 8725bis section 3.14: JSON serialization that also splits into three at its dots."""
    header, payload, signature = mint.joined()
    return f'{{"protected":"{header}.","payload":".{payload}","signature":"{signature}"}}'


def _nested(count: int) -> bytes:
    return b'{"a":' * count + b"1" + b"}" * count


_B1 = (
    *(
        Hostile("B1", repr(text), lambda mint, text=text: text, reason)  # type: ignore[misc]
        for text, reason in {
            ".": "not_three_segments", "..": "not_base64url", "a": "not_three_segments", "a.b": "not_three_segments",
            "a.b.c": "not_base64url", "a.b.c.d.e": "not_three_segments", "...": "not_three_segments",
        }.items()
    ),
    _spelled("B1", "two segments", lambda raw: raw.rpartition(".")[0], "not_three_segments"),
    _spelled("B1", "four segments", lambda raw: raw + ".AA", "not_three_segments"),
    _spelled("B1", "five segments (JWE)", lambda raw: raw + ".AA.AA", "not_three_segments"),
    _spelled("B1", "trailing dot", lambda raw: raw + ".", "not_three_segments"),
    _spelled("B1", "leading dot", lambda raw: "." + raw, "not_three_segments"),
    _spelled("B1", "doubled dot", lambda raw: raw.replace(".", "..", 1), "not_three_segments"),
    _spelled("B1", "no header", lambda raw: "." + raw.split(".", 1)[1], "not_base64url"),
    _spelled("B1", "no payload", lambda raw: "{0}..{2}".format(*raw.split(".")), "not_base64url"),
    _spelled("B1", "twice in one text", lambda raw: raw + "." + raw, "not_three_segments"),
)  # fmt: skip
_B2 = (
    Hostile("B2", "flattened JSON", _flattened, "not_three_segments", MALFORMED),
    Hostile("B2", "general JSON", _general, "not_three_segments", MALFORMED),
    Hostile("B2", "JSON with two dots", _padded_json, "not_base64url", MALFORMED),
    Hostile("B2", "flattened JSON without a comma", lambda mint: '{"protected":""}', "not_three_segments"),
)
_B3 = (
    _spelled("B3", "one = at the end", lambda raw: raw + "=", "not_base64url"),
    _spelled("B3", "two = at the end", lambda raw: raw + "==", "not_base64url"),
    _spelled("B3", "aligned padding of the signature", lambda raw: raw + "=" * (-len(raw.split(".")[2]) % 4), "not_base64url"),
    *(_segment("B3", "aligned padding", n, lambda text: text + ("=" * (-len(text) % 4) or "===="), "not_base64url") for n in (0, 1)),
    *(_segment("B3", "one =", n, lambda text: text + "=", "not_base64url") for n in (0, 1)),
)  # fmt: skip
_B4 = (
    _spelled("B4", "loose trailing bits of the signature", _loose, "not_base64url"),
    *(_segment("B4", "loose trailing bits", n, _loose, "not_base64url") for n in (0, 1)),
    *(
        Hostile("B4", f"loose trailing bits of {rest} characters", _loose_payload(rest), "not_base64url")
        for rest in (2, 3)
    ),
    _spelled("B4", "! at the end", lambda raw: raw + "!!!!", "not_base64url"),
    _spelled("B4", "+ in the signature", lambda raw: raw[:-8] + "++++" + raw[-4:], "not_base64url"),
    _spelled("B4", "/ in the signature", lambda raw: raw[:-8] + "////" + raw[-4:], "not_base64url"),
    _spelled("B4", "space inside", lambda raw: raw[:-4] + " " + raw[-4:], "not_base64url", MALFORMED),
    _spelled("B4", "tab inside", lambda raw: raw[:-4] + "\t" + raw[-4:], "not_base64url", MALFORMED),
    _spelled("B4", "vertical tab inside", lambda raw: raw[:-4] + "\v" + raw[-4:], "not_base64url", NOT_HTTP),
    _spelled("B4", "form feed at the end", lambda raw: raw + "\f", "not_base64url", NOT_HTTP),
    _spelled("B4", "file separator at the end", lambda raw: raw + "\x1c", "not_base64url", NOT_HTTP),
    _spelled("B4", "line feed at the end", lambda raw: raw + "\n", "not_base64url", NOT_HTTP),
    _spelled("B4", "CR LF inside", lambda raw: raw[:-4] + "\r\n" + raw[-4:], "not_base64url", NOT_HTTP),
    _spelled("B4", "NUL inside", lambda raw: raw[:-4] + "\0" + raw[-4:], "not_base64url", NOT_HTTP),
    _spelled("B4", "escaped dot", lambda raw: raw.replace(".", "%2E"), "not_three_segments"),
    _spelled("B4", "escaped dot between real ones", lambda raw: raw + "%2E", "not_base64url"),
    _spelled("B4", "DEL at the end", lambda raw: raw + "\x7f", "not_base64url", NOT_HTTP),
)
_B5 = (
    _spelled("B5", "no-break space at the end", lambda raw: raw + "\xa0", "not_ascii"),
    _spelled("B5", "next line (U+0085) at the end", lambda raw: raw + "\x85", "not_ascii"),
    _spelled("B5", "bytes of a full-width dot", lambda raw: raw.replace(".", "\xef\xbc\x8e"), "not_ascii"),
    _spelled("B5", "byte 0xE9", lambda raw: raw[:-1] + "\xe9", "not_ascii"),
    _spelled("B5", "in quotes", lambda raw: f'"{raw}"', "not_base64url"),
    _spelled("B5", "in apostrophes", lambda raw: f"'{raw}'", "not_base64url"),
    _spelled("B5", "a second Bearer", lambda raw: "Bearer " + raw, "not_base64url", MALFORMED),
    _spelled("B5", "in braces", lambda raw: "{" + raw + "}", "not_base64url"),
)  # fmt: skip
_B7 = (
    *(_payload("B7", repr(text), text, "not_an_object") for text in (b"null", b"[]", b'"x"', b"1", b"true", b"0.0")),
    *(_payload("B7", repr(text), text, "not_strict_json") for text in (b"{", b"not json", b'{"iss"', b"\xff", b"{}x")),
    _payload("B7", "nothing at all", b"", "not_base64url"),
    _payload("B7", "byte order mark", lambda mint: b"\xef\xbb\xbf" + mint.payload(), "not_strict_json"),
    _payload("B7", "UTF-16", lambda mint: mint.payload().decode().encode("utf-16"), "not_strict_json"),
    _payload("B7", "UTF-16 without a mark", lambda mint: mint.payload().decode().encode("utf-16-le"), "not_strict_json"),
    _payload("B7", "UTF-32", lambda mint: mint.payload().decode().encode("utf-32"), "not_strict_json"),
    _payload("B7", "latin-1", lambda mint: _dumped(mint, b'"name2": "Zo\xeb"'), "not_strict_json"),
    _payload("B7", "overlong UTF-8", lambda mint: _dumped(mint, b'"name2": "\xc0\xaf"'), "not_strict_json"),
    _payload("B7", "surrogates in UTF-8", lambda mint: _dumped(mint, b'"name2": "\xed\xa0\x80"'), "not_strict_json"),
    _payload("B7", "a second object after it", lambda mint: mint.payload() + b"{}", "not_strict_json"),
    _payload("B7", "NUL after it", lambda mint: mint.payload() + b"\0", "not_strict_json"),
    _payload("B7", "comment in it", lambda mint: _dumped(mint, b'/* */ "x": 1'), "not_strict_json"),
    _payload("B7", "trailing comma", lambda mint: mint.payload()[:-1] + b",}", "not_strict_json"),
    _payload("B7", "apostrophes", lambda mint: mint.payload().replace(b'"', b"'"), "not_strict_json"),
    _payload("B7", "control character in a text", lambda mint: _dumped(mint, b'"x": "a\nb"'), "not_strict_json"),
    _payload("B7", "object in a list", lambda mint: b"[" + mint.payload() + b"]", "not_an_object"),
)  # fmt: skip
_B8 = (
    _payload("B8", "iss twice", lambda mint: _dumped(mint, b'"iss": "https://evil.example"'), "not_strict_json"),
    _payload("B8", "sub twice", lambda mint: _dumped(mint, b'"sub": "mallory"'), "not_strict_json"),
    _payload("B8", "sub twice by an escape", lambda mint: _dumped(mint, b'"\\u0073ub": "mallory"'), "not_strict_json"),
    _payload("B8", "the same member in a nested object", lambda mint: _dumped(mint, b'"x": {"a": 1, "a": 1}'), "not_strict_json"),
    _header("B8", "alg twice", lambda mint: json.dumps(mint.header()).encode()[:-1] + b', "alg": "none"}', "not_strict_json"),
    _header("B8", "kid twice by an escape", lambda mint: json.dumps(mint.header()).encode()[:-1] + b', "\\u006bid": "x"}', "not_strict_json"),
)  # fmt: skip
_B9 = (
    _payload("B9", "1000 levels in the payload", _nested(900), "no_issuer"),
    _payload("B9", "open brackets in the payload", b"[" * 5000, "not_strict_json"),
    _payload("B9", "open braces in the payload", b'{"a":' * 1100, "not_strict_json"),
    _header("B9", "300 levels in the header", lambda mint: _nested(200), "no_algorithm"),
    _header("B9", "open brackets in the header", lambda mint: b"[" * 1500, "not_strict_json"),
    Hostile("B9", "100,000 levels", lambda mint: mint.token(payload=b"[" * 100_000), "token_too_large", HUNG_UP),
    _payload("B9", "integer of 5000 digits", lambda mint: _dumped(mint, b'"x": ' + b"9" * 5000), "not_strict_json"),
    _payload("B9", "NaN", lambda mint: _dumped(mint, b'"x": NaN'), "not_strict_json"),
    _payload("B9", "Infinity", lambda mint: _dumped(mint, b'"x": [-Infinity]'), "not_strict_json"),
    _payload("B9", "lone surrogate", lambda mint: _dumped(mint, b'"x": "\\ud800"'), "not_strict_json"),
    _payload("B9", "lone surrogate in a member's name", lambda mint: _dumped(mint, b'"\\udfff": 1'), "not_strict_json"),
    _header("B9", "lone surrogate in the header", lambda mint: b'{"alg":"RS256","kid":"\\ud800"}', "not_strict_json"),
    _header("B9", "header over 2 KiB", lambda mint: json.dumps(mint.header(x="a" * 2048)).encode(), "header_too_long"),
)  # fmt: skip
_B10 = (
    Hostile("B10", "nested JWT", lambda mint: mint.token(header={"cty": "JWT"}, payload=mint.token().encode()), "header_refused"),
    Hostile("B10", "token as payload, no cty", lambda mint: mint.token(payload=mint.token().encode()), "not_strict_json"),
    Hostile("B10", "JWE header on a JWS", lambda mint: mint.token(header={"alg": "RSA-OAEP", "enc": "A256GCM"}), "header_refused"),
    Hostile("B10", "compressed", lambda mint: mint.token(header={"zip": "DEF"}), "header_refused"),
    Hostile("B10", "PBES2 with 2^31 rounds", lambda mint: mint.token(header={"alg": "PBES2-HS256+A128KW", "p2c": 2**31, "p2s": "AA"}), "algorithm_refused"),
    Hostile("B10", "a whole JWE", lambda mint: ".".join([b64(b'{"alg":"dir","enc":"A256GCM","zip":"DEF"}'), "", "AAAA", "AAAA", "AAAA"]), "not_three_segments"),
)  # fmt: skip
CASES = (*_B1, *_B2, *_B3, *_B4, *_B5, *_B7, *_B8, *_B9, *_B10)
