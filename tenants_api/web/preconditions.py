"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) for every POST of the admin plane, in one place.

A key belongs to its caller and to one request: the same key with another path or body is refused. A 2xx response is
stored for 24 hours, before it is sent, and replayed. Any other response changed nothing, so its key is free again. A
secret that is shown once is not stored: a replay has null there. A response about a token is never stored
(`UnstoredRoute`): the request changes nothing, so that a repetition is a new request.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, ClassVar

import structlog
from fastapi import Request, Response
from sqlalchemy.exc import SQLAlchemyError

from tenants_api.control import idempotency
from tenants_api.control.idempotency import StoredResponse
from tenants_api.errors import EtagMismatch, IfMatchRequired, InvalidRequest
from tenants_api.web.current_admin import current_admin
from tenants_api.web.dependencies import get_services
from tenants_api.web.routing import Handler, StrictRequest, StrictRoute

_ETAG = re.compile(r'"([0-9]{1,18})"', re.ASCII)


def etag(row: Any) -> str:
    """The strong ETag (RFC 9110 section 8.8.3) of a row with a `version`."""
    return f'"{row.version}"'


def parse_if_match(header: str | None) -> int | None:
    """The version that the caller expects; None without the header, or with `*`.

    Raises:
        EtagMismatch: the header is not an ETag of this API, so it cannot match (a weak one never does).
    """
    if header is None or header.strip() == "*":
        return None
    match = _ETAG.fullmatch(header.strip())
    if match is None:
        raise EtagMismatch('If-Match is not an ETag of this API; expected one such as "3", or *')
    return int(match[1])


def require_if_match(header: str | None) -> int | None:
    """As `parse_if_match`, but the header is required. Raises IfMatchRequired, EtagMismatch."""
    if header is None:
        raise IfMatchRequired("If-Match is missing; send the ETag of the last read")
    return parse_if_match(header)


HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x20-\x7e]{1,255}", re.ASCII)
log = structlog.get_logger("tenants_api.admin")
_STORED_HEADERS = ("location", "etag", "content-type")


class AdminRoute(StrictRoute):
    """A route of the admin plane, with idempotency keys for POST."""

    callers = (current_admin,)
    stored: ClassVar[bool] = True
    secret: ClassVar[str | None] = None  # the member of the response that is never stored

    def get_route_handler(self) -> Handler:
        """See APIRoute."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if request.method != "POST" or HEADER not in request.headers:
                return await answer(request)
            if not _KEY.fullmatch(request.headers[HEADER]):
                raise InvalidRequest(f"{HEADER} must be 1 to 255 printable ASCII characters")
            return await (_answer_once(request, answer, secret=self.secret) if self.stored else answer(request))

        return handle


class UnstoredRoute(AdminRoute):
    """A route whose responses are not stored."""

    stored = False


class ShownOnceRoute(AdminRoute):
    """A route whose response contains a key that is shown once."""

    secret = "key"  # noqa: S105 (the name of a member, not a secret)


async def _answer_once(request: Request, answer: Handler, *, secret: str | None) -> Response:
    """Handle the request, or replay its stored response."""
    request = StrictRequest.of(request)
    owner = await _owner(request)
    stored = await _reserve(request, owner=owner)
    if stored is not None:
        return Response(stored.body, status_code=stored.status, headers={**stored.headers, REPLAYED: "true"})
    async with AsyncExitStack() as unanswered:
        unanswered.push_async_callback(_release, request, owner=owner)
        response = await answer(request)
        if response.status_code < 300:
            await _store(request, owner=owner, response=response, secret=secret)
            unanswered.pop_all()
    return response


async def _owner(request: Request) -> dict[str, str]:
    """The identity of the key: keys of different callers are independent."""
    return {"actor_id": (await current_admin(request)).actor.id, "key": request.headers[HEADER]}


async def _reserve(request: Request, *, owner: dict[str, str]) -> StoredResponse | None:
    services = get_services(request)
    fingerprint = _fingerprint(request, body=await request.body())
    now = datetime.fromtimestamp(services.clocks.wall(), UTC)
    async with services.database.begin() as session:
        return await idempotency.reserve(session, **owner, fingerprint=fingerprint, now=now)


async def _store(request: Request, *, owner: dict[str, str], response: Response, secret: str | None) -> None:
    """Store the response. A failure is logged, because the change is committed.

    The key then stays reserved: a repetition is refused as in flight, and does not repeat the change.
    """
    headers = {name: response.headers[name] for name in _STORED_HEADERS if name in response.headers}
    body = _without(bytes(response.body), member=secret)
    try:
        async with get_services(request).database.begin() as session:
            await idempotency.store(session, **owner, status=response.status_code, headers=headers, body=body)
    except (SQLAlchemyError, OSError) as error:
        log.warning("answer_not_stored", path=request.url.path, error=type(error).__name__)


async def _release(request: Request, *, owner: dict[str, str]) -> None:
    """Free the key. A failure is logged; the key is then free after `idempotency.IN_FLIGHT_TIMEOUT`."""
    try:
        async with get_services(request).database.begin() as session:
            await idempotency.release(session, **owner)
    except (SQLAlchemyError, OSError) as error:
        log.warning("idempotency_key_not_freed", path=request.url.path, error=type(error).__name__)


def _fingerprint(request: Request, *, body: bytes) -> str:
    """A digest of the request: its body may hold a sample token, so it is not stored."""
    parts = (request.method, request.url.path, request.url.query, hashlib.sha256(body).hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _without(body: bytes, *, member: str | None) -> bytes:
    return body if member is None else json.dumps({**json.loads(body), member: None}).encode()
