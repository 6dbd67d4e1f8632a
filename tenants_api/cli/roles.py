"""`tenants-api roles preview`: the roles that claims give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tenants_api.cli import shapes
from tenants_api.cli.options import read_object
from tenants_api.cli.output import AsJson, print_json, print_table, say
from tenants_api.cli.session import TenantRef, run, services
from tenants_api.control.drafts import RolePreview, preview_roles
from tenants_api.registry import repository

app = typer.Typer(no_args_is_help=True, help="Roles: the role mapping of a tenant.")

Claims = Annotated[Path | None, typer.Option("--claims", help="File with the claims as JSON; stdin if left out.")]


app.callback()(lambda: None)  # Typer would otherwise merge the single verb into its group


@app.command()
def preview(ref: TenantRef, claims: Claims = None, as_json: AsJson = False) -> None:
    """Show the rules of the tenant that match the claims, and the roles that they give."""
    found = run(_preview(ref, claims=read_object(claims)))
    if as_json:
        print_json({"roles": found.roles, "matched": [shapes.rule(rule) for rule in found.matched]})
        return
    print_table(("from", "value", "role"), ((rule.source, rule.value, rule.role) for rule in found.matched))
    say(f"roles: {', '.join(found.roles) or 'none'}")


async def _preview(ref: str, *, claims: Mapping[str, Any]) -> RolePreview:
    async with services(load=False) as opened, opened.database.read() as session:
        return preview_roles(await repository.get_tenant(session, ref=ref), claims=claims, model=opened.roles)
