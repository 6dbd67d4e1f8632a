"""The realm's key set, as bytes; what is in it is the verifier's business."""

from __future__ import annotations

from tenants_api.keycloak.documents import fetch_object
from tenants_api.keycloak.errors import RealmFault
from tenants_api.keycloak.fetch import RealmClient


async def fetch_jwks(client: RealmClient, realm_url: str, *, ca_bundle: str | None = None) -> bytes:
    """Read Keycloak's fixed path `…/protocol/openid-connect/certs`, whatever the discovery document names.

    Raises:
        RealmFault: it cannot be had, or is no JWKS (RFC 7517 section 5).
    """
    url = f"{realm_url}/protocol/openid-connect/certs"
    document, body = await fetch_object(client, url, ca_bundle=ca_bundle)
    if not isinstance(document.get("keys"), list):
        raise RealmFault("NotJson", message=f"expected a key set at {url}, found a document without keys")
    return body
