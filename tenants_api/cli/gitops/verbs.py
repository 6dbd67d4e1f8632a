"""`apply` from beginning to end: take the whole file in, plan, show the plan, and only then change anything."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from tenants_api.cli.exits import CHECK_FAILED, CONFLICT, USAGE, CliError, exit_code, report
from tenants_api.cli.gitops.execute import (
    ACTIONS,
    ORDER,
    Executor,
    bar,
    counted,
    is_check_failure,
    print_failure,
    print_plan,
)
from tenants_api.cli.gitops.plan import Conflict, PlanStore, make_plan
from tenants_api.cli.gitops.transfer import (
    MAX_FAULTS,
    Counting,
    Fault,
    Format,
    export_tenants,
    format_of,
    opened,
    take_in,
)
from tenants_api.cli.options import BulkActivation
from tenants_api.cli.output import AsJson, print_line, say
from tenants_api.cli.session import Reason, change, run, services
from tenants_api.control.commands import Commands
from tenants_api.database.engine import Database


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for; `format` None is guessed."""

    file: str
    format: Format | None
    dry_run: bool
    prune: bool
    max_deletes: int
    yes: bool
    activate: BulkActivation
    reason: str | None
    as_json: bool


async def carry_out(order: Order, *, bench: PlanStore) -> None:
    """Raises CliError before anything is changed, or typer.Exit with the code of what failed in between."""
    async with services(load=False) as opened:
        _read(order, bench=bench, commands=opened.commands)
        await _plan(order, bench=bench, database=opened.database)
        if order.dry_run:
            _summarize(order, bench.counts(), failed=0)
            return
        _ask(order, deletes=bench.counts().get("delete", 0))
        executor = Executor(opened.commands, activate=order.activate, change=change(order.reason))
        await _execute(order, executor, bench=bench)


def _read(order: Order, *, bench: PlanStore, commands: Commands) -> None:
    with opened(order.file) as stream:
        size = os.fstat(stream.fileno()).st_size if order.file != "-" else None
        with bar("reading", total=size, counts=False) as progress:
            counting = io.BufferedReader(Counting(stream, on_read=progress.advance), 65_536)
            faults = take_in(
                counting, of=order.format, bench=bench, vocabulary=commands.vocabulary, refuse=commands.refuse_reserved
            )
    if faults:
        more = " at least" if len(faults) == MAX_FAULTS else ""
        _say_all(faults, as_json=order.as_json)
        raise CliError(f"the file has{more} {len(faults)} faults; nothing was changed", code=USAGE)
    if bench.is_empty:
        # Also without --prune: an empty file is a step before this one that failed, not a wish.
        raise CliError("there is no tenant in the file; nothing was changed", code=USAGE)


async def _plan(order: Order, *, bench: PlanStore, database: Database) -> None:
    async with database.read() as session:
        conflicts = await make_plan(session, bench=bench, activate=order.activate, prune=order.prune)
    if conflicts:
        _say_all(conflicts[:MAX_FAULTS], as_json=order.as_json)
        raise CliError(f"{len(conflicts)} conflicts with the registry; nothing was changed", code=CONFLICT)
    print_plan(bench.planned(ORDER), as_json=order.as_json)
    deletes = bench.counts().get("delete", 0)
    if deletes > order.max_deletes:
        raise CliError(
            f"the plan deletes {deletes:,} tenants, more than --max-deletes {order.max_deletes}; nothing was changed",
            hint=f"if that is what you want: --max-deletes {deletes}",
            code=CONFLICT,
        )


def _ask(order: Order, *, deletes: int) -> None:
    if deletes and not order.yes:
        typer.confirm(f"Delete {deletes:,} tenants? Their tokens will be refused.", abort=True, err=True)


async def _execute(order: Order, executor: Executor, *, bench: PlanStore) -> None:
    counts = bench.counts()
    done: Counter[str] = Counter(unchanged=counts.get("unchanged", 0))
    code = 0
    with bar("applying", total=sum(counts.get(action, 0) for action in ORDER)) as progress:
        try:
            async for one in executor.apply(bench):
                progress.advance()
                if one.failure is None and not one.waiting:
                    done[str(one.step.action)] += 1
                    continue
                print_failure(one, as_json=order.as_json)
                done["failed"] += 1
                code = CHECK_FAILED if is_check_failure(one) else exit_code(one.failure) if one.failure else 1
        except SQLAlchemyError as error:
            say(_interrupted(done))
            raise typer.Exit(report(error)) from error
        except BaseException:  # Ctrl-C: the transaction under way is rolled back
            say(_interrupted(done))
            raise
    _summarize(order, done, failed=done["failed"])
    if code:
        raise typer.Exit(code)


def _summarize(order: Order, counts: dict[str, int], *, failed: int) -> None:
    if order.as_json:
        told = {action: counts.get(action, 0) for action in ACTIONS}
        print_line({"summary": told | {"failed": failed}, "dry_run": order.dry_run})
    elif order.dry_run:
        say(counted(counts))
    else:
        say(counted(counts, done=True) + (f", {failed:,} failed" if failed else ""))


def _interrupted(done: Counter[str]) -> str:
    changed = sum(done[action] for action in ORDER)
    return f"ended early: {changed:,} tenants were changed and stay so; the same command goes on from there"


def _say_all(found: Sequence[Fault | Conflict], *, as_json: bool) -> None:
    for one in found:
        say(f"line {one.line}: {one.reason}")
        if as_json:
            print_line({"line": one.line, "fault": one.reason})


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
    with closing(PlanStore()) as bench:
        run(carry_out(order, bench=bench))


def export(
    file_format: Annotated[Format, typer.Option("--format", help="YAML, or a JSON object a line.")] = Format.YAML,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write every tenant that is not deleted, as `apply` reads it; --json is --format ndjson."""
    run(export_tenants(output, of=Format.NDJSON if as_json else file_format))
