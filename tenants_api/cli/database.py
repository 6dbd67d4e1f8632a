"""`tenants-api db …`: the schema of the database, without a pooler (TENANTS_DATABASE_DIRECT_URL)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from sqlalchemy import make_url

from tenants_api import items as item_models
from tenants_api.assertions import storage as assertion_models
from tenants_api.cli.exits import CHECK_FAILED, USAGE, CliError
from tenants_api.cli.output import AsJson, print_json, print_record, print_table, say
from tenants_api.cli.session import settings
from tenants_api.database import migrations as migrating
from tenants_api.database import revisions
from tenants_api.database.engine import Base
from tenants_api.database.row_security import APP, OWNER, changeable_log, role_setup, unguarded_tables
from tenants_api.registry import models as registry_models

app = typer.Typer(no_args_is_help=True, help="Database: its schema and migrations.")

# Imported for their tables in the metadata, with which `check` compares the database.
MODELS = (registry_models, item_models, assertion_models)
TABLES = (*Base.metadata.tables, "alembic_version")


@app.command()
def upgrade(
    to: Annotated[str, typer.Option("--to", metavar="REVISION", help="The target revision.")] = "head",
    as_json: AsJson = False,
) -> None:
    """Migrate the database to the newest schema; several processes may run this concurrently."""
    url = settings().direct_url
    migrating.upgrade(url, revision=to)
    _print(migrating.current(url), as_json=as_json)


@app.command()
def downgrade(
    to: Annotated[str, typer.Argument(metavar="REVISION", help="The target revision; `base` drops all tables.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Downgrade the schema; the data of later tables and columns is lost."""
    url = settings().direct_url
    if not yes:
        typer.confirm(f"Downgrade to {to} and lose the data of later tables and columns?", abort=True, err=True)
    migrating.downgrade(url, revision=to)
    _print(migrating.current(url), as_json=as_json)


@app.command()
def current(as_json: AsJson = False) -> None:
    """Show the revision of the database."""
    _print(migrating.current(settings().direct_url), as_json=as_json)


@app.command()
def history(as_json: AsJson = False) -> None:
    """List every revision, oldest first."""
    revisions = migrating.history()
    if as_json:
        print_json({"data": [asdict(revision) for revision in revisions]})
        return
    print_table(("revision", "after", "change"), ((r.revision, r.down_revision, r.message) for r in revisions))


@app.command()
def check(as_json: AsJson = False) -> None:
    """Compare the database with the schema of this version; exit 3 if they differ."""
    url = settings().direct_url
    revision, head = migrating.current(url), revisions.head()
    # An older revision differs anyway; at the newest one a difference is a defect.
    differences = migrating.check(url, metadata=Base.metadata) if revision == head else []
    differences += migrating.read(url, unguarded_tables) + migrating.read(url, changeable_log)
    if as_json:
        print_json({"revision": revision, "head": head, "differences": differences})
    elif revision != head:
        say(f"the database has revision {revision or 'none'}, expected {head}: run tenants-api db upgrade")
    for difference in differences:
        say(difference)
    if revision != head or differences:
        raise typer.Exit(CHECK_FAILED)


@app.command()
def grant(
    role: Annotated[str, typer.Option("--role", help="The role that serves.")] = APP,
    owner: Annotated[str, typer.Option("--owner", help="The role that migrates and owns the tables.")] = OWNER,
    apply: Annotated[bool, typer.Option("--apply", help="Run the statements instead of printing them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the SQL of PostgreSQL's two roles, or run it; connect as a superuser, or as the owner once both exist.

    Tables of other applications in the schema keep their owner and rights.
    """
    url = make_url(settings().direct_url)
    if url.get_backend_name() != "postgresql":
        raise CliError("SQLite has no roles", hint="set TENANTS_DATABASE_URL to PostgreSQL", code=USAGE)
    try:
        statements = role_setup(database=url.database or "", tables=TABLES, owner=owner, app=role)
    except ValueError as error:
        raise CliError(str(error), hint="tenants-api db grant --help", code=USAGE) from error
    if apply:
        migrating.run(url.render_as_string(hide_password=False), statements)
    if as_json:
        print_json({"statements": statements, "applied": apply})
    elif apply:
        say(f"{owner} owns the database, {role} serves; set a missing password by \\password in psql")
    else:
        typer.echo("\n".join(f"{statement};" for statement in statements))


def _print(revision: str | None, *, as_json: bool) -> None:
    head = revisions.head()
    if as_json:
        print_json({"revision": revision, "head": head})
    else:
        print_record({"revision": revision, "head": head})
