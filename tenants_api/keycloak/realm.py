"""Fetches a realm's documents: discovery, JWKS, status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tenants_api.encoding.strict_json import parse_json
from tenants_api.outbound.client import RealmClient, RealmResponse
from tenants_api.outbound.errors import RealmFault
from tenants_api.outbound.urls import WELL_KNOWN

_JSON_TYPES = ("application/json", "application/jwk-set+json")


async def fetch_object(client: RealmClient, url: str, *, ca_bundle: str | None) -> tuple[dict[str, Any], bytes]:
    """GET a JSON document: the object and its bytes.

    Raises:
        RealmFault: it cannot be fetched, its status is not 200, or it is not a JSON object.
    """
    response = await client.get(url, ca_bundle=ca_bundle)
    check_status(response, url=url)
    if response.content_type.partition(";")[0].strip().lower() not in _JSON_TYPES:
        message = f"expected application/json at {url}, found {response.content_type[:60]!r}; is this a Keycloak realm?"
        raise RealmFault("NotJson", message=message)
    return parse_object(response.body, url=url), response.body


def check_status(response: RealmResponse, *, url: str) -> None:
    """Raises RealmFault (`HttpStatus`) unless the status is 200."""
    if response.status == 404:
        raise RealmFault("HttpStatus", message=f"expected 200 at {url}, found 404: {_why_not_found(url)}")
    if response.status != 200:
        message = f"expected 200 at {url}, found {response.status}; look into Keycloak's log"
        raise RealmFault("HttpStatus", message=message)


def _why_not_found(url: str) -> str:
    """What to check at a URL without a realm."""
    base, realms, _ = url.partition("/realms/")
    if not realms:
        return "the realm URL lacks /realms/<name>; copy it from Realm settings → Endpoints"
    if base.endswith("/auth"):
        return "no such realm; check its name (case-sensitive), and leave /auth out for Keycloak 17 or newer"
    return f"no such realm; check its name (case-sensitive), and try {base}/auth/realms/ if Keycloak is below /auth"


def parse_object(body: bytes, *, url: str) -> dict[str, Any]:
    """The JSON object in a response. Raises RealmFault (`NotJson`)."""
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


MAX_ISSUER_CHARACTERS = 512  # a registered issuer has no more; the rest is cut off


async def fetch_issuer(client: RealmClient, realm_url: str, *, ca_bundle: str | None = None) -> str:
    """The issuer that `{realm_url}/.well-known/openid-configuration` states. Raises RealmFault."""
    url = realm_url + WELL_KNOWN
    document, _ = await fetch_object(client, url, ca_bundle=ca_bundle)
    issuer = document.get("issuer")
    if not isinstance(issuer, str):
        raise RealmFault("NotJson", message=f"expected an issuer in the document at {url}, found none")
    return issuer[:MAX_ISSUER_CHARACTERS]


async def fetch_jwks(client: RealmClient, realm_url: str, *, ca_bundle: str | None = None) -> bytes:
    """GET Keycloak's fixed path `…/protocol/openid-connect/certs`; `jwks_uri` of the discovery document is not used.

    Raises:
        RealmFault: it cannot be fetched, or is not a JWKS (RFC 7517 section 5).
    """
    url = f"{realm_url}/protocol/openid-connect/certs"
    document, body = await fetch_object(client, url, ca_bundle=ca_bundle)
    if not isinstance(document.get("keys"), list):
        raise RealmFault("NotJson", message=f"expected a key set at {url}, found a document without keys")
    return body


@dataclass(frozen=True, slots=True)
class RealmStatus:
    """`not_before` is epoch seconds (0 = never pushed)."""

    enabled: bool
    not_before: int


async def fetch_status(client: RealmClient, realm_url: str, *, ca_bundle: str | None = None) -> RealmStatus:
    """Fetch both. Raises RealmFault."""
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
    """Whether the realm is enabled: a disabled one refuses every token request. Raises RealmFault."""
    url = f"{realm_url}/protocol/openid-connect/token"
    response = await client.post_form(url, {}, ca_bundle=ca_bundle)
    if response.status in (400, 401):
        return True
    if response.status == 403 and parse_object(response.body, url=url).get("error") == "access_denied":
        return False
    message = f"expected 400 from an empty request to {url}, found {response.status}; is this a Keycloak realm?"
    raise RealmFault("HttpStatus", message=message)
