"""This product as a library: an application of its own, with what a team adds to it for the principal, and one route.

ROUTE says what the route wants: the principal that lies in the scope (`scope`), or the principal by the public
dependency (`principal`). With `open` it wants nobody, and with `noop` a dependency that does nothing: the application
has nothing of this product in it then. The path is the same, and so is its place among the routes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from tenants_api import CurrentPrincipal, Tenancy, principal_of

PATH = "/bench/tenant"
LEARN = "/bench/learn"  # asked once with each token: from then on it is known, whatever the route wants
OPEN, NOOP = "open", "noop"
NOT_OURS = frozenset({OPEN, NOOP})


def create() -> FastAPI:
    kind = os.environ.get("ROUTE", "principal")
    if kind in NOT_OURS:
        app = FastAPI()
        app.add_api_route(PATH, ROUTES[kind])
        return app
    tenancy = Tenancy()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with tenancy.running():
            yield

    app = FastAPI(lifespan=lifespan)
    app.add_api_route(PATH, ROUTES[kind])
    app.add_api_route(LEARN, ask_principal)
    tenancy.install(app)
    return app


async def ask_open() -> dict[str, str]:
    """Who calls is not looked at."""
    return {"tenant": "acme"}


async def do_nothing(request: Request) -> None:
    """As a dependency, asked for each request."""


async def ask_noop(nothing: Annotated[None, Depends(do_nothing)]) -> dict[str, str]:
    """What a dependency costs that does nothing."""
    return {"tenant": "acme"}


async def ask_scope(request: Request) -> dict[str, str]:
    """The principal as the middleware left it in the request's scope, without a dependency."""
    return {"tenant": (await principal_of(request)).tenant.slug}


async def ask_principal(principal: CurrentPrincipal) -> dict[str, str]:
    """The principal as a team's route asks for it."""
    return {"tenant": principal.tenant.slug}


ROUTES = {OPEN: ask_open, NOOP: ask_noop, "scope": ask_scope, "principal": ask_principal}
