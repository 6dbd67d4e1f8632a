"""`tenants-api dev-realms serve`: Keycloak-shaped realms for a developer's machine."""

from __future__ import annotations

from typing import Annotated

import typer

from tenants_api.cli.demo_story import CLIENT_ID
from tenants_api.cli.output import AsJson, print_json, say
from tenants_api.devrealms import run_dev_realms

app = typer.Typer(no_args_is_help=True, help="Development realms: a small issuer with Keycloak's URLs. Never exposed.")


@app.callback()
def _dev_realms() -> None:
    """Keep `serve` a verb of its own."""


@app.command()
def serve(
    realm: Annotated[list[str] | None, typer.Option(help="Name of a realm; acme, globex and initech if none.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8180,
    as_json: AsJson = False,
) -> None:
    """Serve development realms on 127.0.0.1: alice (editor), bob (viewer), carol (admin), password `<name>-pw`."""
    names = realm or ["acme", "globex", "initech"]
    issuers = [f"http://127.0.0.1:{port}/realms/{name}" for name in names]
    if as_json:
        print_json({"issuers": issuers, "client_id": CLIENT_ID})
    for issuer in issuers:
        say(issuer)
    say(f"the API reaches them with TENANTS_INSECURE_HTTP_HOSTS=127.0.0.1:{port}")
    say(f"  TENANTS_ALLOWED_PRIVATE_NETWORKS=127.0.0.0/8 TENANTS_ALLOWED_REALM_PORTS={port}")
    run_dev_realms(names, port=port)
