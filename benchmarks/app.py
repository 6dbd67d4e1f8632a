"""The application that is asked: this product with routes that do next to nothing but be authenticated, or not."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from tenants_api import CurrentPrincipal, create_app
from tenants_api.api.authentication import PRINCIPAL
from tenants_api.authz.identity import identity_headers

router = APIRouter(prefix="/bench")


@router.get("/open")
async def ask_open() -> dict[str, str]:
    """Who calls is not looked at."""
    return {"tenant": "acme"}


@router.get("/scope")
async def ask_scope(request: Request) -> dict[str, str]:
    """The principal as the middleware left it, without a dependency."""
    return {"tenant": request.scope[PRINCIPAL].tenant.slug}


@router.get("/principal")
async def ask_principal(principal: CurrentPrincipal) -> dict[str, str]:
    """The principal as a team's route asks for it."""
    return {"tenant": principal.tenant.slug}


class Unchecked:
    """Answers `/unchecked` as forward auth answers `/authz`, byte for byte, for whoever asks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answer: list[tuple[bytes, bytes]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in ("/unchecked", "/learn"):
            await self._app(scope, receive, send)
            return
        if scope["path"] == "/learn":  # with a token that is known: the identity that `/unchecked` then tells
            raw = dict(scope["headers"])[b"authorization"][7:].decode("ascii")
            principal = scope["app"].state.services.verifier.recall(raw)
            self._answer = [*identity_headers(principal), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": list(self._answer or [])})
        await send({"type": "http.response.body", "body": b""})


def create() -> FastAPI:
    app = create_app(routers=[router])
    app.user_middleware.insert(1, Middleware(Unchecked))  # where forward auth stands: inside the outermost one
    return app
