"""The measured application: this product with minimal routes, with and without authentication."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.library import ROUTES
from tenants_api import create_app
from tenants_api.forward_auth.identity import identity_headers

router = APIRouter(prefix="/bench")


for kind, route in ROUTES.items():
    router.add_api_route(f"/{kind}", route)


class Unchecked:
    """Responds at `/unchecked` with the bytes of forward auth's response, without a check."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answer: list[tuple[bytes, bytes]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in ("/unchecked", "/learn"):
            await self._app(scope, receive, send)
            return
        if scope["path"] == "/learn":  # stores the identity headers of this token for `/unchecked`
            verifier = scope["app"].state.services.verifier
            principal = await verifier.verify(verifier.credential_of(scope["headers"]))
            self._answer = [*identity_headers(principal), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": list(self._answer or [])})
        await send({"type": "http.response.body", "body": b""})


def create() -> FastAPI:
    app = create_app(routers=[router])
    app.user_middleware.insert(1, Middleware(Unchecked))  # where forward auth is: inside the outermost
    return app
