"""JSON from a realm, read strictly: UTF-8, an object, no duplicate members, no NaN."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from tenants_api.keycloak.errors import RealmFault


def parse_object(body: bytes, *, url: str) -> dict[str, Any]:
    """The JSON object in an answer.

    Raises:
        RealmFault: `NotJson`.
    """
    try:
        value = _STRICT.decode(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _not_json(url) from error
    if not isinstance(value, dict):
        raise _not_json(url)
    return value


def _not_json(url: str) -> RealmFault:
    message = f"expected a JSON object at {url}, found something else; is this the realm's URL, or a login page?"
    return RealmFault("NotJson", message=message)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
