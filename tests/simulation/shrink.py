"""From a run that breaks a promise to the shortest list of its actions that still breaks it (delta debugging)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.simulation.actions import Action

Breaks = Callable[[Sequence[Action]], bool]


def shrink(actions: Sequence[Action], *, breaks: Breaks, tries: int = 400) -> list[Action]:
    """Take parts out, large ones first, as long as what is left still breaks; at most `tries` runs.

    Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002): the complements of `ddmin`.
    """
    left, parts = list(actions), 2
    while len(left) > 1 and tries > 0:
        size = max(1, len(left) // parts)
        for start in range(0, len(left), size):
            rest = left[:start] + left[start + size :]
            tries -= 1
            if rest and breaks(rest):
                left, parts = rest, max(2, parts - 1)
                break
            if tries <= 0:
                break
        else:
            if size == 1:
                break
            parts = min(len(left), parts * 2)
    return left
