"""Standalone forward auth: an ASGI application with `/authz`, `/livez`, `/readyz` and `/metrics`.

Without the web framework, the admin plane and the migrations it starts faster, takes less memory, and is independent of
defects in the API. It reads the same registry through the same storage and follows the same change feed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from tenants_api.assertions.minting import build_assertions
from tenants_api.assertions.storage import SessionKeys
from tenants_api.clocks import Clocks
from tenants_api.database.engine import Database
from tenants_api.errors import ApiError, NotFound
from tenants_api.forward_auth.endpoint import PATH, Authorizer, Scope, Send, is_authz
from tenants_api.observability import logging
from tenants_api.observability.logging import request_id_of
from tenants_api.observability.metrics import Metrics, shared_by
from tenants_api.observability.tasks import start_loops, stop_loops
from tenants_api.readiness import CHECKS, NotReady, check, load_registry, open_database, why_not_shared
from tenants_api.replica.factory import compose_verification
from tenants_api.replica.replica import RegistryReplica
from tenants_api.replica.sql_storage import SessionStorage
from tenants_api.server.options import frozen, serve_until_stopped, server_options
from tenants_api.settings import Settings, SettingsError, load_settings
from tenants_api.tokens.principal import roles_of_process

Receive = Callable[[], Awaitable[Any]]
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
log = structlog.get_logger("tenants_api.forward_auth")


@dataclass(frozen=True, slots=True)
class Opened:
    """The parts of a running process of standalone forward auth."""

    authorizer: Authorizer
    database: Database
    replica: RegistryReplica
    metrics: Metrics


@asynccontextmanager
async def open_authorizer(settings: Settings, *, load: bool = True) -> AsyncIterator[Opened]:
    """Read the registry and follow its changes while the block runs; makes no request to a realm.

    With `load` False only check that the registry can be read.

    Raises:
        NotReady: the database cannot be reached, is not migrated, or its role may not serve.
    """
    metrics, clocks = Metrics(), Clocks()
    roles = roles_of_process(None, in_settings=settings.roles)
    database = open_database(settings, pool_size=2)  # one connection reads and one writes
    storage = SessionStorage(database)
    parts = compose_verification(settings, storage=storage, roles=roles, clocks=clocks, metrics=metrics)
    assertion = build_assertions(settings, storage=SessionKeys(database), clocks=clocks)
    loops = {"registry changes": parts.replica.feed.run, "verification reports": parts.reporter.run}
    if assertion is not None:
        loops["assertion keys"] = assertion.run
    if metrics.is_shared:
        loops["metrics"] = metrics.publish
    try:
        await load_registry(
            parts.replica, database=database, assertion=assertion, environment=settings.environment, tenants=load
        )
        if load and assertion is not None:
            await assertion.renew()  # the first start creates the first key before any request
        followers = start_loops(loops if load else {}, on_death=metrics.restarted)
        try:
            yield Opened(
                Authorizer(
                    verifier=parts.verifier,
                    roles=roles,
                    mint=assertion.mint if assertion is not None else None,
                ),
                database,
                parts.replica,
                metrics,
            )
        finally:
            await stop_loops(followers)
            await parts.reporter.flush()
            await parts.replica.aclose()
    finally:
        await parts.client.aclose()
        await database.aclose()


class AuthzApp:
    """The ASGI application. `opening` is entered at the start of the server and left at its end."""

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[Opened]]) -> None:
        self._opening = opening
        self._opened: Opened | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
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
        assert opened is not None  # noqa: S101 (a server sends no request before the start is complete)
        request_id = request_id_of(scope["headers"])
        status = 0

        async def marked(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [
                    (b"x-request-id", request_id.encode("ascii")),
                    (b"cache-control", b"no-store"),  # a cached 200 would outlive a suspension
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
    status, kind, body = await page(opened) if page is not None else _problem(NotFound(), request_id=request_id)
    headers = [(b"content-type", kind.encode("ascii")), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _livez(opened: Opened) -> tuple[int, str, bytes]:
    return 200, "text/plain; charset=utf-8", b"ok"


async def _readyz(opened: Opened) -> tuple[int, str, bytes]:
    ready = all([await check(name, database=opened.database, replica=opened.replica) for name in CHECKS])
    return (200, "text/plain; charset=utf-8", b"ok") if ready else (503, "text/plain; charset=utf-8", b"failed")


async def _metrics(opened: Opened) -> tuple[int, str, bytes]:
    body, kind = opened.metrics.render()
    return 200, kind, body


_PAGES: dict[str, Callable[[Opened], Awaitable[tuple[int, str, bytes]]]] = {
    "/livez": _livez,
    "/readyz": _readyz,
    "/metrics": _metrics,
}


def _problem(error: ApiError, *, request_id: str) -> tuple[int, str, bytes]:
    return error.status, "application/problem+json", json.dumps(error.as_problem(request_id=request_id)).encode()


FACTORY = "tenants_api.server.standalone:served_app"
ERROR, USAGE, UNREACHABLE = 1, 2, 7  # exit codes, as in `tenants_api/cli/exits.py`


def served_app() -> AuthzApp:
    """The application of each worker, with settings from the environment."""
    settings = load_settings()
    logging.configure(format=settings.log_format, level=settings.log_level)
    return AuthzApp(lambda: frozen(open_authorizer(settings)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends the process; the exit code."""
    chosen = _parser().parse_args(arguments)
    if chosen.json:
        os.environ["TENANTS_LOG_FORMAT"] = "json"  # for the workers, too
    try:
        settings = load_settings()
    except SettingsError as error:
        return _failed(str(error), code=ERROR)
    logging.configure(format=settings.log_format, level=settings.log_level)
    if (reason := why_not_shared(settings, workers=chosen.workers)) is not None:
        return _failed(reason, code=USAGE)
    try:
        asyncio.run(_check_start(settings))
    except NotReady as error:
        return _failed(str(error), code=UNREACHABLE)
    options = server_options(
        host=chosen.host,
        port=chosen.port,
        workers=chosen.workers,
        uds=chosen.uds,
        max_token_bytes=settings.max_token_bytes,
        access_log=settings.access_log,
    )
    with shared_by(chosen.workers):
        serve_until_stopped(FACTORY, options)
    return 0


async def _check_start(settings: Settings) -> None:
    """Raises NotReady once, before the workers start, if the registry cannot be read."""
    async with open_authorizer(settings, load=False):
        pass


def _failed(reason: str, *, code: int) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tenants-api serve --authz-only", description="Standalone forward auth.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_between(1, 65535), default=8000, help="port to listen on")
    parser.add_argument("--workers", type=_between(1, 256), default=1, help="processes")
    parser.add_argument("--uds", default=None, help="listen on this Unix socket instead")
    parser.add_argument("--json", action="store_true", help="write the logs as JSON whatever the settings say")
    parser.add_argument("--authz-only", action="store_true", help=argparse.SUPPRESS)
    return parser


def _between(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be {least} to {most}")
        return int(text)

    return number


if __name__ == "__main__":
    sys.exit(main())
