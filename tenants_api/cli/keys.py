"""`tenants-api keys …`: the signature keys of a tenant's realms."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from tenants_api.cli.output import AsJson, print_json, print_table
from tenants_api.cli.session import TenantRef, find_realm, run, services
from tenants_api.composition import Services
from tenants_api.registry import repository
from tenants_api.registry.models import Realm

app = typer.Typer(no_args_is_help=True, help="Keys: the signature keys of a tenant's realms.")

OneRealm = Annotated[
    str | None,
    typer.Argument(metavar="[REALM]", help="Number in `realms list`, issuer or id of one realm; all if left out."),
]


@app.command("list")
def list_(ref: TenantRef, realm: OneRealm = None, as_json: AsJson = False) -> None:
    """List the stored keys of a tenant's realms."""
    _print(run(_reports(ref, realm=realm, refresh=False)), as_json=as_json)


@app.command()
def refresh(ref: TenantRef, realm: OneRealm = None, as_json: AsJson = False) -> None:
    """Fetch the keys now and store them; running workers use them within a second."""
    _print(run(_reports(ref, realm=realm, refresh=True)), as_json=as_json)


async def _reports(ref: str, *, realm: str | None, refresh: bool) -> list[dict[str, Any]]:
    async with services() as opened:
        async with opened.database.read() as session:
            tenant = await repository.get_tenant(session, ref=ref)
        realms = tenant.realms if realm is None else [find_realm(tenant, realm)]
        if refresh:
            for one in realms:
                await opened.replica.refresh_keys(one.id)
        return [_report(opened, realm=one) for one in realms]


def _report(opened: Services, *, realm: Realm) -> dict[str, Any]:
    report = asdict(opened.replica.key_report(realm.id))
    # Each running worker knows since when and when last it used a key; this process has only just read it.
    keys = [{name: key[name] for name in ("kid", "alg", "use")} for key in report["keys"]]
    return {"realm_id": str(realm.id), "issuer": realm.issuer, **report, "keys": keys}


def _print(reports: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json({"data": reports})
        return
    print_table(
        ("issuer", "kid", "alg", "use", "fetched_at", "source"),
        ((r["issuer"], k["kid"], k["alg"], k["use"], r["fetched_at"], r["source"]) for r in reports for k in r["keys"]),
    )
