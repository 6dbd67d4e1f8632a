"""`tenants-api audit …`: the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import typer

from tenants_api.cli import shapes
from tenants_api.cli.output import AsJson, print_json, print_line, print_table
from tenants_api.cli.session import query, run, services
from tenants_api.database.pagination import PageRequest
from tenants_api.registry.audit import list_events
from tenants_api.registry.models import AuditEvent

app = typer.Typer(no_args_is_help=True, help="Audit: every change, with actor and reason.")

MAX_EVENTS_PER_PAGE = 100

Action = Annotated[str | None, typer.Option(help="Only this action.")]
Target = Annotated[str | None, typer.Option(help="Only this target's id.")]
ActorId = Annotated[str | None, typer.Option("--actor", help="Only this actor's id.")]


@app.command()
def tail(
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=MAX_EVENTS_PER_PAGE, help="How many.")] = 20,
    action: Action = None,
    target: Target = None,
    actor: ActorId = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest events, newest first."""
    page = query(
        lambda session: list_events(session, page=PageRequest(limit=lines), action=action, target=target, actor=actor)
    )
    if as_json:
        print_json(shapes.page(page, shape=shapes.event))
        return
    print_table(
        ("occurred_at", "action", "actor", "target", "reason"),
        (
            (
                shapes.time(e.occurred_at),
                e.action,
                f"{e.actor_type}:{e.actor_id}",
                f"{e.target_type}:{e.target_id}",
                e.reason,
            )
            for e in page.items
        ),
    )


@app.command()
def export(action: Action = None, target: Target = None, actor: ActorId = None, as_json: AsJson = False) -> None:
    """Write all events to stdout, newest first, one JSON document a line (with or without --json)."""
    run(_export(action=action, target=target, actor=actor))


async def _export(**where: str | None) -> None:
    async for event in _events(**where):
        print_line(shapes.event(event))


async def _events(**where: str | None) -> AsyncIterator[AuditEvent]:
    async with services() as opened:
        after: str | None = None
        while True:
            # A transaction for each page: a long export must not hold one snapshot of the database.
            async with opened.database.read() as session:
                page = await list_events(session, page=PageRequest(limit=MAX_EVENTS_PER_PAGE, after=after), **where)
            for event in page.items:
                yield event
            if page.after is None:
                return
            after = page.after
