"""`tenants-api tenants …`: tenants and their states."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tenants_api.cli import shapes
from tenants_api.cli.drafts import changed_fields, tenant_draft
from tenants_api.cli.exits import CHECK_FAILED, USAGE, CliError
from tenants_api.cli.gitops.verbs import apply, export
from tenants_api.cli.options import Activation, Rules, given_members, parse_object, parse_rules, realm_options
from tenants_api.cli.output import AsJson, print_json, print_record, print_table, say
from tenants_api.cli.session import Reason, TenantRef, change, execute, query
from tenants_api.database.pagination import PageRequest
from tenants_api.registry import repository
from tenants_api.registry.models import Tenant
from tenants_api.registry.rejections import list_rejections
from tenants_api.registry.values import Health, TenantFilter, TenantState, Transition
from tenants_api.schemas.tenants import RealmIn, rejection_out, tenant_out

RESOURCE_METADATA_HELP = "Publish the realms that issue this tenant's tokens (RFC 9728)."
app = typer.Typer(no_args_is_help=True, help="Tenants: the customers and their states.")


@app.command("list")
def list_(
    state: Annotated[TenantState | None, typer.Option(help="Only tenants in this state.")] = None,
    health: Annotated[Health | None, typer.Option(help="Only tenants with a realm of this health.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Only the tenant of this issuer.")] = None,
    external_id: Annotated[str | None, typer.Option(help="Only the tenant with this external id.")] = None,
    q: Annotated[str | None, typer.Option(help="A part of slug or name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 25,
    after: Annotated[str | None, typer.Option(help="Cursor of the previous page.")] = None,
    as_json: AsJson = False,
) -> None:
    """List a page of tenants."""
    where = TenantFilter(state=state, health=health, issuer=issuer, external_id=external_id, q=q)
    page = query(
        lambda session: repository.list_tenants(session, where=where, page=PageRequest(limit=limit, after=after))
    )
    if as_json:
        print_json(shapes.page(page, shape=shapes.tenant))
        return
    print_table(
        ("slug", "name", "state", "health", "issuers"),
        ((t.slug, t.name, t.state, shapes.health(t), [r.issuer for r in t.realms]) for t in page.items),
    )
    if page.after:
        say(f"more: --after {page.after}")


@app.command()
def show(ref: TenantRef, as_json: AsJson = False) -> None:
    """Show one tenant with its realms and their conditions."""
    _print(query(lambda session: repository.get_tenant(session, ref=ref)), as_json=as_json)


@app.command()
@realm_options(RealmIn)
def create(
    slug: Annotated[str, typer.Argument(help="Short name in paths; lower case letters, digits and hyphens.")],
    name: Annotated[str | None, typer.Option(help="Display name; the slug if left out.")] = None,
    external_id: Annotated[str | None, typer.Option(help="Your own id of this customer.")] = None,
    metadata: Annotated[str | None, typer.Option(help="A JSON object.")] = None,
    resource_metadata: Annotated[bool, typer.Option(help=RESOURCE_METADATA_HELP)] = False,
    rule: Rules = None,
    activate: Activation = Activation.WHEN_READY,
    reason: Reason = None,
    as_json: AsJson = False,
    **members: Any,
) -> None:
    """Register a tenant with its realm, run the checks and activate it; exit 3 if a check fails."""
    tenant: dict[str, Any] = {
        "slug": slug,
        "name": name or slug,
        "external_id": external_id,
        "metadata": _object(metadata) or {},
        "resource_metadata": resource_metadata,
        "role_mapping": parse_rules(rule or []),
    }
    created = execute(
        lambda commands: commands.create(
            tenant_draft({**tenant, "realms": [given_members(members)]}, vocabulary=commands.vocabulary),
            activate=activate.value,
            change=change(reason),
        )
    )
    _print(created, as_json=as_json)
    if created.state == TenantState.DRAFT and activate is not Activation.NEVER:
        say(f"a check failed: the tenant is a draft; correct the cause, then: tenants-api tenants activate {slug}")
        raise typer.Exit(CHECK_FAILED)


@app.command()
def update(
    ref: TenantRef,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    external_id: Annotated[str | None, typer.Option(help="New external id.")] = None,
    metadata: Annotated[str | None, typer.Option(help="A JSON object that replaces the present one.")] = None,
    resource_metadata: Annotated[bool | None, typer.Option(help=RESOURCE_METADATA_HELP)] = None,
    rule: Rules = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Change fields of a tenant; given rules replace its role mapping."""
    fields = {
        "name": name,
        "external_id": external_id,
        "metadata": _object(metadata),
        "resource_metadata": resource_metadata,
        "role_mapping": parse_rules(rule) if rule else None,
    }
    if all(value is None for value in fields.values()):
        raise CliError("nothing to change", hint="tenants-api tenants update --help", code=USAGE)
    updated = execute(
        lambda commands: commands.update(
            ref, lambda _: changed_fields(fields, vocabulary=commands.vocabulary), change=change(reason)
        )
    )
    _print(updated, as_json=as_json)


