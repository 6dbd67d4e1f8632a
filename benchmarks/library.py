"""An application with this product as a library and one route.

ROUTE is what the route uses: the principal by a call (`scope`) or by the public dependency (`principal`). With `open`
it uses nothing, and with `noop` a dependency that does nothing: the application then has nothing of this product. Path
and position of the route are the same.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from tenants_api import CurrentPrincipal, Tenancy, principal_of

PATH = "/bench/tenant"
LEARN = "/bench/learn"  # called once with each token, which is then cached for every kind of route
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
    """No authentication."""
    return {"tenant": "acme"}


async def do_nothing(request: Request) -> None:
    """A dependency without any work."""


async def ask_noop(nothing: Annotated[None, Depends(do_nothing)]) -> dict[str, str]:
    """A dependency that does nothing."""
    return {"tenant": "acme"}


async def ask_scope(request: Request) -> dict[str, str]:
    """The principal by a call, without a dependency."""
    return {"tenant": (await principal_of(request)).tenant.slug}


async def ask_principal(principal: CurrentPrincipal) -> dict[str, str]:
    """The principal by the public dependency."""
    return {"tenant": principal.tenant.slug}


ROUTES = {OPEN: ask_open, NOOP: ask_noop, "scope": ask_scope, "principal": ask_principal}
