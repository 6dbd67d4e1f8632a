"""Idempotency-Key on every POST of the admin plane: the first answer is stored for 24 hours and given again.

One mechanism round the whole plane instead of one in each handler. The caller is authenticated before an answer is
replayed. Answers of 5xx, 401, 403, 409 and 429 are not kept: the same request may fare better later. A secret that is
shown once is not stored; its place in a replay is null.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenants_api.api.admin.guard import current_admin
from tenants_api.api.problems import REQUEST_ID, problem_response
from tenants_api.db import Database, utc_now
from tenants_api.errors import ApiError, InvalidRequest
from tenants_api.registry import idempotency
from tenants_api.registry.idempotency import StoredAnswer

MAX_KEY = 255
_KEPT_HEADERS = ("content-type", "location", "etag")
_NOT_KEPT = frozenset({401, 403, 409, 429})


class Idempotency:
    """Pure ASGI. Requests without the header pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
        if key is None:
            await self._app(scope, receive, send)
            return
        try:
            await self._once(scope, receive, send, key=key)
        except ApiError as error:
            await problem_response(error, request_id=scope.get(REQUEST_ID, ""))(scope, receive, send)

    async def _once(self, scope: Scope, receive: Receive, send: Send, *, key: bytes) -> None:
        if len(key) > MAX_KEY or not key.isascii() or not key.decode("ascii").isprintable():
            raise InvalidRequest(f"Idempotency-Key must be 1 to {MAX_KEY} printable ASCII characters")
        caller = await current_admin(Request(scope))
        message = await receive()
        body = message.get("body", b"")
        database: Database = scope["app"].state.services.database
        taken = {"actor_id": f"{caller.actor.type}:{caller.actor.id}", "key": key.decode("ascii")}
        async with database.begin() as session:
            stored = await idempotency.reserve(
                session, **taken, fingerprint=_fingerprint(scope, body=body), now=utc_now()
            )
        if stored is not None:
            await _replay(stored, send=send)
            return
        answer = await self._run(scope, message, send, database=database, taken=taken)
        async with database.begin() as session:
            if answer is None:
                await idempotency.forget(session, **taken)
            else:
                await idempotency.store(
                    session, **taken, status=answer.status, headers=answer.headers, body=answer.body
                )

    async def _run(
        self, scope: Scope, message: Message, send: Send, *, database: Database, taken: Mapping[str, str]
    ) -> StoredAnswer | None:
        """Let the plane answer, and give what of it is worth keeping."""
        status, headers, parts = 0, {}, []

        async def receive() -> Message:
            return message

        async def send_kept(sent: Message) -> None:
            nonlocal status, headers
            if sent["type"] == "http.response.start":
                status = sent["status"]
                pairs = ((name.decode().lower(), value.decode()) for name, value in sent["headers"])
                headers = {name: value for name, value in pairs if name in _KEPT_HEADERS}
            else:
                parts.append(sent.get("body", b""))
            await send(sent)

        try:
            await self._app(scope, receive, send_kept)
        except BaseException:
            # Also when the caller went away: a key that nobody answers for would block its own retry.
            async with database.begin() as session:
                await idempotency.forget(session, actor_id=taken["actor_id"], key=taken["key"])
            raise
        if status >= 500 or status in _NOT_KEPT:
            return None
        return StoredAnswer(status, headers, _without_secret(b"".join(parts), path=scope["path"]))


async def _replay(stored: StoredAnswer, *, send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in stored.headers.items()]
    length = [(b"content-length", str(len(stored.body)).encode())] if stored.status != 204 else []
    replayed = (b"idempotency-replayed", b"true")
    await send({"type": "http.response.start", "status": stored.status, "headers": [*headers, *length, replayed]})
    await send({"type": "http.response.body", "body": stored.body})


def _without_secret(body: bytes, *, path: str) -> bytes:
    if not path.endswith("/api-keys") or not body.startswith(b"{"):
        return body
    answer = json.loads(body)
    return json.dumps({**answer, "key": None} if "key" in answer else answer).encode()


def _fingerprint(scope: Scope, *, body: bytes) -> str:
    target = f"{scope['path']}?{scope['query_string'].decode('latin-1')}".encode()
    return hashlib.sha256(hashlib.sha256(target).digest() + hashlib.sha256(body).digest()).hexdigest()


def _key(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"idempotency-key"), None)
