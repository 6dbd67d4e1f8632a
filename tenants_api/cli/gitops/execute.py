"""Does what the plan says, one transaction a tenant: each is wholly as the file has it, or as it was.

Ended in the middle, the same command goes on: what is done is `unchanged` in its plan.
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

ORDER = ("delete", "update", "create")  # who lets go of a name comes before who takes it
_TAKEN = (SlugTaken, ExternalIdTaken, IssuerTaken)


@dataclass(frozen=True, slots=True)
class Done:
    """One step that was tried: `failure` says why it could not be done; `waiting` is a draft whose checks failed."""

    step: Step
    failure: ApiError | None = None
    waiting: bool = False


class Executor:
    """Applies steps by the commands of the API; only with `when_ready` and `now` realms are asked."""

    def __init__(self, commands: Commands, *, activate: BulkActivation, change: Change) -> None:
        asks = activate in (BulkActivation.WHEN_READY, BulkActivation.NOW)
        self._activate: Activation = activate.value if asks else "unchecked"
        self._commands, self._change = commands, change

    async def apply(self, bench: PlanStore) -> AsyncIterator[Done]:
        """Go through all steps. What is refused is told and does not keep the others.

        Raises:
            SQLAlchemyError: the database failed; what was told as done is committed.
        """
        turn = 0
        while True:
            waiting, moved = 0, False
            for step in bench.due(ORDER, turn=turn):
                done = await self._try(step)
                if isinstance(done.failure, _TAKEN):
                    bench.wait(step, turn=turn + 1)
                    waiting += 1
                else:
                    moved = True
                    yield done
            turn += 1
            if not waiting:
                return
            if not moved:  # nobody is left who could let go of a name
                break
        for step in bench.due(ORDER, turn=turn):
            yield await self._try(step)

    async def _try(self, step: Step) -> Done:
        try:
            tenant = await self._apply(step)
        except ApiError as refused:
            return Done(step, failure=refused)
        return Done(step, waiting=tenant.state == TenantState.DRAFT and step.goal == TenantState.ACTIVE)

    async def _apply(self, step: Step) -> Tenant:
        if step.action == "delete":
            return await self._commands.move(
                str(step.tenant_id), Transition.DELETE, if_match=step.version, change=self._change
            )
        wanted = read_document(parse_json(step.document.encode()), vocabulary=self._commands.vocabulary)
        goal = TenantState(str(step.goal))
        if step.action == "create":
            activate = self._activate if goal == TenantState.ACTIVE else "unchecked"
            return await self._commands.create(wanted.draft, activate=activate, state=goal, change=self._change)
        tenant, _ = await self._commands.put(
            str(step.tenant_id), wanted.draft, activate=self._activate, state=goal, if_match=step.version,
            change=self._change,
        )  # fmt: skip
        return tenant


def is_check_failure(done: Done) -> bool:
    """Whether a realm's checks are what kept the tenant from what the file wants."""
    return done.waiting or isinstance(done.failure, RealmNotReady)


ACTIONS = ("create", "update", "unchanged", "delete")
MAX_PLAN_LINES = 100  # of a plan that a person reads


class Bar:
    """A progress bar on stderr, on a terminal only."""

    def __init__(self, progress: Progress, *, total: int | None, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def advance(self, by: int = 1) -> None:
        self._progress.advance(self._task, by)


@contextmanager
def bar(what: str, *, total: int | None, counts: bool = True) -> Iterator[Bar]:
    """`total` None where the end is not known; with `counts` it shows how many, else the share."""
    shown = MofNCompleteColumn() if counts else TaskProgressColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), shown, TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        yield Bar(progress, total=total, what=what)


def print_plan(steps: Iterator[Step], *, as_json: bool) -> None:
    """Each step that changes something; for people the first hundred."""
    hidden = 0
    for number, step in enumerate(steps):
        if as_json:
            print_line(shape(step))
        elif number < MAX_PLAN_LINES:
            say(_words(step), style=_STYLES.get(step.action or "", ""))
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
    """`2 to create, 1 to update, …` for people, or `2 created, …` afterwards."""
    words = _DONE if done else _TO_DO
    return ", ".join(f"{counts.get(action, 0):,} {words[action]}" for action in ACTIONS)


def print_failure(done: Done, *, as_json: bool) -> None:
    """A tenant that is not, or not yet, as the file wants it."""
    code, reason = "realm_not_ready", "a check failed: it stays a draft"
    if done.failure is not None:
        code, reason = done.failure.code, done.failure.detail
    if as_json:
        print_line({**shape(done.step), "failed": code, "detail": reason})
    say(f"{done.step.slug}: {reason} [{code}]", style="yellow" if done.waiting else "red")


def _words(step: Step) -> str:
    more = f" ({', '.join(step.changes)})" if step.changes else ""
    return f"{step.action} {step.slug}{more}"


_TO_DO = {"create": "to create", "update": "to update", "unchanged": "unchanged", "delete": "to delete"}
_DONE = {"create": "created", "update": "updated", "unchanged": "unchanged", "delete": "deleted"}
_STYLES = {"create": "green", "update": "yellow", "delete": "red"}
