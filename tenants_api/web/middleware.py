"""The ASGI middleware of every request."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenants_api.composition import Services
from tenants_api.errors import MAX_QUERY_BYTES, BodyTooLarge, InternalError, UriTooLong
from tenants_api.observability import logging
from tenants_api.observability.logging import request_id_in
from tenants_api.web.authentication import SERVICES, services_of
from tenants_api.web.problems import problem_response

MAX_BODY_BYTES = 262_144
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_COUNTED = _WITH_BODY | {"GET", "HEAD", "OPTIONS"}
_ID = b"x-request-id"
_DEFAULT_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
log = structlog.get_logger("tenants_api.api")


class RequestContext:
    """The outermost middleware: request id, log context, metric, security headers, limits, HEAD, exception boundary.

    `before` is a path and the application for it and every path below it, which bypasses CORS and the limits. `around`
    puts CORS around the application, and around the responses of this middleware itself, so that a page may read them.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        before: tuple[str, ASGIApp] | None = None,
        around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    ) -> None:
        self._app, self._around = around(app), around
        self._before_path, self._before = before or ("", app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        services = scope[SERVICES] = services_of(scope)  # for mounted applications
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_in(scope)
        bound = logging.bind(request_id=request_id)
        # FastAPI's routes accept GET only (RFC 9110 section 9.3.2). A copy, because the server reads its own scope.
        head = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET"} if head else scope
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _marked(message.get("headers", ()), request_id=request_id)
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            if self._before_path and _is_below(scope, self._before_path):
                await self._before(inner, receive, send_marked)
            elif len(scope["query_string"]) > MAX_QUERY_BYTES:
                refused = UriTooLong(len(scope["query_string"]))
                await self._around(problem_response(refused, request_id=request_id))(inner, receive, send_marked)
            elif scope["method"] in _WITH_BODY:
                await self._app(scope, _bounded(scope, receive), send_marked)
            else:
                await self._app(inner, receive, send_marked)
        except Exception as error:
            # A defect of this program: logged with its traceback, never in the response.
            # As text: the application's own formatter might print local variables, which hold tokens.
            log.error("unhandled_error", error=type(error).__name__, exception=traceback.format_exc())
            if status:
                raise
            await self._around(problem_response(InternalError(), request_id=request_id))(inner, receive, send_marked)
        finally:
            if services is not None:
                _count(inner, services=services, method="HEAD" if head else scope["method"], status=status)
            logging.release(bound)


def _is_below(scope: Scope, before_path: str) -> bool:
    """Whether the path, relative to the application's mount, is `before_path` or below it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    own = path[len(root) :] if root and path.startswith(f"{root}/") else path
    return own.startswith(before_path) and (len(own) == len(before_path) or own[len(before_path)] == "/")


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """`receive` with a limit: raises BodyTooLarge as soon as the body exceeds it.

    Not Starlette's `RequestBodyLimitMiddleware` (FastAPI's `max_body_size`): if the declared length exceeds the limit,
    it replaces the application's response, and so the problem, by plain text.
    """
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    declared = int(length[:20]) if length.isdigit() else 0
    size = 0

    async def receive_bounded() -> Message:
        nonlocal size
        if declared > MAX_BODY_BYTES:
            raise BodyTooLarge(f"the body has {declared} bytes; the maximum is {MAX_BODY_BYTES}")
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise BodyTooLarge(f"the body has more than {MAX_BODY_BYTES} bytes, the maximum")
        return message

    return receive_bounded


def _marked(headers: Iterable[tuple[bytes, bytes]], *, request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers of a response with request id and defaults; only the id replaces one of the route's."""
    marked = list(headers)
    present = [name for name, _ in marked]
    if _ID in present:
        marked = [one for one in marked if one[0] != _ID]
    marked.append((_ID, request_id.encode("ascii")))
    for added in _DEFAULT_HEADERS:
        if added[0] not in present:
            marked.append(added)
    return marked


def _count(scope: Scope, *, services: Services, method: str, status: int) -> None:
    """Count the response; unknown methods and unknown paths share one label each."""
    path = getattr(scope.get("route"), "path", "none")
    services.metrics.http_answered(method=method if method in _COUNTED else "other", route=path, status=status)
