"""Strict JSON (RFC 8259, RFC 8725 section 2.4): refuses what two parsers could read in two ways.

The result is that of the standard library. Where orjson is installed (the extra `fast`), its result is used when it
provably equals that; see docs/decisions/0015-orjson.md.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any, NoReturn

orjson: Any
try:
    orjson = import_module("orjson")
except ModuleNotFoundError:  # the extra `fast` is not installed
    orjson = None


def parse_json(data: bytes) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: not UTF-8 (or with a byte order mark), not valid JSON, a duplicate member, NaN or Infinity, a lone
            surrogate, or nesting beyond the interpreter's recursion limit.
    """
    value = _verified(data) if orjson is not None else None
    return value if value is not None else parse_with_stdlib(data)


def parse_with_stdlib(data: bytes) -> Any:
    """As `parse_json`, by the standard library."""
    try:
        # Decoded first: json.loads on bytes would also accept UTF-16, UTF-32 and a byte order mark.
        value = _read(data.decode("utf-8"))
        if b"\\" in data:
            # A lone surrogate is valid JSON, and cannot be encoded as UTF-8 later.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value


def _verified(data: bytes) -> Any:
    """The value that orjson reads, if orjson serializes it to the same bytes; None if not.

    Such a text has no duplicate member, no integer that became a float, no lone surrogate and no byte order mark.
    """
    try:
        value = orjson.loads(data)
        return value if orjson.dumps(value) == data else None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # not valid JSON, or nested deeper than orjson writes
        return None


def _read(text: str) -> Any:
    try:
        value, end = _STRICT.raw_decode(text)  # the fast path, for text without white space around it
    except ValueError:
        return _STRICT.decode(text)
    return value if end == len(text) else _STRICT.decode(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
