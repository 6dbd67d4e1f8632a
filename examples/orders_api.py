"""Your API on tenants-api: orders of a tenant, which clerks read and managers create.

uvicorn --factory examples.orders_api:create
"""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, Field

from tenants_api import Principal, RoleModel, Settings, create_app, requires

ROLES = RoleModel({"manager": ("clerk",), "clerk": ()})  # a manager may do what a clerk may
Clerk = Annotated[Principal, requires("clerk")]
Manager = Annotated[Principal, requires("manager")]
router = APIRouter(prefix="/v1/orders", tags=["orders"])


class Order(BaseModel):
    article: str = Field(min_length=1, max_length=100)
    pieces: int = Field(ge=1, le=1000)


@router.get("")
async def list_orders(principal: Clerk, request: Request) -> list[Order]:
    """The orders of the caller's tenant."""
    return list(request.app.state.orders[principal.tenant.id])


@router.post("", status_code=201)
async def create_order(order: Order, principal: Manager, request: Request) -> Order:
    request.app.state.orders[principal.tenant.id].append(order)
    return order


def create(settings: Settings | None = None) -> FastAPI:
    app = create_app(settings, routers=[router], roles=ROLES)
    app.state.orders = defaultdict(list)  # in production: a database
    return app
