"""`apply`: import the whole file, plan, show the plan, then execute it. `export`."""

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
    import_documents,
    opened,
)
from tenants_api.cli.options import BulkActivation
from tenants_api.cli.output import AsJson, print_line, say
from tenants_api.cli.session import Reason, change, run, services
from tenants_api.control.commands import Commands
from tenants_api.database.engine import Database


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """The options of `apply`; `format` None is guessed."""

    file: str
    format: Format | None
    dry_run: bool
    prune: bool
    max_deletes: int
    yes: bool
    activate: BulkActivation
    reason: str | None
    as_json: bool


async def apply_file(options: ApplyOptions, *, plan_store: PlanStore) -> None:
    """Apply a file. Raises CliError before the first change, typer.Exit with the code of a failed step."""
    async with services(load=False) as opened:
        _read(options, plan_store=plan_store, commands=opened.commands)
        await _plan(options, plan_store=plan_store, database=opened.database)
        if options.dry_run:
            _summarize(options, plan_store.counts(), failed=0)
            return
        _confirm_deletes(options, deletes=plan_store.counts().get("delete", 0))
        executor = Executor(opened.commands, activate=options.activate, change=change(options.reason))
        await _execute(options, executor, plan_store=plan_store)


def _read(options: ApplyOptions, *, plan_store: PlanStore, commands: Commands) -> None:
    with opened(options.file) as stream:
        size = os.fstat(stream.fileno()).st_size if options.file != "-" else None
        with bar("reading", total=size, counts=False) as progress:
            counting = io.BufferedReader(Counting(stream, on_read=progress.advance), 65_536)
            faults = import_documents(
                counting,
                of=options.format,
                plan_store=plan_store,
                vocabulary=commands.vocabulary,
                refuse=commands.refuse_reserved,
            )
    if faults:
        more = " at least" if len(faults) == MAX_FAULTS else ""
        _print_faults(faults, as_json=options.as_json)
        raise CliError(f"the file has{more} {len(faults)} faults; nothing was changed", code=USAGE)
    if plan_store.is_empty:
        # Also without --prune: an empty file is most likely the failure of an earlier step.
        raise CliError("the file has no tenant; nothing was changed", code=USAGE)


async def _plan(options: ApplyOptions, *, plan_store: PlanStore, database: Database) -> None:
    async with database.read() as session:
        conflicts = await make_plan(session, plan_store=plan_store, activate=options.activate, prune=options.prune)
    if conflicts:
        _print_faults(conflicts[:MAX_FAULTS], as_json=options.as_json)
        raise CliError(f"{len(conflicts)} conflicts with the registry; nothing was changed", code=CONFLICT)
    print_plan(plan_store.due(ORDER), as_json=options.as_json)
    deletes = plan_store.counts().get("delete", 0)
    if deletes > options.max_deletes:
        raise CliError(
            f"the plan deletes {deletes:,} tenants, more than --max-deletes {options.max_deletes}; nothing was changed",
            hint=f"to delete them: --max-deletes {deletes}",
            code=CONFLICT,
        )


def _confirm_deletes(options: ApplyOptions, *, deletes: int) -> None:
    if deletes and not options.yes:
        typer.confirm(f"Delete {deletes:,} tenants? Their tokens will be refused.", abort=True, err=True)


async def _execute(options: ApplyOptions, executor: Executor, *, plan_store: PlanStore) -> None:
    counts = plan_store.counts()
    done: Counter[str] = Counter(unchanged=counts.get("unchanged", 0))
    code = 0
    with bar("applying", total=sum(counts.get(action, 0) for action in ORDER)) as progress:
        try:
            async for one in executor.apply(plan_store):
                progress.advance()
                if one.failure is None and not one.waiting:
                    done[str(one.step.action)] += 1
                    continue
                print_failure(one, as_json=options.as_json)
                done["failed"] += 1
                code = CHECK_FAILED if is_check_failure(one) else exit_code(one.failure) if one.failure else 1
        except SQLAlchemyError as error:
            say(_interrupted(done))
            raise typer.Exit(report(error)) from error
        except BaseException:  # Ctrl-C: the open transaction is rolled back
            say(_interrupted(done))
            raise
    _summarize(options, done, failed=done["failed"])
    if code:
        raise typer.Exit(code)


def _summarize(options: ApplyOptions, counts: dict[str, int], *, failed: int) -> None:
    if options.as_json:
        summary = {action: counts.get(action, 0) for action in ACTIONS}
        print_line({"summary": summary | {"failed": failed}, "dry_run": options.dry_run})
    elif options.dry_run:
        say(counted(counts))
    else:
        say(counted(counts, done=True) + (f", {failed:,} failed" if failed else ""))


def _interrupted(done: Counter[str]) -> str:
    changed = sum(done[action] for action in ORDER)
    return f"interrupted: {changed:,} tenants were changed; run the same command again to continue"


def _print_faults(found: Sequence[Fault | Conflict], *, as_json: bool) -> None:
    for one in found:
        say(f"line {one.line}: {one.reason}")
        if as_json:
            print_line({"line": one.line, "fault": one.reason})


def apply(
    file: Annotated[str, typer.Option("--file", "-f", help="File of YAML documents or NDJSON lines; - is stdin.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan without executing it.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Delete tenants that are not in the file.")] = False,
    max_deletes: Annotated[int, typer.Option(min=0, help="Refuse a plan that deletes more.")] = 20,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
    activate: Annotated[
        BulkActivation, typer.Option(help="For new tenants and drafts; only when_ready and now call realms.")
    ] = BulkActivation.WHEN_READY,
    file_format: Annotated[
        Format | None, typer.Option("--format", help="By the file's name or first byte if left out.")
    ] = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Create, update and, with --prune, delete tenants to match a file; one transaction a tenant."""
    options = ApplyOptions(
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
    with closing(PlanStore()) as plan_store:
        run(apply_file(options, plan_store=plan_store))


def export(
    file_format: Annotated[Format, typer.Option("--format", help="YAML, or a JSON object a line.")] = Format.YAML,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write every tenant that is not deleted in a format of `apply`; --json is --format ndjson."""
    run(export_tenants(output, of=Format.NDJSON if as_json else file_format))
