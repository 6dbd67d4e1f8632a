"""Routes that read a JSON body once, strictly, and after authentication; path templates that one path could match."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute

from tenants_api.encoding.strict_json import parse_json
from tenants_api.errors import InvalidRequest, UnsupportedMediaType
from tenants_api.web.dependencies import current_principal
from tenants_api.web.problems import FORMS

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_JSON = ("application/json", "application/merge-patch+json")
_FORM_TOKEN = re.compile(rb"(?:^|&)access_token=")


class StrictRequest(Request):
    """A request whose JSON body is read strictly: what two parsers could read in two ways is refused."""

    @classmethod
    def of(cls, request: Request) -> StrictRequest:
        """The request itself if it is one already: its body can be received only once."""
        return request if isinstance(request, cls) else cls(request.scope, request.receive)

    @property
    def media_type(self) -> str:
        """Of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def body(self) -> bytes:
        """See Request. Raises InvalidRequest: the client went away before its end."""
        try:
            return await super().body()
        except ClientDisconnect as error:
            raise InvalidRequest("the body broke off") from error

    async def json(self) -> Any:
        """The value.

        Raises:
            UnsupportedMediaType: the body is not declared as JSON.
            InvalidRequest: it is not strict JSON.
        """
        if not hasattr(self, "_json"):
            if self.media_type not in _JSON:
                raise UnsupportedMediaType("send application/json, or application/merge-patch+json with PATCH")
            try:
                self._json = parse_json(await self.body())
            except ValueError as error:
                raise InvalidRequest("the body is not strict JSON (UTF-8, no duplicate members, no NaN)") from error
        return self._json

    async def refuse_form_token(self) -> None:
        """RFC 6750 section 2.2 is not supported: a token has one place only. Raises InvalidRequest."""
        if _FORM_TOKEN.search(await self.body()):
            raise InvalidRequest("a token in a form is not read; send it in the Authorization header")


class StrictRoute(APIRoute):
    """A route that authenticates its caller before it reads a body, and reads JSON strictly.

    `callers` are the dependencies that authenticate; only those that the route has are called.
    """

    callers: ClassVar[tuple[Callable[[Any], Coroutine[Any, Any, Any]], ...]] = (current_principal,)

    def get_route_handler(self) -> Handler:
        """See APIRoute."""
        answer = super().get_route_handler()
        if self.body_field is None:
            return answer
        callers = [caller for caller in self.callers if _asks(self.dependant, caller)]

        async def handle(request: Request) -> Response:
            strict = StrictRequest.of(request)
            is_form = strict.media_type in FORMS
            if is_form:
                await strict.refuse_form_token()
            for caller in callers:
                if caller not in request.app.dependency_overrides:
                    await caller(strict)  # kept in the scope, where the dependency finds it
            if not is_form and await strict.body():
                await strict.json()
            return await answer(strict)

        return handle


def read_strictly(routes: Sequence[BaseRoute]) -> None:
    """Make FastAPI's own routes `StrictRoute`s; routes of another class stay, and routers that include them follow."""
    for context in iter_route_contexts(routes):
        if type(context.original_route) is APIRoute:
            context.original_route.__class__ = StrictRoute


def _asks(dependant: Dependant, call: Callable[..., Any]) -> bool:
    return dependant.call is call or any(_asks(inner, call) for inner in dependant.dependencies)


def may_meet(one: str, other: str) -> bool:
    """Whether there may be a path that matches both of these path templates."""
    parts, others = one.split("/"), other.split("/")
    for part, its in zip(parts, others, strict=False):
        if ":path}" in part or ":path}" in its:
            return True
        if "{" not in part and "{" not in its and part != its:
            return False
    return len(parts) == len(others)
