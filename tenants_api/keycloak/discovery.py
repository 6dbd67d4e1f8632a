"""The discovery document (OpenID Connect Discovery 1.0 section 3). Its issuer is compared; its URLs are never read."""

from __future__ import annotations

from tenants_api.keycloak.documents import fetch_object
from tenants_api.keycloak.errors import RealmFault
from tenants_api.keycloak.fetch import RealmClient
from tenants_api.keycloak.urls import WELL_KNOWN

MAX_ISSUER = 512  # characters that are kept: a registered issuer has no more


async def fetch_issuer(client: RealmClient, realm_url: str, *, ca_bundle: str | None = None) -> str:
    """The issuer that `{realm_url}/.well-known/openid-configuration` states. Raises RealmFault."""
    url = realm_url + WELL_KNOWN
    document, _ = await fetch_object(client, url, ca_bundle=ca_bundle)
    issuer = document.get("issuer")
    if not isinstance(issuer, str):
        raise RealmFault("NotJson", message=f"expected an issuer in the document at {url}, found none")
    return issuer[:MAX_ISSUER]
