"""The simulation keeps its promises: it replays, it shrinks, and it finds nothing in some runs of every kind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.house.tree import ROOT
from tests.simulation.actions import Action, generate
from tests.simulation.campaign import Campaign, search
from tests.simulation.run import run
from tests.simulation.shrink import shrink

STEPS = 200_000
REPLAYED = 11  # a seed
_TRACE = "from tests.simulation.run import run; one = run({seed}); print(one.steps, one.trace)"


def test_no_run_breaks_a_promise() -> None:
    found = search(Campaign(1), more=lambda so_far: so_far.steps < STEPS)
    assert found.accepted > 200, found
    assert found.refused > 200, found
    assert not found.broken, "\n\n".join(map(str, found.findings))


def test_seed_replays_exactly() -> None:
    first, second = run(REPLAYED), run(REPLAYED)
    assert (first.steps, first.trace, first.verdicts) == (second.steps, second.trace, second.verdicts)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_seed_replays_in_another_process_with_another_hash_seed(hash_seed: str) -> None:
    here = run(REPLAYED)
    command = [sys.executable, "-c", _TRACE.format(seed=REPLAYED)]
    there = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert there.stdout.split() == [str(here.steps), str(here.trace)]


def test_actions_follow_from_the_seed() -> None:
    assert generate(5) == generate(5)
    assert generate(5) != generate(6)


def test_shrinking_finds_the_actions_that_matter() -> None:
    actions = generate(5)
    needed = {actions[3].number, actions[-2].number}

    def breaks(some: Sequence[Action]) -> bool:
        return needed <= {action.number for action in some}

    assert {action.number for action in shrink(actions, breaks=breaks)} == needed
