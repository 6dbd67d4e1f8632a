"""The state of this worker: registry version, lag and keys."""

from __future__ import annotations

import os
import socket
from typing import Any

from fastapi import APIRouter

from tenants_api import __version__
from tenants_api.database.revisions import head
from tenants_api.replica.health import realms_by_health
from tenants_api.schemas.base import ResponseModel
from tenants_api.web.current_admin import Reader
from tenants_api.web.dependencies import ServicesDep
from tenants_api.web.preconditions import AdminRoute

router = APIRouter(prefix="/v1/status", tags=["operation"], route_class=AdminRoute)


class Replica(ResponseModel):
    host: str
    process: int
    version: str


class RegistryStatus(ResponseModel):
    version: int
    lag_seconds: float
    feed_alive: bool
    feed: str  # `listening` where PostgreSQL notifies, else `polling`
    realms: int


class Status(ResponseModel):
    """`keys` counts the realms that this worker used, by the state of their keys."""

    replica: Replica
    registry: RegistryStatus
    migration_head: str
    verified_tokens: int
    keys: dict[str, int]


@router.get("", response_model=Status)
async def get_status(caller: Reader, services: ServicesDep) -> dict[str, Any]:
    """The state of the worker that responds."""
    replica = services.replica
    return {
        "replica": {"host": socket.gethostname(), "process": os.getpid(), "version": __version__},
        "registry": {
            "version": replica.version,
            "lag_seconds": round(replica.feed.lag, 3),
            "feed_alive": replica.feed.alive,
            "feed": replica.feed.state,
            "realms": replica.realm_count,
        },
        "migration_head": head(),
        "verified_tokens": services.verifier.cached_tokens,
        "keys": realms_by_health(replica.jwks_cache),
    }
