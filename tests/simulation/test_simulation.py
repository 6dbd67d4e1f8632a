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
from tests.simulation.run import Result, run
from tests.simulation.shrink import shrink

STEPS = [20_000, pytest.param(200_000, marks=pytest.mark.search)]
REPLAYED = 11  # a seed
_TRACE = "from tests.simulation.run import run; one = run({seed}); print(one.steps, one.trace)"


@pytest.fixture(scope="module")
def replayed() -> Result:
    return run(REPLAYED)


@pytest.mark.parametrize("steps", STEPS)
def test_no_run_breaks_a_promise(steps: int) -> None:
    found = search(Campaign(1), more=lambda so_far: so_far.steps < steps)
    assert found.accepted > steps / 1000, found
    assert found.refused > steps / 1000, found
    assert not found.broken, "\n\n".join(map(str, found.findings))


def test_seed_replays_exactly(replayed: Result) -> None:
    again = run(REPLAYED)
    assert (again.steps, again.trace, again.verdicts) == (replayed.steps, replayed.trace, replayed.verdicts)


def test_seed_replays_in_another_process_with_another_hash_seed(replayed: Result) -> None:
    command = [sys.executable, "-c", _TRACE.format(seed=REPLAYED)]
    there = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "1"}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert there.stdout.split() == [str(replayed.steps), str(replayed.trace)]


def test_actions_follow_from_the_seed() -> None:
    assert generate(5) == generate(5)
    assert generate(5) != generate(6)


def test_shrinking_finds_the_actions_that_matter() -> None:
    actions = generate(5)
    needed = {actions[3].number, actions[-2].number}

    def breaks(some: Sequence[Action]) -> bool:
        return needed <= {action.number for action in some}

    assert {action.number for action in shrink(actions, breaks=breaks)} == needed
