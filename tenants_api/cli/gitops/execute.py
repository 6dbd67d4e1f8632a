"""Executes a plan, one transaction a tenant: each tenant is entirely as in the file, or unchanged.

After an interruption the same command continues: finished steps are `unchanged` in its plan.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tenants_api.cli.gitops.documents import read_document
from tenants_api.cli.gitops.plan import PlanStore, Step
from tenants_api.cli.options import BulkActivation
from tenants_api.cli.output import print_line, say
from tenants_api.control.commands import Activation, Commands
from tenants_api.encoding.strict_json import parse_json
from tenants_api.errors import ApiError
from tenants_api.registry.errors import ExternalIdTaken, IssuerTaken, RealmNotReady, SlugTaken
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Change, TenantState, Transition

ORDER = ("delete", "update", "create")  # a name is released before another tenant gets it
_CONFLICTS = (SlugTaken, ExternalIdTaken, IssuerTaken)


@dataclass(frozen=True, slots=True)
class StepResult:
    """A step that was executed: `failure` is its error; `waiting` means a draft whose checks failed."""

    step: Step
    failure: ApiError | None = None
    waiting: bool = False


class Executor:
    """Executes steps by the commands of the API; only `when_ready` and `now` call realms."""

    def __init__(self, commands: Commands, *, activate: BulkActivation, change: Change) -> None:
        checks = activate in (BulkActivation.WHEN_READY, BulkActivation.NOW)
        self._activate: Activation = activate.value if checks else "unchecked"
        self._commands, self._change = commands, change

    async def apply(self, plan_store: PlanStore) -> AsyncIterator[StepResult]:
        """Execute all steps; a failed one does not stop the others.

        Raises:
            SQLAlchemyError: the database failed; every step that was yielded is committed.
        """
        attempt = 0
        while True:
            waiting, moved = 0, False
            for step in plan_store.due(ORDER, attempt=attempt):
                done = await self._try(step)
                if isinstance(done.failure, _CONFLICTS):
                    plan_store.wait(step, attempt=attempt + 1)
                    waiting += 1
                else:
                    moved = True
                    yield done
            attempt += 1
            if not waiting:
                return
            if not moved:  # no step is left that could release a name
                break
        for step in plan_store.due(ORDER, attempt=attempt):
            yield await self._try(step)

    async def _try(self, step: Step) -> StepResult:
        try:
            tenant = await self._apply(step)
        except ApiError as refused:
            return StepResult(step, failure=refused)
        return StepResult(step, waiting=tenant.state == TenantState.DRAFT and step.goal == TenantState.ACTIVE)

    async def _apply(self, step: Step) -> Tenant:
        if step.action == "delete":
            return await self._commands.move(
                str(step.tenant_id), Transition.DELETE, if_match=step.version, change=self._change
            )
        desired = read_document(parse_json(step.document.encode()), vocabulary=self._commands.vocabulary)
        goal = TenantState(str(step.goal))
        if step.action == "create":
            activate = self._activate if goal == TenantState.ACTIVE else "unchecked"
            return await self._commands.create(desired.draft, activate=activate, state=goal, change=self._change)
        tenant, _ = await self._commands.put(
            str(step.tenant_id), desired.draft, activate=self._activate, state=goal, if_match=step.version,
            change=self._change,
        )  # fmt: skip
        return tenant


def is_check_failure(done: StepResult) -> bool:
    """Whether the step failed because of a realm's checks."""
    return done.waiting or isinstance(done.failure, RealmNotReady)


ACTIONS = ("create", "update", "unchanged", "delete")
MAX_PLAN_LINES = 100  # without --json


class Bar:
    """A progress bar on stderr, on a terminal only."""

    def __init__(self, progress: Progress, *, total: int | None, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def advance(self, by: int = 1) -> None:
        self._progress.advance(self._task, by)


@contextmanager
def bar(what: str, *, total: int | None, counts: bool = True) -> Iterator[Bar]:
    """A progress bar; `total` None if the end is unknown; shows a count, or a percentage without `counts`."""
    shown = MofNCompleteColumn() if counts else TaskProgressColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), shown, TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        yield Bar(progress, total=total, what=what)


def print_plan(steps: Iterator[Step], *, as_json: bool) -> None:
    """Print the steps; without JSON only the first `MAX_PLAN_LINES`."""
    hidden = 0
    for number, step in enumerate(steps):
        if as_json:
            print_line(shape(step))
        elif number < MAX_PLAN_LINES:
            say(_description(step), style=_STYLES.get(step.action or "", ""))
        else:
            hidden += 1
    if hidden:
        say(f"… and {hidden:,} more; --json prints all")


def shape(step: Step) -> dict[str, object]:
    """A step in JSON."""
    shown: dict[str, object] = {"action": step.action, "slug": step.slug, "state": step.goal}
    if step.line:
        shown["line"] = step.line
    if step.changes:
        shown["changes"] = list(step.changes)
    return shown


def counted(counts: Mapping[str, int], *, done: bool = False) -> str:
    """A summary such as `2 to create, 1 to update, …`, or `2 created, …` with `done`."""
    words = _DONE if done else _TO_DO
    return ", ".join(f"{counts.get(action, 0):,} {words[action]}" for action in ACTIONS)


def print_failure(done: StepResult, *, as_json: bool) -> None:
    """Print a tenant that is not as in the file."""
    code, reason = "realm_not_ready", "a check failed: the tenant is a draft"
    if done.failure is not None:
        code, reason = done.failure.code, done.failure.detail
    if as_json:
        print_line({**shape(done.step), "failed": code, "detail": reason})
    say(f"{done.step.slug}: {reason} [{code}]", style="yellow" if done.waiting else "red")


def _description(step: Step) -> str:
    more = f" ({', '.join(step.changes)})" if step.changes else ""
    return f"{step.action} {step.slug}{more}"


_TO_DO = {"create": "to create", "update": "to update", "unchanged": "unchanged", "delete": "to delete"}
_DONE = {"create": "created", "update": "updated", "unchanged": "unchanged", "delete": "deleted"}
_STYLES = {"create": "green", "update": "yellow", "delete": "red"}
