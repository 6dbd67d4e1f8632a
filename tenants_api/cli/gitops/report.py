"""What `apply` says: the plan and its outcome, as lines for people or NDJSON for machines, and a bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tenants_api.cli.gitops.execute import Done
from tenants_api.cli.gitops.workbench import Step
from tenants_api.cli.output import print_line, say

ACTIONS = ("create", "update", "unchanged", "delete")
MOST_LINES = 100  # of a plan that a person reads


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
        elif number < MOST_LINES:
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
