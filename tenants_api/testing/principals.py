"""A caller of the test's choice, without patching anything."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from tenants_api.api.authentication import PRINCIPAL
from tenants_api.verification.principal import Principal, TenantRef

HOUR = 3600


def as_principal(
    app: ASGIApp, principal: Principal | None = None, *, tenant: str = "acme", roles: Iterable[str] = (), **facts: Any
) -> ASGIApp:
    """The application as this principal sees it: to give to `httpx.ASGITransport` or `TestClient`.

    The application itself stays as it is, so the principals of one test do not disturb each other. Nothing runs but
    the routes: no database, no lifespan needed (do not enter the `TestClient` as a context if yours needs one). Roles
    and the tenant in the path are still checked, in mounted applications and WebSockets too.

    Args:
        principal: whoever calls, whole; otherwise one is made of the following.
        tenant: its tenant's slug; the tenant's id depends on nothing else.
        roles: those that the mapping would have given; what they include is added as always.
        facts: any other field of `Principal`, and `scopes`.

    Raises:
        TypeError: `facts` names a field that `Principal` does not have.
    """
    caller = principal if principal is not None else make_principal(tenant, roles=roles, **facts)

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope[PRINCIPAL] = caller
        await app(scope, receive, send)

    return called


def make_principal(tenant: str, *, roles: Iterable[str], **facts: Any) -> Principal:
    """Somebody of this tenant; two of one tenant share its id."""
    subject = facts.pop("subject", "test-subject")
    made = {
        "tenant": TenantRef(uuid.uuid5(uuid.NAMESPACE_URL, f"tenants-api/testing/{tenant}"), tenant, tenant.title()),
        "issuer": f"https://id.test/realms/{tenant}",
        "organization": None,
        "subject": subject,
        "roles": frozenset(roles),
        "username": subject,
        "email": f"{subject}@{tenant}.test",
        "email_verified": True,
        "full_name": None,
        "authorized_party": "tenants-api",
        "scope": " ".join(facts.pop("scopes", ("openid",))),
        "expires_at": int(time.time()) + HOUR,
        "service_account": False,
    }
    return Principal(**{**made, **facts})
