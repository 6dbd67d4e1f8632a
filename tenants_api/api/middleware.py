"""What happens to every request before anything else looks at it. Pure ASGI; knows no route.

`Guard` gives the request its id, counts it, and turns what nobody expected into a 500 without text. `Bodies` bounds a
body and reads its JSON strictly, once, for all routes. `Heads` answers HEAD wherever GET is answered.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenants_api.api.authentication import SERVICES, services_of
from tenants_api.api.problems import FORMS, problem_response
from tenants_api.errors import ApiError, BodyTooLarge, InternalError, InvalidRequest, UnsupportedMediaType
from tenants_api.observability import logging
from tenants_api.observability.request_ids import request_id_in
from tenants_api.strict_json import parse_json
from tenants_api.wiring import Services

MAX_BODY = 262_144
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_FORM_TOKEN = re.compile(rb"(?:^|&)access_token=")
_COUNTED = _METHODS | {"GET", "HEAD", "OPTIONS"}
_JSON = (b"application/json", b"application/merge-patch+json")
_ID = b"x-request-id"
_UNLESS_TOLD = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
log = structlog.get_logger("tenants_api.api")


class Guard:
    """Outermost: request id, log context, metric, no-store, and the last net."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_in(scope)
        services = scope[SERVICES] = services_of(scope)  # whoever stands further in finds them there
        bound = logging.bind(request_id=request_id)
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _marked(message.get("headers", ()), request_id=request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except Exception as error:
            # The boundary of the process's own mistakes: logged with its trace here, and shown to nobody.
            # As text: a formatter of the application's own might print local variables, and tokens live in those.
            log.error("unhandled_error", error=type(error).__name__, exception=traceback.format_exc())
            if status:
                raise
            await problem_response(InternalError(), request_id=request_id)(scope, receive, send_marked)
        finally:
            _count(scope, services=services, status=status)
            logging.release(bound)


class Bodies:
    """Bounds every body; a JSON one must be strict, and only JSON or a form is read at all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _METHODS:
            await self._app(scope, receive, send)
            return
        try:
            body = await _read(scope, receive)
            if body:
                _check(body, content_type=_header(scope, b"content-type"))
        except ApiError as error:
            await problem_response(error, request_id=request_id_in(scope))(scope, receive, send)
            return
        given = False

        async def receive_again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_again, send)


class Heads:
    """Answers HEAD as GET without the content (RFC 9110 section 9.3.2); FastAPI's routes know GET alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        # A copy: the server below looks at its own to know that no content follows.
        inner = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive, send_head)
        finally:
            scope["route"] = inner.get("route")


def _marked(headers: Iterable[tuple[bytes, bytes]], *, request_id: str) -> list[tuple[bytes, bytes]]:
    """An answer's headers with ours; what a route said itself stays, but for the id. Names are lower case (ASGI)."""
    marked = list(headers)
    told = [name for name, _ in marked]
    if _ID in told:
        marked = [one for one in marked if one[0] != _ID]
    marked.append((_ID, request_id.encode("ascii")))
    for added in _UNLESS_TOLD:
        if added[0] not in told:
            marked.append(added)
    return marked


async def _read(scope: Scope, receive: Receive) -> bytes:
    length = _header(scope, b"content-length")
    if length.isdigit() and int(length) > MAX_BODY:
        raise BodyTooLarge(f"the body has {length.decode()[:20]} bytes; {MAX_BODY} are read")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidRequest("the body broke off")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            raise BodyTooLarge(f"the body has more than {MAX_BODY} bytes")
        if not message.get("more_body", False):
            return b"".join(parts)


def _check(body: bytes, *, content_type: bytes) -> None:
    kind = content_type.partition(b";")[0].strip().lower()
    if kind.decode("latin-1") in FORMS:
        if _FORM_TOKEN.search(body):
            # RFC 6750 section 2.2 is not supported: a token has one place only.
            raise InvalidRequest("a token in a form is not read; send it in the Authorization header")
        return  # only routes that declare a form read one
    if kind not in _JSON:
        raise UnsupportedMediaType("send application/json, or application/merge-patch+json with PATCH")
    try:
        parse_json(body)
    except ValueError as error:
        raise InvalidRequest("the body is not strict JSON (UTF-8, no duplicate members, no NaN)") from error


def _header(scope: Scope, name: bytes) -> bytes:
    return next((bytes(value) for key, value in scope["headers"] if key == name), b"")


def _count(scope: Scope, *, services: Services | None, status: int) -> None:
    if services is not None:
        path = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _COUNTED else "other"  # a caller may invent methods
        services.metrics.http_answered(method=method, route=path, status=status)
