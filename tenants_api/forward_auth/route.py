"""Forward auth within the API, in front of CORS and routes.

CORS would treat an OPTIONS request with an `Origin` as a preflight, and accept it without a token.
"""

from __future__ import annotations

from types import SimpleNamespace

from starlette.types import Receive, Scope, Send

from tenants_api.composition import Services
from tenants_api.forward_auth.endpoint import PATH, Authorizer
from tenants_api.observability.logging import REQUEST_ID
from tenants_api.web.authentication import SERVICES

_ROUTE = SimpleNamespace(path=PATH)  # for the metric


class ForwardAuth:
    """The ASGI application for `/authz` and every path below it."""

    def __init__(self) -> None:
        self._authorizer: Authorizer | None = None
        self._services: Services | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = _ROUTE
        services, authorizer = scope[SERVICES], self._authorizer
        if authorizer is None or services is not self._services:  # the lifespan may run again
            authorizer = self._of(services)
        await authorizer.answer(scope, send, request_id=scope[REQUEST_ID])

    def _of(self, services: Services) -> Authorizer:
        self._services = services
        self._authorizer = Authorizer(
            verifier=services.verifier,
            roles=services.roles,
            mint=services.assertion.mint if services.assertion is not None else None,
        )
        return self._authorizer
