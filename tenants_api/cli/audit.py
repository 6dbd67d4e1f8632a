"""`tenants-api audit …`: the audit log."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.cli import shapes
from tenants_api.cli.exits import USAGE, CliError
from tenants_api.cli.output import AsJson, print_json, print_line, print_table
from tenants_api.cli.session import query, run, services
from tenants_api.database.engine import utc_now
from tenants_api.database.pagination import Page, PageRequest
from tenants_api.registry.audit import list_events, slugs_of
from tenants_api.registry.models import AuditEvent

app = typer.Typer(no_args_is_help=True, help="Audit: every change, with actor and reason.")

MAX_EVENTS_PER_PAGE = 100

Action = Annotated[str | None, typer.Option(help="Only this action.")]
Target = Annotated[str | None, typer.Option(help="Only this target's id.")]
ActorId = Annotated[str | None, typer.Option("--actor", help="Only this actor's id.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only from then on: RFC 3339, a date, or `30m`, `24h`, `7d` ago.")
]
_AGO = re.compile(r"([0-9]{1,5})([mhd])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@app.command()
def tail(
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=MAX_EVENTS_PER_PAGE, help="How many.")] = 20,
    action: Action = None,
    target: Target = None,
    actor: ActorId = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest events, newest first."""
    where: dict[str, Any] = {"action": action, "target": target, "actor": actor, "since": _time(since)}

    async def read(session: AsyncSession) -> tuple[Page[AuditEvent], dict[str, str]]:
        page = await list_events(session, page=PageRequest(limit=lines), **where)
        return page, await slugs_of(session, events=page.items)

    page, slugs = query(read)
    if as_json:
        print_json(shapes.page(page, shape=lambda row: shapes.event(row, tenant=slugs.get(row.target_id))))
        return
    print_table(
        ("occurred_at", "action", "actor", "tenant", "target", "reason", "changes"),
        (
            (
                e.occurred_at,
                e.action,
                f"{e.actor_type}:{e.actor_id}",
                slugs.get(e.target_id),
                f"{e.target_type}:{e.target_id}",
                e.reason,
                _changes(e.changes),
            )
            for e in page.items
        ),
    )


@app.command()
def export(
    action: Action = None,
    target: Target = None,
    actor: ActorId = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Write all events to stdout, newest first, one JSON document a line (with or without --json)."""
    run(_export(action=action, target=target, actor=actor, since=_time(since)))


async def _export(**where: Any) -> None:
    async for event, slug in _events(**where):
        print_line(shapes.event(event, tenant=slug))


async def _events(**where: Any) -> AsyncIterator[tuple[AuditEvent, str | None]]:
    async with services() as opened:
        after: str | None = None
        while True:
            # A transaction for each page: a long export must not hold one snapshot of the database.
            async with opened.database.read() as session:
                page = await list_events(session, page=PageRequest(limit=MAX_EVENTS_PER_PAGE, after=after), **where)
                slugs = await slugs_of(session, events=page.items)
            for event in page.items:
                yield event, slugs.get(event.target_id)
            if page.after is None:
                return
            after = page.after


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return utc_now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        given = datetime.fromisoformat(text)
        return given if given.tzinfo is not None else given.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        hint = "--since 2026-12-01T08:00:00Z, or --since 24h"
        raise CliError(f"--since {text!r} is not a time", hint=hint, code=USAGE) from error


def _changes(changes: Mapping[str, Any]) -> str:
    """Each changed field with the value before and the value after."""
    before, after = changes.get("before", {}), changes.get("after", {})
    return "; ".join(f"{name}: {_shown(before, name)} → {_shown(after, name)}" for name in {**before, **after})


def _shown(fields: Mapping[str, Any], name: str) -> str:
    return json.dumps(fields[name], ensure_ascii=False) if name in fields else "-"
