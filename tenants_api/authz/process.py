"""`python -m tenants_api.authz.process`: forward auth alone behind uvicorn; `serve --authz-only` becomes it.

A module of its own, so that the command line's libraries are not in its memory.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import uvicorn

from tenants_api.authz.alone import AuthzApp, open_authorizer
from tenants_api.observability import logging
from tenants_api.serving.options import server_options
from tenants_api.settings import SettingsError, load_settings

FACTORY = "tenants_api.authz.process:served_app"


def served_app() -> AuthzApp:
    """What each worker runs, with its settings out of the environment."""
    settings = load_settings()
    logging.configure(format=settings.log_format, level=settings.log_level)
    return AuthzApp(lambda: open_authorizer(settings))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        settings = load_settings()
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    logging.configure(format=settings.log_format, level=settings.log_level)
    uvicorn.run(FACTORY, **server_options(host=chosen.host, port=chosen.port, workers=chosen.workers, uds=chosen.uds))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tenants-api serve --authz-only", description="Forward auth alone.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--uds", default=None, help="listen on this Unix socket instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
