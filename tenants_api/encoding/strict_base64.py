"""Strict base64url: without padding, and in its one canonical spelling (RFC 4648 sections 3.5 and 5, RFC 7515).

Where pybase64 is installed (the extra `fast`), it decodes by SIMD instructions; the result is that of the standard
library. See docs/decisions/0018-pybase64.md.
"""

from __future__ import annotations

import binascii
from importlib import import_module
from typing import Any

pybase64: Any
try:
    pybase64 = import_module("pybase64")
except ModuleNotFoundError:  # the extra `fast` is not installed
    pybase64 = None

# To the standard alphabet; the characters that base64url lacks become invalid in every alphabet.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_PLUS, _SLASH, _EQUALS = b"+/="  # as integers: `in` is then one call of memchr, in a sixth of the time
# The unused low bits of the last character must be zero, otherwise one value would have several spellings.
_LAST_OF_TWO = frozenset(b"AQgw")
_LAST_OF_THREE = frozenset(b"AEIMQUYcgkosw048")


def parse_base64url(text: bytes) -> bytes:
    """Decode base64url; empty text is empty bytes.

    Raises:
        ValueError: padding, white space, a character of another alphabet, an impossible length, or unused bits that
            are not zero.
    """
    if pybase64 is None:
        return parse_with_stdlib(text)
    padding = _padding_of(text)
    # pybase64 would accept both alphabets, and padding.
    if _PLUS in text or _SLASH in text or _EQUALS in text:
        raise ValueError("not base64url")
    found: bytes = pybase64.b64decode(text + padding, b"-_", True)
    return found


def parse_with_stdlib(text: bytes) -> bytes:
    """As `parse_base64url`, by the standard library."""
    return binascii.a2b_base64(text.translate(_TO_STANDARD) + _padding_of(text), strict_mode=True)


def _padding_of(text: bytes) -> bytes:
    """The padding of a text. Raises ValueError when its length is impossible, or its spelling is not canonical."""
    rest = len(text) % 4
    if rest == 0:
        return b""
    if rest == 1:
        raise ValueError("not base64url")
    if text[-1] not in (_LAST_OF_TWO if rest == 2 else _LAST_OF_THREE):
        raise ValueError("not canonical base64url")
    return b"==" if rest == 2 else b"="
