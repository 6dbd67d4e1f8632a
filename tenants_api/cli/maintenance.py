"""`tenants-api maintenance`: deletes expired rows; to run by a timer, also while the API runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tenants_api.cli.output import AsJson, print_json, print_table
from tenants_api.cli.session import change, run, services
from tenants_api.composition import Services
from tenants_api.control.retention import Due, Retention, count, due, remove


def maintenance(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the rows.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="Rows in one transaction.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Delete expired rows: idempotency keys, login attempts, rejections and, if set, audit events."""
    found = run(_maintain(dry_run=dry_run, batch=batch))
    if as_json:
        print_json({"dry_run": dry_run, "tables": found})
        return
    rows = "expired" if dry_run else "deleted"
    print_table(("table", "older than", rows), ((one["table"], one["before"], one["rows"]) for one in found))


async def _maintain(*, dry_run: bool, batch: int) -> list[dict[str, Any]]:
    async with services(load=False) as opened:
        days = opened.settings.audit_retention_days, opened.settings.rejection_retention_days
        whats = due(Retention(*days), now=datetime.now(UTC))
        return [
            {
                "table": what.name,
                "before": what.before.isoformat(timespec="seconds").replace("+00:00", "Z"),
                "rows": await _rows(opened, what, dry_run=dry_run, batch=batch),
            }
            for what in whats
        ]


async def _rows(opened: Services, what: Due, *, dry_run: bool, batch: int) -> int:
    if not dry_run:
        return sum([removed async for removed in remove(opened.database, what, batch=batch, change=change())])
    async with opened.database.read() as session:
        return await count(session, what)
