"""Probes and scrapes. An unreachable realm does not make the API unready, because the other tenants still work."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from tenants_api.composition import Services
from tenants_api.errors import NotFound
from tenants_api.readiness import CHECKS, check
from tenants_api.web.dependencies import ServicesDep
from tenants_api.web.problems import problem_responses

router = APIRouter(tags=["operation"])


@router.get("/livez", response_class=PlainTextResponse)
async def livez() -> str:
    """200 while the process runs; checks nothing else."""
    return "ok"


@router.get("/readyz", response_class=Response, responses={503: {"description": "A check failed"}})
async def readyz(services: ServicesDep, request: Request) -> Response:
    """Database, schema, registry and change feed; `?verbose` lists them."""
    outcomes = {name: await check(name, database=services.database, replica=services.replica) for name in CHECKS}
    status = 200 if all(outcomes.values()) else 503
    if "verbose" in request.query_params:
        lines = [f"[{'+' if ok else '-'}]{name} {'ok' if ok else 'failed'}" for name, ok in outcomes.items()]
        lines.append(_registry_line(services))
        return PlainTextResponse("\n".join([*lines, "ready" if status == 200 else "not ready", ""]), status)
    return JSONResponse({"ready": status == 200, "checks": outcomes}, status)


@router.get("/readyz/{check}", response_class=PlainTextResponse, responses=problem_responses(NotFound))
async def readyz_check(name: Annotated[str, Path(alias="check")], services: ServicesDep) -> Response:
    """One of the checks."""
    if name not in CHECKS:
        raise NotFound(f"unknown check; the checks are {', '.join(CHECKS)}")
    ok = await check(name, database=services.database, replica=services.replica)
    return PlainTextResponse("ok" if ok else "failed", 200 if ok else 503)


@router.get("/metrics", response_class=Response, include_in_schema=False)
async def metrics(services: ServicesDep) -> Response:
    """The metrics in Prometheus's format; 404 when `TENANTS_METRICS_PORT` is set."""
    if services.settings.metrics_port is not None:
        raise NotFound(f"metrics are served on port {services.settings.metrics_port}")
    body, content_type = services.metrics.render()
    return Response(body, media_type=content_type)


def _registry_line(services: Services) -> str:
    replica = services.replica
    return f"registry version={replica.version} lag={replica.feed.lag:.1f}s feed={replica.feed.state}"
