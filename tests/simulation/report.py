"""What a person reads of a run that broke a promise: the seed, the shortest history, and the promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.simulation.actions import Action
from tests.simulation.run import Result, run
from tests.simulation.shrink import shrink


@dataclass(frozen=True, slots=True)
class Finding:
    """`actions` are what is left of the run's; `story` is what happened then, line by line."""

    seed: int
    promise: str
    broken: str
    actions: tuple[Action, ...]
    story: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed} breaks promise {self.broken}",
            f"{len(self.actions)} actions are enough (scripts/fuzz --simulation --seed {self.seed} --runs 1):",
            *(f"  {action}" for action in self.actions),
            "what happened:",
            *(f"  {line}" for line in self.story),
        ]
        return "\n".join(lines)


def explained(result: Result, *, tries: int = 250) -> Finding:
    """Shrink a run that broke a promise, and tell its story."""

    # What came after the promise was broken had no part in it.
    until: float | None = result.until + 5.0
    before = [action for action in result.actions if action.at <= result.until]
    if not _breaks(result, before, until=until):
        before, until = list(result.actions), None
    if until is not None:
        before, until = _pressed(result, before, until=until)
    actions = tuple(shrink(before, breaks=lambda some: _breaks(result, some, until=until), tries=tries))
    story: list[str] = []
    last = run(result.seed, actions, story=story, until=until)
    return Finding(result.seed, last.promise, last.broken, actions, tuple(story))


def _breaks(result: Result, actions: Sequence[Action], *, until: float | None) -> bool:
    return run(result.seed, actions, until=until).promise == result.promise


def _pressed(result: Result, actions: list[Action], *, until: float) -> tuple[list[Action], float]:
    """The last few actions after those that made the tenants, and without the time in which nothing happened."""
    made = [action for action in actions if action.at < 2.0]
    for count in (4, 8, 16, 32, 64):
        some = made + [action for action in actions[-count:] if action.at >= 2.0]
        for tried, ended in (_hurried(some, until=until), (some, until)):
            if _breaks(result, tried, until=ended):
                return tried, ended
    return actions, until


def _hurried(actions: Sequence[Action], *, until: float) -> tuple[list[Action], float]:
    """The same, with pauses of a second at most."""
    hurried: list[Action] = []
    saved = last = 0.0
    for action in actions:
        saved += max(0.0, action.at - last - 1.0)
        last = action.at
        hurried.append(replace(action, at=round(action.at - saved, 4)))
    return hurried, until - saved