@app.command()
def activate(ref: TenantRef, reason: Reason = None, as_json: AsJson = False) -> None:
    """Run the checks of a draft and activate it."""
    _print(execute(lambda commands: commands.activate(ref, change=change(reason))), as_json=as_json)


@app.command()
def suspend(ref: TenantRef, reason: Reason = None, as_json: AsJson = False) -> None:
    """Suspend a tenant: every worker refuses its tokens within a second."""
    _move(ref, Transition.SUSPEND, reason=reason, as_json=as_json)


@app.command()
def resume(ref: TenantRef, reason: Reason = None, as_json: AsJson = False) -> None:
    """Accept the tokens of a suspended tenant again."""
    _move(ref, Transition.RESUME, reason=reason, as_json=as_json)


@app.command()
def delete(
    ref: TenantRef,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Delete a tenant; its slug and issuers stay reserved until `purge`."""
    if not yes:
        typer.confirm(f"Delete {ref}? Its tokens will be refused.", abort=True, err=True)
    _move(ref, Transition.DELETE, reason=reason, as_json=as_json)


@app.command()
def restore(ref: TenantRef, reason: Reason = None, as_json: AsJson = False) -> None:
    """Restore a deleted tenant; its state is then `suspended`."""
    _move(ref, Transition.RESTORE, reason=reason, as_json=as_json)


@app.command()
def rejections(ref: TenantRef, as_json: AsJson = False) -> None:
    """Show recent refusals of a tenant's tokens, counted by reason, kid, azp and aud."""
    rows = query(lambda session: list_rejections(session, ref=ref))
    if as_json:
        print_json({"data": [rejection_out(row).model_dump(mode="json") for row in rows]})
        return
    print_table(
        ("reason", "count", "last", "kid", "azp", "aud"),
        ((r.reason, r.count, r.last_at, r.kid, r.authorized_party, r.audience) for r in rows),
    )


@app.command()
def purge(
    ref: TenantRef,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Erase a deleted tenant with all its data."""
    if not yes:
        typer.confirm(f"Erase {ref} and all its data?", abort=True, err=True)
    execute(lambda commands: commands.purge(ref, change=change(reason)))
    if as_json:
        print_json({"purged": ref})
        return
    say(f"{ref} is erased")


app.command()(apply)
app.command()(export)


def _move(ref: str, transition: Transition, *, reason: str | None, as_json: bool) -> None:
    _print(execute(lambda commands: commands.move(ref, transition, change=change(reason))), as_json=as_json)


def _print(tenant: Tenant, *, as_json: bool) -> None:
    if as_json:
        print_json(shapes.tenant(tenant))
        return
    print_record(
        {
            "slug": tenant.slug,
            "name": tenant.name,
            "id": tenant.id,
            "state": tenant.state,
            "health": tenant_out(tenant).health,
            "external_id": tenant.external_id,
            "role_mapping": [f"{r.source},{r.value},{r.role}" for r in tenant.role_rules],
            "version": tenant.version,
        }
    )
    shapes.print_realms(tenant.realms)


def _object(text: str | None) -> dict[str, Any] | None:
    return parse_object(text, name="--metadata") if text is not None else None
