"""The captured answers of a real Keycloak 26.7.3, and the comparison with ours."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent.parent / "data" / "keycloak-samples.json"


@cache
def samples() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return loaded


def header_of(token: str) -> dict[str, Any]:
    return _segment(token, 0)


def claims_of(token: str) -> dict[str, Any]:
    return _segment(token, 1)


def shape(value: Any) -> Any:
    """The field names and JSON types of a value, without the values."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in sorted(value.items())}
    if isinstance(value, list):
        return ["list of", *sorted({json.dumps(shape(member)) for member in value})]
    return type(value).__name__


def unordered(value: Any) -> Any:
    """Lists sorted (Keycloak's order varies from token to token), scope as a set."""
    if isinstance(value, dict):
        return {
            name: sorted(member.split()) if name == "scope" else unordered(member) for name, member in value.items()
        }
    return sorted(value, key=json.dumps) if isinstance(value, list) else value


def fixed(claims: dict[str, Any], *, volatile: set[str]) -> dict[str, Any]:
    """The claims whose values must be equal, too."""
    kept: dict[str, Any] = unordered({name: value for name, value in claims.items() if name not in volatile})
    return kept


def _segment(token: str, index: int) -> dict[str, Any]:
    raw = token.split(".")[index]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
    return decoded
