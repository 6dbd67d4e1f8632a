"""The discovery document (OpenID Connect Discovery 1.0 section 3). Its URLs are reported, never followed."""

from __future__ import annotations

from dataclasses import dataclass

from tenants_api.keycloak.documents import fetch_object
from tenants_api.keycloak.errors import RealmFault
from tenants_api.keycloak.fetch import RealmClient
from tenants_api.keycloak.urls import WELL_KNOWN


@dataclass(frozen=True, slots=True)
class Discovery:
    """The members that are compared or shown; a missing URL is None."""

    issuer: str
    jwks_uri: str | None
    authorization_endpoint: str | None
    token_endpoint: str | None
    end_session_endpoint: str | None


async def fetch_discovery(client: RealmClient, realm_url: str, *, ca_bundle: str | None = None) -> Discovery:
    """Read `{realm_url}/.well-known/openid-configuration`. Raises RealmFault."""
    url = realm_url + WELL_KNOWN
    document, _ = await fetch_object(client, url, ca_bundle=ca_bundle)
    issuer = document.get("issuer")
    if not isinstance(issuer, str):
        raise RealmFault("NotJson", message=f"expected an issuer in the document at {url}, found none")

    def text(name: str) -> str | None:
        value = document.get(name)
        return value if isinstance(value, str) else None

    return Discovery(
        issuer=issuer[:512],
        jwks_uri=text("jwks_uri"),
        authorization_endpoint=text("authorization_endpoint"),
        token_endpoint=text("token_endpoint"),
        end_session_endpoint=text("end_session_endpoint"),
    )
