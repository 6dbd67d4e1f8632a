"""`tenants-api gateway render`: a proxy's configuration on stdout. Needs neither a database nor a running API; buffer
sizes depend on `TENANTS_MAX_TOKEN_BYTES`, the accepted roles on `TENANTS_ROLES`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tenants_api.cli.exits import USAGE, CliError
from tenants_api.cli.output import AsJson, print_json
from tenants_api.forward_auth.configurations import PlanError, plan
from tenants_api.forward_auth.configurations import render as rendered
from tenants_api.settings import load_settings
from tenants_api.tokens.principal import roles_of_process

app = typer.Typer(no_args_is_help=True, help="Configurations of proxies that authorize each request at /authz.")


class Proxy(StrEnum):
    """The proxies that have a template."""

    NGINX = "nginx"
    CADDY = "caddy"
    TRAEFIK = "traefik"
    ENVOY = "envoy"


app.callback()(lambda: None)  # Typer would otherwise merge the single verb into its group


@app.command()
def render(
    proxy: Annotated[Proxy, typer.Argument()],
    listen: Annotated[str, typer.Option(help="HOST:PORT of the proxy.")] = "0.0.0.0:8080",
    authorizer: Annotated[str, typer.Option(help="HOST:PORT of this API, or unix:/PATH.")] = "127.0.0.1:8000",
    upstream: Annotated[str, typer.Option(help="HOST:PORT of the upstream service.")] = "127.0.0.1:9000",
    tenant: Annotated[str | None, typer.Option(help="Accept only tokens of this tenant (slug).")] = None,
    role: Annotated[
        str | None, typer.Option(help="Accept only tokens with this role, or one that includes it.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="nginx: folder of pid and temporary files, to run as any user.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a configuration that clears forgeable headers, authorizes at /authz and sets the identity headers."""
    settings = load_settings()
    known = roles_of_process(None, in_settings=settings.roles).names
    if role is not None and role not in known:
        raise CliError(
            f"unknown role {role[:100]!r}; expected one of {', '.join(sorted(known))}",
            hint="set TENANTS_ROLES to your application's roles",
            code=USAGE,
        )
    try:
        chosen = plan(
            listen=listen,
            authorizer=authorizer,
            upstream=upstream,
            tenant=tenant,
            role=role,
            folder=folder,
            max_token_bytes=settings.max_token_bytes,
        )
        text = rendered(proxy.value, plan=chosen)
    except PlanError as error:
        raise CliError(str(error), code=USAGE) from error
    if as_json:
        print_json({"proxy": proxy.value, "configuration": text})
    else:
        typer.echo(text, nl=False)
