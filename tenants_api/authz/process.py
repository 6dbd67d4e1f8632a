"""Standalone forward auth behind uvicorn: what `tenants-api serve --authz-only` runs.

A module of its own, so that the command line's libraries are not in its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence

import uvicorn

from tenants_api.authz.alone import AuthzApp, open_authorizer
from tenants_api.observability import logging
from tenants_api.observability.metrics import shared_by
from tenants_api.readiness import NotReady
from tenants_api.serving.frozen import frozen
from tenants_api.serving.options import server_options
from tenants_api.settings import Settings, SettingsError, load_settings

FACTORY = "tenants_api.authz.process:served_app"
ERROR, USAGE, UNREACHABLE = 1, 2, 7  # the exit codes of every command


def served_app() -> AuthzApp:
    """What each worker runs, with its settings out of the environment."""
    settings = load_settings()
    logging.configure(format=settings.log_format, level=settings.log_level)
    return AuthzApp(lambda: frozen(open_authorizer(settings)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; the exit code."""
    chosen = _parser().parse_args(arguments)
    if chosen.json:
        os.environ["TENANTS_LOG_FORMAT"] = "json"  # for the workers, too
    try:
        settings = load_settings()
    except SettingsError as error:
        return _stopped(str(error), code=ERROR)
    logging.configure(format=settings.log_format, level=settings.log_level)
    if chosen.workers > 1 and settings.environment == "production" and settings.database_url.startswith("sqlite"):
        reason = "several workers on SQLite wait for each other's writes; use one worker or PostgreSQL"
        return _stopped(reason, code=USAGE)
    try:
        asyncio.run(_try(settings))
    except NotReady as error:
        return _stopped(str(error), code=UNREACHABLE)
    options = server_options(
        host=chosen.host,
        port=chosen.port,
        workers=chosen.workers,
        uds=chosen.uds,
        max_token_bytes=settings.max_token_bytes,
    )
    with shared_by(chosen.workers):
        uvicorn.run(FACTORY, **options)
    return 0


async def _try(settings: Settings) -> None:
    """Find out before the workers start, and once instead of once a worker, that the registry cannot be read."""
    async with open_authorizer(settings, load=False):
        pass


def _stopped(reason: str, *, code: int) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tenants-api serve --authz-only", description="Standalone forward auth.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_between(1, 65535), default=8000, help="port to listen on")
    parser.add_argument("--workers", type=_between(1, 256), default=1, help="processes")
    parser.add_argument("--uds", default=None, help="listen on this Unix socket instead")
    parser.add_argument("--json", action="store_true", help="write the logs as JSON whatever the settings say")
    parser.add_argument("--authz-only", action="store_true", help=argparse.SUPPRESS)
    return parser


def _between(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be {least} to {most}")
        return int(text)

    return number


if __name__ == "__main__":
    sys.exit(main())
