"""This product as a library: an application of its own, with what a team adds to it for the principal, and one route.

ROUTE says what the route wants: nobody (`open`), the principal that lies in the scope (`scope`), or the principal by
the public dependency (`principal`). The path is the same, and so is its place among the routes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request

from tenants_api import CurrentPrincipal, Tenancy
from tenants_api.api.authentication import PRINCIPAL

PATH = "/bench/tenant"
LEARN = "/bench/learn"  # asked once with each token: from then on it is known, whatever the route wants


def create() -> FastAPI:
    tenancy = Tenancy()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with tenancy.running():
            yield

    app = FastAPI(lifespan=lifespan)
    app.add_api_route(PATH, ROUTES[os.environ.get("ROUTE", "principal")])
    app.add_api_route(LEARN, ask_principal)
    tenancy.install(app)
    return app


async def ask_open() -> dict[str, str]:
    """Who calls is not looked at."""
    return {"tenant": "acme"}


async def ask_scope(request: Request) -> dict[str, str]:
    """The principal as the middleware left it, without a dependency."""
    return {"tenant": request.scope[PRINCIPAL].tenant.slug}


async def ask_principal(principal: CurrentPrincipal) -> dict[str, str]:
    """The principal as a team's route asks for it."""
    return {"tenant": principal.tenant.slug}


ROUTES = {"open": ask_open, "scope": ask_scope, "principal": ask_principal}
