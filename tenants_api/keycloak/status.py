"""A realm's status: its not-before, and whether it is enabled.

A realm that is disabled in Keycloak keeps answering discovery, keys and `GET {realm_url}` with 200; what tells is an
empty POST to its token endpoint: 403 `Realm not enabled` against 400.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenants_api.keycloak.documents import fetch_object, parse_object
from tenants_api.keycloak.errors import RealmFault
from tenants_api.keycloak.fetch import RealmClient


@dataclass(frozen=True, slots=True)
class RealmStatus:
    """`not_before` is epoch seconds (0 = never pushed)."""

    enabled: bool
    not_before: int


async def fetch_status(client: RealmClient, realm_url: str, *, ca_bundle: str | None = None) -> RealmStatus:
    """Ask the realm for both. Raises RealmFault."""
    enabled = await fetch_enabled(client, realm_url, ca_bundle=ca_bundle)
    return RealmStatus(enabled, await fetch_not_before(client, realm_url, ca_bundle=ca_bundle))


async def fetch_not_before(client: RealmClient, realm_url: str, *, ca_bundle: str | None = None) -> int:
    """`tokens-not-before` of the realm's public page. Raises RealmFault."""
    document, _ = await fetch_object(client, realm_url, ca_bundle=ca_bundle)
    value = document.get("tokens-not-before", 0)
    if type(value) is not int or not 0 <= value < 2**40:
        message = f"expected tokens-not-before in epoch seconds at {realm_url}, found {type(value).__name__}"
        raise RealmFault("NotJson", message=message)
    return value


async def fetch_enabled(client: RealmClient, realm_url: str, *, ca_bundle: str | None = None) -> bool:
    """Whether the realm gives out tokens at all. Raises RealmFault."""
    url = f"{realm_url}/protocol/openid-connect/token"
    answer = await client.post_form(url, {}, ca_bundle=ca_bundle)
    if answer.status in (400, 401):
        return True
    if answer.status == 403 and parse_object(answer.body, url=url).get("error") == "access_denied":
        return False
    message = f"expected 400 from an empty request to {url}, found {answer.status}; is this a Keycloak realm?"
    raise RealmFault("HttpStatus", message=message)
