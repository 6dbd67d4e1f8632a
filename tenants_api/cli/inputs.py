"""Secrets and documents that a command reads from a file or from stdin, so that no shell history keeps them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tenants_api.cli.exits import USAGE, Stopped

LARGEST = 1024 * 1024  # bytes


def read_text(path: Path | None) -> str:
    """The content of a file; `-` or None is stdin.

    Raises:
        Stopped: it cannot be read, is no UTF-8 or is over 1 MiB.
    """
    try:
        raw = sys.stdin.buffer.read(LARGEST + 1) if path is None or str(path) == "-" else _read(path)
        text = raw.decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Stopped(f"cannot read {path or 'stdin'}: {error}", code=USAGE) from error
    if len(raw) > LARGEST:
        raise Stopped(f"{path or 'stdin'} is over 1 MiB", code=USAGE)
    return text


def read_object(path: Path | None) -> dict[str, Any]:
    """A JSON object out of a file or stdin."""
    return parse_object(read_text(path), name=str(path or "stdin"))


def parse_object(text: str, *, name: str) -> dict[str, Any]:
    """A JSON object; `name` is what the message calls it.

    Raises:
        Stopped: it is something else.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise Stopped(f"{name} is no JSON: {error}", code=USAGE) from error
    if not isinstance(value, dict):
        raise Stopped(f"{name} must be a JSON object", code=USAGE)
    return value


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(LARGEST + 1)
