"""An application of somebody else's, in which `Tenancy` runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tenants_api.api.tenancy import Tenancy


def own_app(tenancy: Tenancy) -> FastAPI:
    """A bare application with the tenancy's lifespan; `tenancy.install` is the test's to call, after its routes."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with tenancy.running():
            yield

    return FastAPI(lifespan=lifespan)
