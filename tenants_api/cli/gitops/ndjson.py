"""NDJSON: one tenant a line, read line by line, so that the size of the file does not matter."""

from __future__ import annotations

from collections.abc import Iterator

from tenants_api.cli.gitops.entries import LARGEST, NOT_UTF8, TOO_LARGE, Entry, Peekable, has_mark
from tenants_api.strict_json import parse_json


def read_ndjson(stream: Peekable) -> Iterator[Entry]:
    """Each line that is not blank. A broken line does not end the reading: all broken ones are worth telling."""
    number = 0
    while raw := stream.readline(LARGEST + 1):
        number += 1
        if number == 1 and (has_mark(raw) or b"\0" in raw):
            yield Entry(number, fault=NOT_UTF8)
            return
        if len(raw) > LARGEST:
            yield Entry(number, fault=TOO_LARGE)
            _skip_line(stream)
        elif raw.strip():
            yield _entry(number, raw)


def _entry(number: int, raw: bytes) -> Entry:
    try:
        return Entry(number, parse_json(raw))
    except UnicodeDecodeError as error:
        return Entry(number, fault=f"not UTF-8: byte 0x{raw[error.start]:02x} at column {error.start + 1}")
    except ValueError as error:
        return Entry(number, fault=f"not strict JSON: {error}; each line must be one whole tenant")


def _skip_line(stream: Peekable) -> None:
    while (raw := stream.readline(LARGEST)) and not raw.endswith(b"\n"):
        pass
