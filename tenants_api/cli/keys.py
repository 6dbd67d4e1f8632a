"""`tenants-api keys …`: the signature keys of a tenant's realms."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Annotated, Any

import typer

from tenants_api.cli.output import AsJson, print_json, print_table
from tenants_api.cli.session import TenantRef, run, services
from tenants_api.composition import Services
from tenants_api.control import service
from tenants_api.registry import repository
from tenants_api.registry.models import Realm

app = typer.Typer(no_args_is_help=True, help="Keys: the signature keys of a tenant's realms.")

OneRealm = Annotated[uuid.UUID | None, typer.Argument(metavar="[REALM]", help="Id of one realm; all if left out.")]


@app.command("list")
def list_(ref: TenantRef, realm_id: OneRealm = None, as_json: AsJson = False) -> None:
    """List the stored keys of a tenant's realms."""
    _print(run(_reports(ref, realm_id=realm_id, refresh=False)), as_json=as_json)


@app.command()
def refresh(ref: TenantRef, realm_id: OneRealm = None, as_json: AsJson = False) -> None:
    """Fetch the keys now and store them; running workers use them within a second."""
    _print(run(_reports(ref, realm_id=realm_id, refresh=True)), as_json=as_json)


async def _reports(ref: str, *, realm_id: uuid.UUID | None, refresh: bool) -> list[dict[str, Any]]:
    async with services() as opened:
        realms = await _realms(opened, ref=ref, realm_id=realm_id)
        if refresh:
            for realm in realms:
                await opened.replica.refresh_keys(realm.id)
        return [_report(opened, realm=realm) for realm in realms]


async def _realms(opened: Services, *, ref: str, realm_id: uuid.UUID | None) -> list[Realm]:
    async with opened.database.read() as session:
        if realm_id is not None:
            return [await service.get_realm(session, ref=ref, realm_id=realm_id)]
        return list((await repository.get_tenant(session, ref=ref)).realms)


def _report(opened: Services, *, realm: Realm) -> dict[str, Any]:
    return {"realm_id": str(realm.id), "issuer": realm.issuer, **asdict(opened.replica.key_report(realm.id))}


def _print(reports: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(reports)
        return
    print_table(
        ("issuer", "kid", "alg", "use", "first_seen", "last_used", "fetched_at", "source"),
        (
            (r["issuer"], k["kid"], k["alg"], k["use"], k["first_seen"], k["last_used"], r["fetched_at"], r["source"])
            for r in reports
            for k in r["keys"]
        ),
    )
