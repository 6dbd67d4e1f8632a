"""What all documents of a realm have in common: status 200 and a JSON object."""

from __future__ import annotations

from typing import Any

from tenants_api.keycloak.errors import RealmFault
from tenants_api.keycloak.fetch import RealmAnswer, RealmClient
from tenants_api.strict_json import parse_json

_JSON_TYPES = ("application/json", "application/jwk-set+json")


async def fetch_object(client: RealmClient, url: str, *, ca_bundle: str | None) -> tuple[dict[str, Any], bytes]:
    """GET a JSON document: the object and the bytes that it was read from.

    Raises:
        RealmFault: it cannot be had, has another status than 200, or is no JSON object.
    """
    answer = await client.get(url, ca_bundle=ca_bundle)
    check_status(answer, url=url)
    if answer.content_type.partition(";")[0].strip().lower() not in _JSON_TYPES:
        message = f"expected application/json at {url}, found {answer.content_type[:60]!r}; is this a Keycloak realm?"
        raise RealmFault("NotJson", message=message)
    return parse_object(answer.body, url=url), answer.body


def check_status(answer: RealmAnswer, *, url: str) -> None:
    """Raises RealmFault (`HttpStatus`) unless the status is 200."""
    if answer.status == 404:
        raise RealmFault("HttpStatus", message=f"expected 200 at {url}, found 404: {_why_not_found(url)}")
    if answer.status != 200:
        message = f"expected 200 at {url}, found {answer.status}; look into Keycloak's log"
        raise RealmFault("HttpStatus", message=message)


def _why_not_found(url: str) -> str:
    """What may be wrong with a URL at which there is no realm."""
    base, realms, _ = url.partition("/realms/")
    if not realms:
        return "the realm URL lacks /realms/<name>; copy it from Realm settings → Endpoints"
    if base.endswith("/auth"):
        return "there is no such realm; check its name (case counts), and leave /auth out for Keycloak 17 or newer"
    return (
        f"there is no such realm; check its name (case counts), and try {base}/auth/realms/ if Keycloak is below /auth"
    )


def parse_object(body: bytes, *, url: str) -> dict[str, Any]:
    """The JSON object in an answer. Raises RealmFault (`NotJson`)."""
    try:
        value = parse_json(body)
    except ValueError as error:
        raise _not_json(url) from error
    if not isinstance(value, dict):
        raise _not_json(url)
    return value


def _not_json(url: str) -> RealmFault:
    message = f"expected a JSON object at {url}, found something else; is this the realm's URL, or a login page?"
    return RealmFault("NotJson", message=message)
