"""Each tenant as a protected resource of OAuth (RFC 9728), for clients that have to find out where to get a token.

It names the tenant's realms to everybody, so a tenant has it only when it was turned on. There is no document about
all tenants, and where it is off nothing tells whether there is such a tenant.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tenants_api.registry.values import TenantRow, TenantState
from tenants_api.verification.errors import TokenError
from tenants_api.wiring import Services

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def resource_metadata(services: Services, *, slug: str) -> dict[str, Any] | None:
    """The metadata document of this tenant (RFC 9728 section 2); None unless it is published."""
    tenant = _published(services, slug=slug)
    if tenant is None:
        return None
    realms = [realm for realm in tenant.realms if realm.enabled]
    organizations = {f"organization:{realm.organization}" for realm in realms if realm.organization}
    return {
        "resource": f"{_public_url(services)}/t/{tenant.slug}",
        "authorization_servers": list(dict.fromkeys(realm.issuer for realm in realms)),
        # Where tenants share a realm, the token must name the organization: Keycloak does so for this scope.
        "scopes_supported": ["openid", *sorted(organizations)],
        "bearer_methods_supported": ["header"],
        "resource_name": tenant.name,
    }


def metadata_url(services: Services, *, slug: str) -> str:
    """Where the document stands: the well-known part comes between host and path (RFC 9728 section 3.1)."""
    parts = urlsplit(_public_url(services))
    return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path}/t/{slug}"


def add_metadata(refused: TokenError, *, services: Services, slug: str | None) -> None:
    """A 401 on the path of a tenant that publishes its metadata says where it is (RFC 9728 section 5.1)."""
    challenge = refused.headers.get("WWW-Authenticate")
    if refused.status == 401 and challenge and slug is not None and _published(services, slug=slug) is not None:
        url = metadata_url(services, slug=slug)
        refused.headers = {**refused.headers, "WWW-Authenticate": f'{challenge}, resource_metadata="{url}"'}


def _published(services: Services, *, slug: str) -> TenantRow | None:
    tenant = services.trust.tenant_by_slug(slug)
    if tenant is None or not tenant.resource_metadata or tenant.state != TenantState.ACTIVE:
        return None
    return tenant if services.settings.public_url and any(realm.enabled for realm in tenant.realms) else None


def _public_url(services: Services) -> str:
    return (services.settings.public_url or "").rstrip("/")
