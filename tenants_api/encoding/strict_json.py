"""JSON read strictly (RFC 8259 as RFC 8725 wants it): what two parsers could read in two ways is refused.

The standard library's parser decides. Where orjson is installed (the extra `fast`), it reads a text only
where it can be shown that the standard library reads the same; docs/decisions/0015-orjson.md.
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
    """The value in a JSON text.

    Raises:
        ValueError: not UTF-8 (or with a byte order mark), not JSON, a duplicate member, NaN or Infinity, a lone
            surrogate, or nested deeper than the interpreter can follow.
    """
    value = _verified(data) if orjson is not None else None
    return value if value is not None else parse_with_stdlib(data)


def parse_with_stdlib(data: bytes) -> Any:
    """The same, by the standard library alone."""
    try:
        # Decoded first: json.loads on bytes would also take UTF-16, UTF-32 and a byte order mark.
        value = _read(data.decode("utf-8"))
        if b"\\" in data:
            # A lone surrogate is legal JSON and breaks everything that later wants UTF-8.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value


def _verified(data: bytes) -> Any:
    """What orjson reads, if it writes the same bytes again; None if not.

    A value has each member once. So a text that is what is written of a value has none twice; and no integer that
    became a float, no number without an end, no lone surrogate, no byte order mark.
    """
    try:
        value = orjson.loads(data)
        return value if orjson.dumps(value) == data else None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # not JSON, or nested deeper than orjson writes
        return None


def _read(text: str) -> Any:
    """Without white space round it, as realms write it, the text needs no search for its ends."""
    try:
        value, end = _STRICT.raw_decode(text)
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
