"""`tenants-api serve`: uvicorn with the limits that this API wants, in one process or several.

Options that uvicorn would choose otherwise are written out here. With several workers each one is a process of its
own; they share nothing but the database.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from prometheus_client import CollectorRegistry
from sqlalchemy import make_url
from starlette.types import ASGIApp

from tenants_api.app import create_app
from tenants_api.cli.exits import USAGE, Stopped
from tenants_api.cli.http_limits import LARGEST_HEAD
from tenants_api.cli.session import require_file, run
from tenants_api.cli.worker import METRICS_HOST, SHOW_WORKER, WORKERS, MetricsPort, with_worker_header
from tenants_api.observability import logging
from tenants_api.settings import Settings, load_settings
from tenants_api.wiring import Services, open_services

FACTORY = "tenants_api.cli.serve:served_app"
GRACE = 10  # seconds that running requests get at the end


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 1,
    uds: Annotated[Path | None, typer.Option(help="Listen on this Unix socket instead.")] = None,
    show_worker: Annotated[bool, typer.Option("--show-worker", hidden=True)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the logs as JSON whatever the settings say.")] = False,
) -> None:
    """Serve the API; refuses to start on a database that is not migrated."""
    settings = load_settings(**({"log_format": "json"} if as_json else {}))
    logging.configure(format=settings.log_format, level=settings.log_level)
    _refuse_shared_sqlite(settings, workers=workers)
    require_file(settings.database_url)
    run(_try_services(settings))
    os.environ[METRICS_HOST] = host
    os.environ[WORKERS] = str(workers)
    os.environ[SHOW_WORKER] = "1" if show_worker else ""
    if as_json:
        os.environ["TENANTS_LOG_FORMAT"] = "json"
    uvicorn.run(FACTORY, **_options(host=host, port=port, workers=workers, uds=uds))


def served_app() -> ASGIApp:
    """What each worker runs: the application with its settings out of the environment."""
    settings = load_settings()
    logging.configure(format=settings.log_format, level=settings.log_level)
    api = create_app(settings)
    app: ASGIApp = api
    if settings.metrics_port is not None:
        app = MetricsPort(api, port=settings.metrics_port, registry=lambda: _live_registry(api.state.services))
    return with_worker_header(app) if os.environ.get(SHOW_WORKER) else app


def _live_registry(services: Services) -> CollectorRegistry:
    """The metrics' registry, with gauges that are read at the moment of a scrape."""
    metrics = services.metrics
    metrics.registry_version.set_function(lambda: services.trust.version)
    metrics.registry_lag.set_function(lambda: services.trust.feed.lag)
    metrics.registry_listening.set_function(lambda: services.trust.feed.state == "listening")
    metrics.verified_tokens.set_function(lambda: services.verifier.cached_tokens)
    return metrics.registry


def _options(*, host: str, port: int, workers: int, uds: Path | None) -> dict[str, Any]:
    return {
        "factory": True,
        "host": host,
        "port": port,
        "uds": str(uds) if uds else None,
        "workers": workers,
        # httptools has no bound on the head of a request; ours has. h11's is for those who run without httptools.
        "http": "tenants_api.cli.http_limits:BoundedHttp",
        "h11_max_incomplete_event_size": LARGEST_HEAD,
        "ws": "none",  # there is no WebSocket here, so nothing may upgrade to one
        "lifespan": "on",  # a start that fails must end the process, not serve half an application
        # X-Forwarded-For from anybody would forge the address that login limits and logs use.
        "proxy_headers": False,
        "server_header": False,
        "timeout_keep_alive": 5,
        "timeout_graceful_shutdown": GRACE,
        "access_log": False,  # the application writes its own events, without tokens in query strings
        "log_config": None,
        "log_level": "info",
        "backlog": 2048,
    }


def _refuse_shared_sqlite(settings: Settings, *, workers: int) -> None:
    sqlite = make_url(settings.database_url).get_backend_name() == "sqlite"
    if workers > 1 and sqlite and settings.environment == "production":
        raise Stopped(
            "several workers on SQLite wait for each other's writes; that is allowed in development only",
            cure="use one worker, PostgreSQL, or TENANTS_ENVIRONMENT=development",
            code=USAGE,
        )


async def _try_services(settings: Settings) -> None:
    """Find out before the workers start, and once instead of once a worker, that the database is not ready."""
    async with open_services(settings, background=False):
        pass
