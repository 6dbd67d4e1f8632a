"""The verifier inside your FastAPI application, which has its own lifespan, database and routes.

`create_app` makes a whole API. `Tenancy` adds to an existing application what routes of that API use: the services
while it runs, the principal where a route declares it, and problem responses. Mounted sub-applications and WebSockets
work too: each application has the services in its state, and no middleware runs on its requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI, WebSocket, WebSocketDisconnect, WebSocketException, status
from starlette.applications import Starlette
from starlette.routing import Mount

from tenants_api.api import docs, health, public, wellknown
from tenants_api.api.admin.plane import create_admin_app
from tenants_api.api.tenant import TOKEN_PROBLEMS
from tenants_api.composition import Services, open_services
from tenants_api.errors import ApiError, UriTooLong
from tenants_api.observability import logging
from tenants_api.settings import Settings, load_settings
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.errors import MalformedCredentials, MissingToken, TenantMismatch, TokenError
from tenants_api.tokens.principal import Principal, RoleModel, roles_of_process
from tenants_api.web.dependencies import check_roles, principal_of
from tenants_api.web.middleware import RequestContext
from tenants_api.web.openapi import document_callers
from tenants_api.web.problems import install_problem_handlers

FIRST_MESSAGE_TIMEOUT_SECONDS = 5.0  # for a token as first message: browsers cannot set headers of a WebSocket


class Tenancy:
    """One for each application.

    tenancy = Tenancy(roles=ROLES)

    @asynccontextmanager
    async def lifespan(app):
        async with tenancy.running(), my_database():
            yield

    app = FastAPI(lifespan=lifespan)
    tenancy.install(app)
    """

    def __init__(self, settings: Settings | None = None, *, roles: RoleModel | None = None) -> None:
        """Settings are read from the environment if not given; roles are those of `TENANTS_ROLES` then.

        Raises:
            SettingsError: a setting is wrong.
            ValueError: `TENANTS_ROLES` differs from `roles`.
        """
        self.settings = settings if settings is not None else load_settings()
        self.roles = roles_of_process(roles, in_settings=self.settings.roles)
        self._services: Services | None = None  # while `running` is open
        self._parts: list[Starlette] = []

    @property
    def services(self) -> Services:
        """The services, for background tasks. Raises RuntimeError outside of `running`."""
        if self._services is None:
            raise RuntimeError("tenancy.running() is not open: enter it in the application's lifespan")
        return self._services

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Services]:
        """Open the services for as long as the block runs.

        Raises:
            NotReady: the database cannot be reached, is not migrated, or its role may not serve.
        """
        if not structlog.is_configured():
            logging.configure(format=self.settings.log_format, level=self.settings.log_level)
        async with open_services(self.settings, roles=self.roles) as services:
            self._set(services)
            try:
                yield services
            finally:
                self._set(None)

    def install(self, app: FastAPI, *, admin: str | None = "/admin") -> None:
        """Make principals available to the application; mount the admin plane at `admin` unless that is None.

        Also adds `/livez`, `/readyz` and `/metrics`, the pages `/problems/{code}`, the key set of the internal
        assertion, `/.well-known/oauth-protected-resource/t/{slug}` (RFC 9728) of tenants that publish it, and where
        the settings enable the documentation, `/t/{slug}/docs` with the login of that tenant's realm. The OpenAPI
        document has the bearer token of routes that depend on the principal.

        Call it after the application's own routes and mounts are added: these take precedence. A mounted application
        that has another `Tenancy` keeps its roles and services. Errors of this library become problems, unless the
        application has a handler for `ApiError`; other errors, headers and middleware stay as they are.

        Raises:
            ValueError: a route asks for a role that does not exist.
        """
        for part in (app, *_mounted_in(app)):
            if part is not app and part not in self._parts and hasattr(part.state, "roles"):
                continue  # it has services and roles of its own, by another Tenancy or by `create_app`
            check_roles(part.routes, roles=self.roles)
            if ApiError not in part.exception_handlers:
                install_problem_handlers(part, kinds=[ApiError])
            if isinstance(part, FastAPI):
                document_callers(part, problems=TOKEN_PROBLEMS)
            part.state.roles = self.roles
            self._parts.append(part)
        self._set(self._services)
        app.include_router(wellknown.router)
        for router in (health.router, public.problems, docs.tenants):
            app.include_router(router, include_in_schema=False)
        docs.mount_static(app)
        if admin is not None:
            app.mount(admin, RequestContext(create_admin_app()), name="tenants-admin")

    def _set(self, services: Services | None) -> None:
        self._services = services
        for part in self._parts:
            part.state.services = services


def _mounted_in(app: Starlette) -> Iterator[Starlette]:
    """The applications mounted below this one, each of which handles its own errors."""
    for route in app.routes:
        part = route.app if isinstance(route, Mount) else None
        while part is not None and not isinstance(part, Starlette):
            part = getattr(part, "app", None)  # a middleware around it
        if part is not None:
            yield part
            yield from _mounted_in(part)


async def websocket_principal(websocket: WebSocket) -> Principal:
    """Accept a WebSocket without a subprotocol and return its principal: a dependency. See `accept_websocket`."""
    return await accept_websocket(websocket)


async def accept_websocket(websocket: WebSocket, *, subprotocols: Sequence[str] = ()) -> Principal:
    """Accept a WebSocket and return its principal; call it first, or in a dependency of your own.

    `subprotocols` are those that the application speaks, the preferred one first; the first one that the client offers
    is accepted. Browsers close a connection whose offer was not taken.

    The token is in the `Authorization` header or, from a browser, the first message, within five seconds. It is never
    read from the query or the subprotocol, which are logged (RFC 9700 section 4.3.2). The connection stays open after
    the token expires; close it at `principal.expires_at` if that matters.

    Raises:
        WebSocketException: 1008 (policy violation); the reason is the problem's code.
    """
    offered = websocket.scope.get("subprotocols", ())
    chosen = next((one for one in subprotocols if one in offered), None)
    try:
        principal = await principal_of(websocket)
    except MissingToken:
        await websocket.accept(chosen)
        return await _from_first_message(websocket)
    except (TokenError, MalformedCredentials, TenantMismatch, UriTooLong) as refused:
        raise _closed(refused.code) from refused
    await websocket.accept(chosen)
    return principal


async def _from_first_message(websocket: WebSocket) -> Principal:
    try:
        async with asyncio.timeout(FIRST_MESSAGE_TIMEOUT_SECONDS):
            raw = await websocket.receive_text()
        return await principal_of(websocket, presented=Credential.bearer(raw))
    except (TimeoutError, WebSocketDisconnect, KeyError) as error:
        raise _closed(MissingToken.code) from error
    except (TokenError, TenantMismatch) as refused:
        raise _closed(refused.code) from refused


def _closed(code: str) -> WebSocketException:
    return WebSocketException(status.WS_1008_POLICY_VIOLATION, code)
