"""The services and the credential of a request (RFC 6750 section 2.1, RFC 9110 section 11)."""

from __future__ import annotations

from starlette.types import Scope

from tenants_api.composition import Services
from tenants_api.observability.logging import REQUEST
from tenants_api.tokens.credentials import Credential

PRINCIPAL = "tenants_api.principal"
SERVICES = "tenants_api.services"


def services_of(scope: Scope) -> Services | None:
    """The services that the lifespan opened, from the scope or the application's state; None if it did not."""
    found: Services | None = scope.get(SERVICES) or getattr(getattr(scope.get("app"), "state", None), "services", None)
    return found


def credential_of(scope: Scope, *, services: Services) -> Credential:
    """The credential of a request; see `TokenVerifier.credential_of`.

    Its URL is the public URL without the query, None without `TENANTS_PUBLIC_URL`; the Host header is not used.
    """
    REQUEST.set(scope)
    base, path = services.settings.public_url, scope.get("raw_path")
    return services.verifier.credential_of(
        scope["headers"],
        query=scope.get("query_string", b""),
        method=scope.get("method", "GET"),  # a WebSocket is opened by a GET
        url=None if base is None or path is None else base.rstrip("/") + path.decode("latin-1"),
    )
