"""Forward auth as a process of its own: `/authz`, `/livez`, `/readyz`, `/metrics` and nothing else.

Without the web framework, the admin plane and the migrations it starts sooner and takes less memory, and a mistake in
the API cannot stop the door. It reads the same registry and follows the same change feed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from tenants_api.assertion import UNREADABLE, Assertions, Unreadable, build_assertions
from tenants_api.authz.endpoint import PATH, Authorizer, Scope, Send, is_authz
from tenants_api.database.errors import StorageError
from tenants_api.database.urls import BadUrl
from tenants_api.direct.storage import DirectStorage, open_storage
from tenants_api.errors import ApiError, NotFound
from tenants_api.observability.metrics import Metrics
from tenants_api.observability.request_ids import request_id_of
from tenants_api.settings import Settings
from tenants_api.trust.background import start_loops, stop_loops
from tenants_api.trust.built import build_verifying
from tenants_api.trust.store import Trust
from tenants_api.verification.clocks import Clocks
from tenants_api.verification.roles import SAMPLE_ROLES, RoleModel

Receive = Callable[[], Awaitable[Any]]
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
log = structlog.get_logger("tenants_api.authz")


class NotReady(Exception):
    """The registry cannot be read. The message is one line with the command that cures it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What one process of forward auth holds while it runs."""

    authorizer: Authorizer
    trust: Trust
    metrics: Metrics


@asynccontextmanager
async def open_authorizer(
    settings: Settings, *, roles: RoleModel = SAMPLE_ROLES, load: bool = True
) -> AsyncIterator[Opened]:
    """Read the registry and follow its changes while the block runs; no realm is asked for anything.

    Whoever wants to know whether that can be done leaves the registry where it is (`load` False).

    Raises:
        NotReady: the database cannot be read, or was not migrated.
    """
    metrics, clocks = Metrics(), Clocks()
    storage = _storage_of(settings)
    parts = build_verifying(settings, storage=storage, roles=roles, clocks=clocks, metrics=metrics)
    assertion = build_assertions(settings, storage=storage, clocks=clocks)
    loops = {"registry changes": parts.trust.feed.run, "rejections": parts.rejections.run}
    if assertion is not None:
        loops["assertion keys"] = assertion.run
    try:
        await _load(parts.trust, storage=storage, assertion=assertion, settings=settings, tenants=load)
        followers = start_loops(loops if load else {}, on_death=metrics.restarted)
        try:
            yield Opened(
                Authorizer(
                    verifier=parts.verifier,
                    roles=roles,
                    mint=assertion.mint if assertion is not None else None,
                ),
                parts.trust,
                metrics,
            )
        finally:
            await stop_loops(followers)
            await parts.rejections.flush()
            await parts.trust.aclose()
    finally:
        await parts.client.aclose()
        await storage.aclose()


def _storage_of(settings: Settings) -> DirectStorage:
    try:
        return open_storage(settings.database_url, statement_timeout=settings.database_statement_timeout)
    except BadUrl as error:
        raise NotReady(f"TENANTS_DATABASE_URL cannot be read: {error}") from error


async def _load(
    trust: Trust, *, storage: DirectStorage, assertion: Assertions | None, settings: Settings, tenants: bool
) -> None:
    try:
        if (reason := await storage.why_not_serve(environment=settings.environment)) is not None:
            raise NotReady(reason)
        await (trust.load() if tenants else trust.look())
        if assertion is not None:
            await assertion.renew()
    except Unreadable as error:
        raise NotReady(UNREADABLE) from error
    except StorageError as error:
        raise NotReady(
            f"the registry cannot be read ({error}); check TENANTS_DATABASE_URL and run `tenants-api db upgrade`"
        ) from error


class AuthzApp:
    """The ASGI application. `opening` gives what it needs for as long as the server runs."""

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[Opened]]) -> None:
        self._opening = opening
        self._opened: Opened | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._opening() as self._opened:
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except NotReady as error:
            log.error("not_ready", reason=str(error))
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, send: Send) -> None:
        opened = self._opened
        assert opened is not None  # noqa: S101 (the server answers nothing before the lifespan began)
        request_id = request_id_of(scope["headers"])
        status = 0

        async def marked(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [
                    (b"x-request-id", request_id.encode("ascii")),
                    (b"cache-control", b"no-store"),  # a stored pass would outlive a suspension
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        if is_authz(scope["path"]):
            route = PATH
            await opened.authorizer.answer(scope, marked, request_id=request_id)
        else:
            route = scope["path"] if scope["path"] in _PAGES else "none"
            await _operation(opened, scope, marked, request_id=request_id)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        opened.metrics.http_answered(method=method, route=route, status=status)


async def _operation(opened: Opened, scope: Scope, send: Send, *, request_id: str) -> None:
    page = _PAGES.get(scope["path"])
    status, kind, body = page(opened) if page is not None else _problem(NotFound(), request_id=request_id)
    headers = [(b"content-type", kind.encode("ascii")), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _livez(opened: Opened) -> tuple[int, str, bytes]:
    return 200, "text/plain; charset=utf-8", b"ok"


def _readyz(opened: Opened) -> tuple[int, str, bytes]:
    ready = opened.trust.loaded and opened.trust.feed.alive
    return (200, "text/plain; charset=utf-8", b"ok") if ready else (503, "text/plain; charset=utf-8", b"failed")


def _metrics(opened: Opened) -> tuple[int, str, bytes]:
    body, kind = opened.metrics.render()
    return 200, kind, body


_PAGES: dict[str, Callable[[Opened], tuple[int, str, bytes]]] = {
    "/livez": _livez,
    "/readyz": _readyz,
    "/metrics": _metrics,
}


def _problem(error: ApiError, *, request_id: str) -> tuple[int, str, bytes]:
    return error.status, "application/problem+json", json.dumps(error.as_problem(request_id=request_id)).encode()
