"""`tenants-api roles preview`: which roles a set of claims would get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tenants_api.cli.inputs import read_object
from tenants_api.cli.output import AsJson, print_json, print_table, say
from tenants_api.cli.session import TenantRef, run, services
from tenants_api.registry import service
from tenants_api.registry.models import Tenant
from tenants_api.verification.roles import RoleModel, RoleRule, default_rules, matching_rules

app = typer.Typer(no_args_is_help=True, help="Roles: what a realm's claims are worth here.")

Claims = Annotated[Path | None, typer.Option("--claims", help="File with the claims as JSON; stdin if left out.")]


@app.callback()
def _roles() -> None:
    """Keep `preview` a verb of its own."""


@app.command()
def preview(ref: TenantRef, claims: Claims = None, as_json: AsJson = False) -> None:
    """Show which rules of the tenant match the claims, and the roles they give."""
    matched, model = run(_preview(ref, claims=read_object(claims)))
    roles = sorted(model.expand(rule.role for rule in matched))
    if as_json:
        print_json({"roles": sorted({rule.role for rule in matched}), "matched": [_rule(r) for r in matched]})
        return
    print_table(("from", "value", "role"), ((rule.source, rule.value, rule.role) for rule in matched))
    say(f"roles: {', '.join(roles) or 'none'}")


async def _preview(ref: str, *, claims: Mapping[str, Any]) -> tuple[tuple[RoleRule, ...], RoleModel]:
    async with services() as opened:
        async with opened.database.read() as session:
            tenant = await service.get_tenant(session, ref=ref)
        return matching_rules(claims, rules=_rules(tenant, names=opened.roles.names)), opened.roles


def _rules(tenant: Tenant, *, names: Iterable[str]) -> tuple[RoleRule, ...]:
    if tenant.role_rules:
        return tuple(RoleRule(rule.source, rule.value, rule.role) for rule in tenant.role_rules)
    clients = dict.fromkeys(realm.client_id for realm in tenant.realms)
    return tuple(rule for client_id in clients for rule in default_rules(client_id, names=names))


def _rule(rule: RoleRule) -> dict[str, str]:
    return {"from": rule.source, "value": rule.value, "role": rule.role}
