"""`tenants-api tenants apply` and `export`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from tenants_api.cli.gitops.carry_out import Order, carry_out
from tenants_api.cli.gitops.intake import Format, format_of
from tenants_api.cli.gitops.outlet import export_tenants
from tenants_api.cli.gitops.workbench import Workbench
from tenants_api.cli.options import BulkActivation
from tenants_api.cli.output import AsJson
from tenants_api.cli.session import Reason, run


def apply(
    file: Annotated[str, typer.Option("--file", "-f", help="YAML documents or NDJSON lines; - is stdin.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Delete tenants that the file does not name.")] = False,
    max_deletes: Annotated[int, typer.Option(min=0, help="Refuse a plan that deletes more.")] = 20,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
    activate: Annotated[
        BulkActivation, typer.Option(help="For new tenants and drafts; only when_ready and now ask realms.")
    ] = BulkActivation.WHEN_READY,
    file_format: Annotated[Format | None, typer.Option("--format", help="By name or beginning if left out.")] = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Make the registry what a file says: create, update and, with --prune, delete; one transaction a tenant."""
    order = Order(
        file=file,
        format=file_format or format_of(file),
        dry_run=dry_run,
        prune=prune,
        max_deletes=max_deletes,
        yes=yes,
        activate=activate,
        reason=reason,
        as_json=as_json,
    )
    with closing(Workbench()) as bench:
        run(carry_out(order, bench=bench))


def export(
    file_format: Annotated[Format, typer.Option("--format", help="YAML, or a JSON object a line.")] = Format.YAML,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write every tenant that is not deleted, as `apply` reads it; --json is --format ndjson."""
    run(export_tenants(output, of=Format.NDJSON if as_json else file_format))
