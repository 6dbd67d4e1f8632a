"""`tenants-api serve`: uvicorn with the limits of this API, in one process or several.

Several workers are separate processes, which share only the database and the folder of their metrics.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from starlette.types import ASGIApp

from tenants_api.app import create_app
from tenants_api.cli.exits import USAGE, CliError
from tenants_api.cli.session import run
from tenants_api.composition import open_services
from tenants_api.observability import logging
from tenants_api.observability.metrics import registry_of_workers, shared_by
from tenants_api.readiness import why_not_shared
from tenants_api.server.options import frozen, serve_until_stopped, server_options
from tenants_api.server.worker import (
    METRICS_HOST_VARIABLE,
    SHOW_WORKER_VARIABLE,
    MetricsPort,
    open_metrics_port,
    with_worker_header,
)
from tenants_api.settings import Settings, load_settings

FACTORY = "tenants_api.cli.serve:served_app"
STANDALONE_MODULE = "tenants_api.server.standalone"


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 1,
    uds: Annotated[Path | None, typer.Option(help="Listen on this Unix socket instead.")] = None,
    authz_only: Annotated[bool, typer.Option("--authz-only", help="Serve only forward auth.")] = False,
    show_worker: Annotated[bool, typer.Option("--show-worker", hidden=True)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the logs as JSON whatever the settings say.")] = False,
) -> None:
    """Serve the API; refuses to start on a database that is not migrated."""
    settings = load_settings(**({"log_format": "json"} if as_json else {}))
    logging.configure(format=settings.log_format, level=settings.log_level)
    if (reason := why_not_shared(settings, workers=workers)) is not None:
        raise CliError(reason, code=USAGE)
    run(_check_start(settings))
    if as_json:
        os.environ["TENANTS_LOG_FORMAT"] = "json"
    if authz_only:
        _exec_standalone(host=host, port=port, workers=workers, uds=uds)
    os.environ[METRICS_HOST_VARIABLE] = host if workers == 1 else ""
    os.environ[SHOW_WORKER_VARIABLE] = "1" if show_worker else ""
    options = server_options(
        host=host,
        port=port,
        workers=workers,
        uds=str(uds) if uds else None,
        max_token_bytes=settings.max_token_bytes,
        access_log=settings.access_log,
    )
    with shared_by(workers):
        if workers > 1 and settings.metrics_port is not None:
            open_metrics_port(registry_of_workers(), host=host, port=settings.metrics_port)
        serve_until_stopped(FACTORY, options)


def served_app() -> ASGIApp:
    """The application of each worker, with settings from the environment."""
    settings = load_settings()
    logging.configure(format=settings.log_format, level=settings.log_level)
    api = create_app(settings, sample=settings.roles is None)
    lifespan: Any = api.router.lifespan_context
    api.router.lifespan_context = lambda app: frozen(lifespan(app))
    app: ASGIApp = api
    if settings.metrics_port is not None and (host := os.environ.get(METRICS_HOST_VARIABLE)):
        app = MetricsPort(
            api, host=host, port=settings.metrics_port, registry=lambda: api.state.services.metrics.registry
        )
    return with_worker_header(app) if os.environ.get(SHOW_WORKER_VARIABLE) else app


def _exec_standalone(*, host: str, port: int, workers: int, uds: Path | None) -> NoReturn:
    """Replace this process by standalone forward auth, without the memory of the command line's imports.

    `tenants_api.cli.main` starts `serve --authz-only` directly; this is for other ways to call the command.
    """
    words = ["--host", host, "--port", str(port), "--workers", str(workers), *(["--uds", str(uds)] if uds else [])]
    os.execv(sys.executable, [sys.executable, "-m", STANDALONE_MODULE, *words])  # noqa: S606 - this interpreter


async def _check_start(settings: Settings) -> None:
    """Raises NotReady once, before the workers start, if the database is not ready."""
    async with open_services(settings, background=False, load=False):
        pass
