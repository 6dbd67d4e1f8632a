"""What may happen in a run, drawn from its seed: bursts about one realm, so that changes meet what is in flight.

An action names its targets by numbers that are resolved when it happens, and has a seed of its own: what is left after
others were taken out still means something.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.simulation.loop import mixed

HORIZON = 80.0  # seconds
TARGETS = 12  # targets and replicas are numbers below this, taken modulo what there is


@dataclass(frozen=True, slots=True)
class Action:
    """`pick` chooses the row (or realm) that it is about, `replica` the process that is asked, `how` a variant."""

    number: int
    at: float
    kind: str
    pick: int
    replica: int
    how: int
    seed: int

    def __str__(self) -> str:
        return f"{self.at:8.3f} s  {self.kind:<20} target {self.pick}, replica {self.replica}, variant {self.how}"


CALLERS = {"verify fresh": 30, "verify old": 18, "verify withdrawn": 5, "verify foreign": 7, "verify organization": 5}
STATES = {"suspend": 6, "resume": 7, "delete": 2, "restore": 3, "purge": 1, "hand over": 3, "activate": 1}
MOVES = {"move url": 5, "move issuer": 4, "put": 3}
OTHERS = {
    "onboard": 2, "map roles": 4, "disable": 1, "enable": 2, "remove realm": 1, "add realm": 2, "organization": 3,
    "refresh keys": 3,
}  # fmt: skip
KEYS = {"rotate": 4, "withdraw": 3, "not before": 1, "realm disabled": 1}
FAULTS = {
    "realm trouble": 5, "database trouble": 4, "statement fails": 4, "lend pool": 1, "listener drops": 1, "restart": 2,
}  # fmt: skip
FEW = {"lend pool", "restart", "realm disabled", "not before", "purge"}  # once in a burst


@dataclass(frozen=True, slots=True)
class Theme:
    """A burst: what comes first, and how often each kind follows. `elsewhere`: what follows is about another realm."""

    weights: Mapping[str, int]
    first: tuple[str, ...] = ()
    elsewhere: bool = False
    paces: tuple[float, ...] = (0.05, 0.2, 0.2, 0.6, 2.0)  # mean seconds between two actions
    length: tuple[int, int] = (5, 16)


@dataclass(frozen=True, slots=True)
class _Draft:
    """The actions so far."""

    seed: int
    actions: list[Action] = field(default_factory=list)

    def add(self, at: float, kind: str, *, pick: int, replica: int, how: int) -> None:
        number = len(self.actions)
        seed = mixed(self.seed, "action", number)
        self.actions.append(Action(number, round(at, 4), kind, pick, replica, how, seed))


THEMES = (
    Theme(CALLERS | STATES | MOVES | OTHERS | KEYS | FAULTS),
    Theme(CALLERS | STATES | MOVES | OTHERS | KEYS | FAULTS),
    # A change meets verifications that wait for keys.
    Theme(
        CALLERS | STATES | {"map roles": 4, "rotate": 5},
        first=("slow realm", "rotate", "verify fresh"), paces=(0.1, 0.3, 0.8),
    ),
    Theme(
        CALLERS | MOVES | {"restart": 1, "rotate": 5},
        first=("slow realm", "rotate", "verify fresh"), paces=(0.1, 0.3, 0.8),
    ),
    # A change meets a replica whose requests hold every connection.
    Theme(CALLERS | STATES | {"map roles": 5}, first=("lend pool",), paces=(0.3, 0.8)),
    # A realm is dead, and another one needs its keys.
    Theme(
        {"verify fresh": 30, "verify withdrawn": 5, "rotate": 8, "withdraw": 4, "refresh keys": 5, "onboard": 3},
        first=("name server dies",), elsewhere=True, paces=(1.0, 2.0), length=(12, 24),
    ),
    # Changes meet faults of the database.
    Theme(STATES | MOVES | OTHERS | {"add realm": 6, "statement fails": 30, "database trouble": 4, "verify fresh": 10}),
)  # fmt: skip


def generate(seed: int) -> list[Action]:
    """The actions of a run in the order of their times: first the tenants that are there, then bursts."""
    drawn, draft = random.Random(mixed(seed, "actions")), _Draft(seed)
    for number in range(3):
        draft.add(0.1 * number, "onboard", pick=number, replica=0, how=0)
    for number in range(drawn.choice((0, 2, 3))):
        draft.add(0.3 + 0.1 * number, "organization", pick=3, replica=0, how=number)
    at, steps = 2.0, drawn.random() < 0.1
    while at < HORIZON:
        at = _burst(draft, at=at, theme=drawn.choice(THEMES), drawn=drawn, clocks=steps)
        at += drawn.expovariate(1 / drawn.choice((0.3, 2.0, 6.0)))
    return draft.actions


def _burst(draft: _Draft, *, at: float, theme: Theme, drawn: random.Random, clocks: bool) -> float:
    kinds = {kind: weight * drawn.choice((0, 1, 1, 2)) for kind, weight in theme.weights.items()}
    kinds["verify fresh"] = kinds.get("verify fresh") or 15
    if clocks:
        kinds["clock step"] = 2
    pick, replica = drawn.randrange(TARGETS), drawn.randrange(TARGETS)
    pace = drawn.choice(theme.paces)
    for kind in theme.first:
        draft.add(at, kind, pick=pick, replica=replica, how=drawn.randrange(1 << 16))
        at += drawn.uniform(0.0, 0.3)
    if theme.elsewhere:
        pick += 1 + drawn.randrange(2)
    for _ in range(drawn.randint(*theme.length)):
        kind = drawn.choices(list(kinds), list(kinds.values()))[0]
        draft.add(
            at,
            kind,
            pick=pick if drawn.random() < 0.85 else drawn.randrange(TARGETS),
            replica=replica if drawn.random() < 0.5 else drawn.randrange(TARGETS),
            how=drawn.randrange(1 << 16),
        )
        if kind in FEW:
            kinds[kind] = 0
        at += drawn.expovariate(1 / pace)
    return at


def replicas_of(seed: int) -> int:
    """How many replicas a run has: two, sometimes three or four."""
    return (2, 2, 2, 2, 3, 3, 4)[mixed(seed, "replicas") % 7]
