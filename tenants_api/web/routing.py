"""Routes that read a JSON body once, strictly and after authentication; overlap of path templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute

from tenants_api.encoding.strict_json import parse_json
from tenants_api.errors import InvalidRequest, UnsupportedMediaType
from tenants_api.web.dependencies import current_principal, depends_on
from tenants_api.web.problems import FORMS

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_JSON = ("application/json", "application/merge-patch+json")
_FORM_TOKEN = re.compile(rb"(?:^|&)access_token=")


class StrictRequest(Request):
    """A request whose JSON body is parsed strictly: input that two parsers could read differently is refused."""

    @classmethod
    def of(cls, request: Request) -> StrictRequest:
        """The request itself if it is a `StrictRequest`: its body can be received only once."""
        return request if isinstance(request, cls) else cls(request.scope, request.receive)

    @property
    def media_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def body(self) -> bytes:
        """See Request. Raises InvalidRequest: the client disconnected before the end."""
        try:
            return await super().body()
        except ClientDisconnect as error:
            raise InvalidRequest("the body is incomplete: the client disconnected") from error

    async def json(self) -> Any:
        """The parsed body.

        Raises:
            UnsupportedMediaType: the body is not declared as JSON.
            InvalidRequest: it is not valid JSON in the strict sense of `parse_json`.
        """
        if not hasattr(self, "_json"):
            if self.media_type not in _JSON:
                raise UnsupportedMediaType("expected application/json, or application/merge-patch+json with PATCH")
            try:
                self._json = parse_json(await self.body())
            except ValueError as error:
                raise InvalidRequest("the body is not valid JSON (UTF-8, no duplicate members, no NaN)") from error
        return self._json

    async def refuse_form_token(self) -> None:
        """Refuse a token in a form (RFC 6750 section 2.2), which is not supported. Raises InvalidRequest."""
        if _FORM_TOKEN.search(await self.body()):
            raise InvalidRequest("access_token in a form is not supported; send it in the Authorization header")


class StrictRoute(APIRoute):
    """A route that authenticates its caller before it reads a body, and reads JSON strictly.

    `callers` are the dependencies that authenticate; a route calls those that it depends on.
    """

    callers: ClassVar[tuple[Callable[[Any], Coroutine[Any, Any, Any]], ...]] = (current_principal,)

    def get_route_handler(self) -> Handler:
        """See APIRoute."""
        answer = super().get_route_handler()
        if self.body_field is None:
            return answer
        callers = [caller for caller in self.callers if depends_on(self.dependant, caller)]

        async def handle(request: Request) -> Response:
            strict = StrictRequest.of(request)
            is_form = strict.media_type in FORMS
            if is_form:
                await strict.refuse_form_token()
            for caller in callers:
                if caller not in request.app.dependency_overrides:
                    await caller(strict)  # stores the caller in the scope for the dependency
            if not is_form and await strict.body():
                await strict.json()
            return await answer(strict)

        return handle


def read_strictly(routes: Sequence[BaseRoute]) -> None:
    """Make routes of FastAPI's own class `StrictRoute`s, also those of included routers."""
    for context in iter_route_contexts(routes):
        if type(context.original_route) is APIRoute:
            context.original_route.__class__ = StrictRoute


def may_meet(one: str, other: str) -> bool:
    """Whether a path could match both path templates."""
    parts, others = one.split("/"), other.split("/")
    for part, its in zip(parts, others, strict=False):
        if ":path}" in part or ":path}" in its:
            return True
        if "{" not in part and "{" not in its and part != its:
            return False
    return len(parts) == len(others)
