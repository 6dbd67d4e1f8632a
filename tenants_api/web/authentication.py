"""From the Authorization header to a principal (RFC 6750 section 2.1, RFC 9110 section 11), for routes that ask."""

from __future__ import annotations

from starlette.types import Scope

from tenants_api.composition import Services
from tenants_api.tokens.credentials import Credential

PRINCIPAL = "tenants_api.principal"
SERVICES = "tenants_api.services"


def services_of(scope: Scope) -> Services | None:
    """What the application's lifespan opened; None while it did not. A middleware may have put it into the scope."""
    found: Services | None = scope.get(SERVICES) or getattr(getattr(scope.get("app"), "state", None), "services", None)
    return found


def credential_of(scope: Scope, *, services: Services) -> Credential:
    """The one credential of a request; see `TokenVerifier.credential_of`.

    Its URL is the one that its sender sees, without the query; None where that is not known. The Host header is not
    asked.
    """
    base, path = services.settings.public_url, scope.get("raw_path")
    return services.verifier.credential_of(
        scope["headers"],
        query=scope.get("query_string", b""),
        method=scope.get("method", "GET"),  # a WebSocket is opened by one
        url=None if base is None or path is None else base.rstrip("/") + path.decode("latin-1"),
    )
