"""base64url read strictly: without padding, and in its one canonical spelling (RFC 4648 sections 3.5 and 5, RFC 7515).

Where pybase64 is installed (the extra `fast`), it reads by SIMD instructions what was checked before; the standard
library decides. docs/decisions/0018-pybase64.md.
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

# To the standard alphabet, and whatever is not base64url to what no alphabet has.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_PLUS, _SLASH, _EQUALS = b"+/="  # as numbers: each is then one look by memchr, a sixth of what it takes as text
# The unused low bits of the last character must be zero, else one text would have several spellings.
_LAST_OF_TWO = frozenset(b"AQgw")
_LAST_OF_THREE = frozenset(b"AEIMQUYcgkosw048")


def parse_base64url(text: bytes) -> bytes:
    """The bytes in a base64url text; an empty one has none.

    Raises:
        ValueError: padding, white space, a character of another alphabet, a length that no bytes have, or unused bits
            that are not zero.
    """
    if pybase64 is None:
        return parse_with_stdlib(text)
    padding = _padding_of(text)
    # It would take both alphabets, and padding where the text has its own.
    if _PLUS in text or _SLASH in text or _EQUALS in text:
        raise ValueError("not base64url")
    found: bytes = pybase64.b64decode(text + padding, b"-_", True)
    return found


def parse_with_stdlib(text: bytes) -> bytes:
    """The same, by the standard library alone."""
    return binascii.a2b_base64(text.translate(_TO_STANDARD) + _padding_of(text), strict_mode=True)


def _padding_of(text: bytes) -> bytes:
    """What a text of this length lacks. ValueError when it has a length that no bytes have, or another spelling."""
    rest = len(text) % 4
    if rest == 0:
        return b""
    if rest == 1:
        raise ValueError("not base64url")
    if text[-1] not in (_LAST_OF_TWO if rest == 2 else _LAST_OF_THREE):
        raise ValueError("not canonical base64url")
    return b"==" if rest == 2 else b"="
