"""`tenants-api openapi`: prints the OpenAPI document; needs neither a server nor a database."""

from __future__ import annotations

from typing import Annotated

import typer

from tenants_api.api.admin.plane import create_admin_app
from tenants_api.app import create_app
from tenants_api.cli.output import AsJson, print_json
from tenants_api.settings import load_settings


def openapi(
    admin: Annotated[bool, typer.Option("--admin", help="The admin plane's document.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the OpenAPI document of `serve` (JSON, with or without --json)."""
    settings = load_settings()
    app = create_admin_app() if admin else create_app(settings, sample=settings.roles is None)
    print_json(app.openapi())
