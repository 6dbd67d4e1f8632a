"""`tenants-api roles …`: the role mapping of a tenant, and the roles that claims or a token give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tenants_api.cli import shapes
from tenants_api.cli.drafts import changed_fields
from tenants_api.cli.exits import USAGE, CliError
from tenants_api.cli.options import Rules, parse_rules, read_object, read_text
from tenants_api.cli.output import AsJson, print_json, print_table, say
from tenants_api.cli.session import Reason, TenantRef, change, execute, query, run, services, settings
from tenants_api.control.drafts import RolePreview, preview_roles
from tenants_api.registry import repository
from tenants_api.registry.models import Tenant
from tenants_api.registry.repository import rules_of
from tenants_api.tokens.decode import decode_unverified
from tenants_api.tokens.errors import TokenError

app = typer.Typer(no_args_is_help=True, help="Roles: the role mapping of a tenant.")

Claims = Annotated[Path | None, typer.Option("--claims", help="File with the claims as JSON; stdin if left out.")]

Token = Annotated[
    Path | None, typer.Option("--token", help="File with a token instead, - is stdin; its signature is not verified.")
]


@app.command("list")
def list_(ref: TenantRef, as_json: AsJson = False) -> None:
    """List the rules of a tenant; without any, client roles with the names of application roles give these."""
    _print(query(lambda session: repository.get_tenant(session, ref=ref)), as_json=as_json)


@app.command("set")
def set_(ref: TenantRef, rule: Rules = None, reason: Reason = None, as_json: AsJson = False) -> None:
    """Replace the rules of a tenant by the given ones; `--rule ""` removes all."""
    if not rule:
        raise CliError("no rule is given", hint="tenants-api roles set --help", code=USAGE)
    wanted = parse_rules([] if rule == [""] else rule)
    tenant = execute(
        lambda commands: commands.update(
            ref,
            lambda _: changed_fields({"role_mapping": wanted}, vocabulary=commands.vocabulary),
            change=change(reason),
        )
    )
    _print(tenant, as_json=as_json)


def _print(tenant: Tenant, *, as_json: bool) -> None:
    if as_json:
        print_json({"data": [shapes.rule(rule) for rule in rules_of(tenant)]})
        return
    print_table(("from", "value", "role"), ((rule.source, rule.value, rule.role) for rule in rules_of(tenant)))


@app.command()
def preview(ref: TenantRef, claims: Claims = None, token: Token = None, as_json: AsJson = False) -> None:
    """Show the rules of the tenant that match the claims, and the roles that they give."""
    if claims is not None and token is not None:
        raise CliError("--claims and --token are both given; expected one", code=USAGE)
    found = run(_preview(ref, claims=_claims_of(token) if token is not None else read_object(claims)))
    if as_json:
        print_json({"roles": found.roles, "matched": [shapes.rule(rule) for rule in found.matched]})
        return
    print_table(("from", "value", "role"), ((rule.source, rule.value, rule.role) for rule in found.matched))
    say(f"roles: {', '.join(found.roles) or 'none'}")


def _claims_of(token: Path) -> Mapping[str, Any]:
    try:
        return decode_unverified(read_text(token).encode(), max_bytes=settings().max_token_bytes).claims
    except TokenError as error:
        found = error.refusal
        raise CliError(f"{token} is not a token: expected {found and found.expected}", code=USAGE) from error


async def _preview(ref: str, *, claims: Mapping[str, Any]) -> RolePreview:
    async with services(load=False) as opened, opened.database.read() as session:
        return preview_roles(await repository.get_tenant(session, ref=ref), claims=claims, model=opened.roles)
