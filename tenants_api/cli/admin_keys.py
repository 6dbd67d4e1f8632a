"""`tenants-api admin-keys …`: the keys of the admin plane."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from tenants_api.cli import shapes
from tenants_api.cli.exits import USAGE, CliError
from tenants_api.cli.output import AsJson, print_json, print_table, say
from tenants_api.cli.session import Reason, change, execute, query
from tenants_api.control.admin_keys import list_admin_keys
from tenants_api.database.engine import utc_now
from tenants_api.registry.models import AdminApiKey
from tenants_api.registry.values import SCOPES

app = typer.Typer(no_args_is_help=True, help="Admin keys: credentials of the admin plane.")

Scopes = Annotated[str, typer.Option("--scopes", help=f"Comma-separated, of: {', '.join(SCOPES)}.")]


@app.command()
def create(
    name: Annotated[str, typer.Option("--name", help="What the key is for.")],
    scopes: Scopes = ",".join(SCOPES),
    expires_in: Annotated[int | None, typer.Option(min=1, help="Days until it expires; never if left out.")] = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it on stdout; it cannot be shown again."""
    expires_at = utc_now() + timedelta(days=expires_in) if expires_in else None
    chosen, who = _scopes(scopes), change(reason)
    row, key = execute(
        lambda commands: commands.create_admin_key(name, scopes=chosen, expires_at=expires_at, held=SCOPES, change=who)
    )
    if as_json:
        print_json({**_shape(row), "key": key})
        return
    typer.echo(key)
    say("store the key now: the registry has only its digest")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the keys, without their secrets."""
    rows = query(list_admin_keys)
    if as_json:
        print_json({"data": [_shape(row) for row in rows]})
        return
    columns = ("key_id", "name", "scopes", "created_at", "expires_at", "revoked_at")
    print_table(columns, ([_shape(row)[column] for column in columns] for row in rows))


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as in `list`.")],
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key: the next request with it is refused."""
    execute(lambda commands: commands.revoke_admin_key(key_id, held=SCOPES, change=change(reason)))
    if as_json:
        print_json({"revoked": key_id})
        return
    say(f"{key_id} is revoked")


def _scopes(text: str) -> tuple[str, ...]:
    scopes = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        found = f"has unknown scopes {', '.join(unknown)}" if unknown else "is empty"
        raise CliError(f"--scopes {found}; expected some of {', '.join(SCOPES)}", code=USAGE)
    return scopes


def _shape(row: AdminApiKey) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "key_id": row.key_id,
        "name": row.name,
        "scopes": list(row.scopes),
        "created_at": shapes.time(row.created_at),
        "expires_at": shapes.time(row.expires_at),
        "revoked_at": shapes.time(row.revoked_at),
    }
