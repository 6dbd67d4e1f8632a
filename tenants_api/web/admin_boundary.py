"""The exception boundary of a mounted application, where Starlette would otherwise respond in plain text."""

from __future__ import annotations

import traceback

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenants_api.errors import InternalError
from tenants_api.observability.logging import request_id_in
from tenants_api.web.problems import problem_response

log = structlog.get_logger("tenants_api.admin")


class ExceptionBoundary:
    """ASGI middleware that logs an unexpected exception with its traceback and responds with a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_seen(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_seen)
        except Exception as error:
            # As text, as in `RequestContext`: the application's own formatter might print local variables.
            log.error("unhandled_error", error=type(error).__name__, exception=traceback.format_exc())
            if started:
                raise
            await problem_response(InternalError(), request_id=request_id_in(scope))(scope, receive, send)
