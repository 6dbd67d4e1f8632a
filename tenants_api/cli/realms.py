"""`tenants-api realms …`: the realms of a tenant, and their checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tenants_api.cli import shapes
from tenants_api.cli.drafts import checked, realm_draft
from tenants_api.cli.exits import CHECK_FAILED, USAGE, CliError
from tenants_api.cli.options import given_members, read_text, realm_options
from tenants_api.cli.output import AsJson, print_json, print_record, print_table, say
from tenants_api.cli.session import RealmRef, Reason, TenantRef, change, execute, find_realm, query, realm_id
from tenants_api.registry import repository
from tenants_api.registry.models import Realm
from tenants_api.schemas.tenants import IssuerCheckMode, RealmIn, RealmPatch

app = typer.Typer(no_args_is_help=True, help="Realms: the issuers of a tenant.")


@app.command()
@realm_options(RealmIn)
def add(ref: TenantRef, reason: Reason = None, as_json: AsJson = False, **members: Any) -> None:
    """Add an issuer to a tenant (host rename, blue/green, migration)."""
    fields = given_members(members)
    realm = execute(
        lambda commands: commands.add_realm(
            ref, realm_draft(fields, vocabulary=commands.vocabulary), change=change(reason)
        )
    )
    _print(realm, as_json=as_json)


@app.command("set")
@realm_options(RealmPatch)
def set_(ref: TenantRef, realm: RealmRef, reason: Reason = None, as_json: AsJson = False, **members: Any) -> None:
    """Change the given members of a realm and check it again; an empty text resets a member to its default."""
    fields = given_members(members)
    if not fields:
        raise CliError("nothing to change", hint="tenants-api realms set --help", code=USAGE)
    patch = checked(RealmPatch, fields).model_dump(exclude_unset=True)
    found = realm_id(ref, realm)
    changed = execute(lambda commands: commands.update_realm(ref, found, patch, change=change(reason)))
    _print(changed, as_json=as_json)


@app.command("list")
def list_(ref: TenantRef, as_json: AsJson = False) -> None:
    """List a tenant's realms."""
    tenant = query(lambda session: repository.get_tenant(session, ref=ref))
    if as_json:
        print_json({"data": [shapes.realm(realm) for realm in tenant.realms]})
        return
    print_table(
        ("realm", "issuer", "organization", "client_id", "enabled", "health", "id"),
        (
            (number, r.issuer, r.organization, r.client_id, r.enabled, r.health, r.id)
            for number, r in enumerate(tenant.realms, 1)
        ),
    )


@app.command()
def show(ref: TenantRef, realm: RealmRef, as_json: AsJson = False) -> None:
    """Show one realm with its conditions."""
    tenant = query(lambda session: repository.get_tenant(session, ref=ref))
    _print(find_realm(tenant, realm), as_json=as_json)


@app.command()
def remove(ref: TenantRef, realm: RealmRef, reason: Reason = None, as_json: AsJson = False) -> None:
    """Remove an issuer: its tokens are refused on every worker within a second."""
    found = realm_id(ref, realm)
    execute(lambda commands: commands.remove_realm(ref, found, change=change(reason)))
    if as_json:
        print_json({"removed": str(found)})
        return
    say(f"realm {found} is removed")


@app.command()
def check(
    ref: Annotated[str | None, typer.Argument(metavar="[TENANT]", help="A registered tenant; or give a URL.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Check this issuer without storing anything.")] = None,
    realm_url: Annotated[str | None, typer.Option(help="The URL of the realm; the issuer if left out.")] = None,
    client_id: Annotated[str | None, typer.Option(help="This API's client in the realm.")] = None,
    sample: Annotated[
        Path | None,
        typer.Option(help="File with a token to check too; of a registered tenant, nothing is stored.", dir_okay=False),
    ] = None,
    issuer_check: Annotated[IssuerCheckMode, typer.Option(help="As on a realm.")] = "discovery",
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Run the onboarding checks now; exit 3 if one fails."""
    token = read_text(sample) if sample else None
    if ref is not None and token is not None:
        _check_sample(ref, token=token, as_json=as_json)
        return
    if ref is not None:
        _check_tenant(ref, reason=reason, as_json=as_json)
        return
    if issuer is None and realm_url is None:
        raise CliError(
            "no realm is given; expected TENANT, --issuer or --realm-url",
            hint="tenants-api realms check --help",
            code=USAGE,
        )
    report = execute(
        lambda commands: commands.checks.preflight(
            issuer=issuer, realm_url=realm_url, client_id=client_id, sample_token=token, issuer_check=issuer_check
        )
    )
    if as_json:
        print_json(shapes.report(report))
    else:
        shapes.print_conditions(report.conditions)
    _exit_unless(report.ready)


def _check_tenant(ref: str, *, reason: str | None, as_json: bool) -> None:
    tenant = execute(lambda commands: commands.check_tenant(ref, change=change(reason)))
    if as_json:
        print_json({"data": [shapes.realm(realm) for realm in tenant.realms]})
    else:
        shapes.print_realms(tenant.realms)
    _exit_unless(all(shapes.is_ready(realm) for realm in tenant.realms if realm.enabled))


def _check_sample(ref: str, *, token: str, as_json: bool) -> None:
    checked = execute(lambda commands: commands.check_sample(ref, token=token))
    if as_json:
        data = [{"id": str(realm.id), "issuer": realm.issuer, **shapes.report(one)} for realm, one in checked]
        print_json({"data": data})
    else:
        for realm, one in checked:
            print_record({"issuer": realm.issuer, "organization": realm.organization, "id": realm.id})
            shapes.print_conditions(one.conditions)
    _exit_unless(bool(checked) and all(one.ready for _, one in checked))


def _exit_unless(ready: bool) -> None:
    if not ready:
        raise typer.Exit(CHECK_FAILED)


def _print(realm: Realm, *, as_json: bool) -> None:
    if as_json:
        print_json(shapes.realm(realm))
        return
    print_record({name: value for name, value in shapes.realm(realm).items() if name != "conditions"})
    shapes.print_conditions(realm.conditions)
