"""The ASGI middleware of every request; it knows no route."""

from __future__ import annotations

import traceback
from collections.abc import Iterable

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
    """Outermost: request id, log context, metric, security headers, limits, HEAD, and the exception boundary.

    `before` is a path and the application that answers it and every path below it, past CORS and the limits.
    """

    def __init__(self, app: ASGIApp, *, before: tuple[str, ASGIApp] | None = None) -> None:
        self._app = app
        self._place, self._before = before or ("", app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        services = scope[SERVICES] = services_of(scope)  # mounted applications find them there
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_in(scope)
        bound = logging.bind(request_id=request_id)
        # FastAPI's routes know GET alone (RFC 9110 section 9.3.2). A copy: the server looks at its own scope for HEAD.
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
            if self._place and _is_below(scope, self._place):
                await self._before(inner, receive, send_marked)
            elif len(scope["query_string"]) > MAX_QUERY_BYTES:
                refused = UriTooLong(len(scope["query_string"]))
                await problem_response(refused, request_id=request_id)(inner, receive, send_marked)
            elif scope["method"] in _WITH_BODY:
                await self._app(scope, _bounded(scope, receive), send_marked)
            else:
                await self._app(inner, receive, send_marked)
        except Exception as error:
            # The boundary of the process's own mistakes: logged with its trace here, and shown to nobody.
            # As text: a formatter of the application's own might print local variables, and tokens live in those.
            log.error("unhandled_error", error=type(error).__name__, exception=traceback.format_exc())
            if status:
                raise
            await problem_response(InternalError(), request_id=request_id)(inner, receive, send_marked)
        finally:
            if services is not None:
                _count(inner, services=services, method="HEAD" if head else scope["method"], status=status)
            logging.release(bound)


def _is_below(scope: Scope, place: str) -> bool:
    """Whether a path is this one or one below it, from the place on where the application is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    own = path[len(root) :] if root and path.startswith(f"{root}/") else path
    return own.startswith(place) and (len(own) == len(place) or own[len(place)] == "/")


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """`receive` with a limit: it raises BodyTooLarge as soon as the body is known to be longer.

    Not Starlette's `RequestBodyLimitMiddleware` (FastAPI's `max_body_size`): where the declared length is over the
    limit it replaces whatever the application answers, so also the problem, by plain text.
    """
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    declared = int(length[:20]) if length.isdigit() else 0
    size = 0

    async def receive_bounded() -> Message:
        nonlocal size
        if declared > MAX_BODY_BYTES:
            raise BodyTooLarge(f"the body has {declared} bytes; at most {MAX_BODY_BYTES} are read")
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise BodyTooLarge(f"the body has more than {MAX_BODY_BYTES} bytes")
        return message

    return receive_bounded


def _marked(headers: Iterable[tuple[bytes, bytes]], *, request_id: str) -> list[tuple[bytes, bytes]]:
    """A response's headers with ours; those of the route stay, but for the id. Names are lower case (ASGI)."""
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
    """Count the response; methods and paths that a client invents share one label each."""
    path = getattr(scope.get("route"), "path", "none")
    services.metrics.http_answered(method=method if method in _COUNTED else "other", route=path, status=status)
