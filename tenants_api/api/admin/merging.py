"""JSON merge patch (RFC 7396) of free-form objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The target with the patch applied: null removes a member, objects are merged, all else replaces."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            present = merged.get(name)
            merged[name] = merge(present if isinstance(present, dict) else {}, value)
        else:
            merged[name] = value
    return merged
