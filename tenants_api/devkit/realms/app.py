"""The ASGI app of development realms, with Keycloak's URLs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from tenants_api.devkit.realms import documents, login
from tenants_api.devkit.realms.control import control_routes
from tenants_api.devkit.realms.guard import LoopbackOnly
from tenants_api.devkit.realms.realm import DevRealm
from tenants_api.devkit.realms.token_endpoint import token

HANG_SECONDS: Final = 600
_HUGE_CHUNKS: Final = 160
_CHUNK: Final = b'{"kty":"RSA","n":"' + b"A" * 65_500 + b'"},'


async def faulty_response(realm: DevRealm, kind: str, request: Request) -> Response | None:
    """The response of a switched-on fault for the endpoint `kind`; None without a fault."""
    faults = realm.faults
    if faults.hang:
        return await _hang(request)
    if faults.slow_seconds > 0:
        await asyncio.sleep(faults.slow_seconds)
    if faults.down:
        return PlainTextResponse("Service Unavailable", status_code=503)
    if faults.redirect_to is not None:
        return RedirectResponse(faults.redirect_to, status_code=302)
    return _faulty_document(realm, kind) if kind in ("certs", "discovery") else None


def _faulty_document(realm: DevRealm, kind: str) -> Response | None:
    if realm.faults.garbage:
        return HTMLResponse("<!doctype html><title>Service is temporarily unavailable</title>")
    if kind != "certs":
        return None
    if realm.faults.take_failure():
        return PlainTextResponse("Internal Server Error", status_code=500)
    return StreamingResponse(_huge_set(), media_type="application/json") if realm.faults.huge else None


async def _hang(request: Request) -> Response:
    """Wait until the client disconnects, at most `HANG_SECONDS`; then 504."""
    try:
        async with asyncio.timeout(HANG_SECONDS):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass
    return PlainTextResponse("Gateway Timeout", status_code=504)


async def _huge_set() -> AsyncIterator[bytes]:
    """10 MB of JSON, without a Content-Length."""
    yield b'{"keys":['
    for _ in range(_HUGE_CHUNKS):
        yield _CHUNK
    yield b'{"kty":"RSA"}]}'


Endpoint = Callable[[DevRealm, Request], Awaitable[Response]]


def create_dev_realms(realms: Iterable[DevRealm], *, admin: bool = True, hosts: Iterable[str] = ()) -> Starlette:
    """The app of these realms; `app.state.realms` maps name to realm and may grow while it serves.

    Only requests of this machine are accepted (403 otherwise). `admin` adds the `/dev/realms` switches. `hosts` are
    Host names besides localhost, 127.0.0.1 and [::1], for tests without a socket.
    """
    app = Starlette(
        routes=[*_realm_routes(), *(control_routes() if admin else [])],
        middleware=[Middleware(LoopbackOnly, hosts=tuple(hosts)), _cors()],
    )
    app.router.redirect_slashes = False  # as Keycloak; a redirect would name the request's Host
    app.state.realms = {realm.name: realm for realm in realms}
    return app


def _cors() -> Middleware:
    """CORS for pages of this machine on any port, as `webOrigins` of Keycloak for the demo's login."""
    return Middleware(
        CORSMiddleware,
        allow_origin_regex=r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?",
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "DPoP"],
    )


def _realm_routes() -> list[Route]:
    below = "/realms/{realm}/protocol/openid-connect"
    return [
        _route("/realms/{realm}", "info", documents.info, "GET"),
        _route("/realms/{realm}/.well-known/openid-configuration", "discovery", documents.discovery, "GET"),
        _route(f"{below}/certs", "certs", documents.certs, "GET"),
        _route(f"{below}/token", "token", token, "POST"),
        _route(f"{below}/auth", "auth", login.authorize, "GET", "POST"),
        _route(f"{below}/userinfo", "userinfo", documents.userinfo, "GET", "POST"),
        _route(f"{below}/logout", "logout", login.logout, "GET", "POST"),
    ]


def _route(path: str, kind: str, endpoint: Endpoint, *methods: str) -> Route:
    """A route of a realm: finds the realm, counts the request as `kind`, applies the faults."""

    async def answer(request: Request) -> Response:
        realm: DevRealm | None = request.app.state.realms.get(request.path_params["realm"])
        if realm is None:
            return JSONResponse({"error": "Realm does not exist"}, status_code=404)
        realm.requests[kind] += 1
        return await faulty_response(realm, kind, request) or await endpoint(realm, request)

    return Route(path, answer, methods=list(methods))
