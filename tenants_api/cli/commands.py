"""Every command of `tenants-api`, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from tenants_api import __version__
from tenants_api.cli import admin_keys, audit, database, dev_realms, gateway, keys, realms, roles, tenants, tokens
from tenants_api.cli.demo import demo
from tenants_api.cli.doctor import doctor
from tenants_api.cli.exits import Edge
from tenants_api.cli.gitops.verbs import apply, export
from tenants_api.cli.maintenance import maintenance
from tenants_api.cli.openapi import openapi
from tenants_api.cli.serve import serve
from tenants_api.cli.settings_table import settings

app = typer.Typer(
    cls=Edge,
    no_args_is_help=True,
    add_completion=False,
    # Typer's pretty tracebacks print local variables, and tokens live in local variables.
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 ok, 1 error, 2 usage, 3 a check failed, 4 not found, 5 conflict, 6 not authorised, "
    "7 unreachable.",
)
app.command()(demo)
app.command()(serve)
app.command()(doctor)
app.command()(maintenance)
app.add_typer(database.app, name="db")
tenants.app.command()(apply)
tenants.app.command()(export)
app.add_typer(tenants.app, name="tenants")
app.add_typer(realms.app, name="realms")
app.add_typer(keys.app, name="keys")
app.add_typer(roles.app, name="roles")
app.add_typer(tokens.app, name="token")
app.add_typer(admin_keys.app, name="admin-keys")
app.add_typer(audit.app, name="audit")
app.add_typer(gateway.app, name="gateway")
app.command()(openapi)
app.add_typer(dev_realms.app, name="dev-realms")
app.command(hidden=True)(settings)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """One API that accepts the bearer tokens of many Keycloak realms."""
