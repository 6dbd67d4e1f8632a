"""One run: a seed and its actions, and what came of them. The same seed and actions give the same trace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.simulation.actions import Action, generate, replicas_of
from tests.simulation.loop import Deadlock, mixed
from tests.simulation.model import Broken
from tests.simulation.perform import Performer
from tests.simulation.product import quiet
from tests.simulation.world import World, new_world

RECOVERS = 50.0  # seconds of peace before the last look
LIMIT = 2_000_000  # steps of a run
OF_NO_PROCESS = ("restart", "lend pool", "database trouble", "realm trouble", "slow realm", "name server dies")


@dataclass(frozen=True, slots=True)
class Result:
    """`broken` is the promise and what was seen; empty when all hold."""

    seed: int
    actions: tuple[Action, ...]
    steps: int
    trace: int
    broken: str
    promise: str
    verdicts: tuple[int, int]  # accepted, refused
    until: float  # virtual seconds after the first action
    seconds: float  # of CPU time


def run(
    seed: int,
    actions: Sequence[Action] | None = None,
    *,
    story: list[str] | None = None,
    until: float | None = None,
) -> Result:
    """Simulate, up to some virtual second if asked. `story` is filled with what happened, in words."""
    actions = tuple(generate(seed) if actions is None else actions)
    began = time.process_time()
    with quiet(), new_world(seed, replicas=replicas_of(seed)) as world:
        world.loop.story = story
        _play(world, actions, until=until)
        broken, model, ended = world.broken, world.model, world.stopped
        return Result(
            seed,
            actions,
            world.loop.steps,
            world.loop.trace,
            str(broken) if broken is not None else "",
            broken.promise if broken is not None else "",
            (model.accepted, model.refused),
            ended - world.began,
            time.process_time() - began,
        )


def _play(world: World, actions: Sequence[Action], *, until: float | None) -> None:
    loop = world.loop
    asyncio.set_event_loop(loop)
    loop.limit = LIMIT
    try:
        with suppress(_Stopped):
            _until_complete(world, _main(world, actions, until=until))
        _until_complete(world, _end(world), stopping=False)
    finally:
        asyncio.set_event_loop(None)


class _Stopped(Exception):
    """A promise did not hold: the run is over."""


def _until_complete(world: World, work: Any, *, stopping: bool = True) -> None:
    loop = world.loop
    task = loop.start(work, seed=mixed(world.seed, "main"))
    try:
        loop.run_until_complete(task)
    except RuntimeError as error:
        if world.broken is None or "stopped before" not in str(error):
            raise
        raise _Stopped from error
    except Deadlock as error:
        if stopping:
            world.fail(Broken("12 (errors)", f"nothing ends: {error}"))
            raise _Stopped from error


async def _main(world: World, actions: Sequence[Action], *, until: float | None) -> None:
    performer, loop = Performer(world), world.loop
    for replica in world.replicas:
        replica.start()
    while any(replica.services is None for replica in world.replicas):
        _look(world)
        await asyncio.sleep(0.01)
    start = world.began = loop.now
    tasks: set[asyncio.Task[Any]] = set()
    for action in actions:
        await asyncio.sleep(max(0.0, start + action.at - loop.now))
        tasks.add(loop.start(_guarded(world, performer, action), seed=action.seed, process=_process(world, action)))
        _look(world)
    if until is not None:
        await asyncio.sleep(max(0.0, start + until - loop.now))
        return
    if tasks:
        await asyncio.wait(tasks, timeout=120.0)
    try:
        await _refetch(world, performer)
    except Broken as error:
        world.fail(error)


async def _refetch(world: World, performer: Performer) -> None:
    """When all trouble is over, everything is as the registry says, everywhere."""
    await asyncio.sleep(RECOVERS)
    for row in world.model.latest.rows:
        realm = next(realm for realm in world.realms if realm.url == row.url)
        organizations = (row.organization,) if row.organization else ()
        token = performer.mint(realm, issuer=row.issuer, organizations=organizations)
        for replica in world.replicas:
            await performer.verify(token, replica)
    for token in world.tokens[-20:]:
        for replica in world.replicas:
            await performer.verify(token, replica)
    _look(world)


async def _guarded(world: World, performer: Performer, action: Action) -> None:
    replica = world.replicas[action.replica % len(world.replicas)]
    work = performer.perform(action)
    await performer.guarded(work if action.kind in OF_NO_PROCESS else replica.answer(work))


def _process(world: World, action: Action) -> str:
    return world.replicas[action.replica % len(world.replicas)].name


def _look(world: World) -> None:
    """Nothing died unseen."""
    for replica in world.replicas:
        if replica.fault is not None:
            error = replica.fault
            world.fail(Broken("12 (errors)", f"{replica.name} did not start: {type(error).__name__}: {error}"))
    if world.loop.faults:
        error = world.loop.faults[0]
        world.fail(Broken("12 (errors)", f"in the background: {type(error).__name__}: {error}"))


async def _end(world: World) -> None:
    world.stopped = world.now
    world.ending, mine = True, asyncio.current_task()
    for replica in world.replicas:
        world.disk.reach(replica.name)
    tasks = [task for task in asyncio.all_tasks() if task is not mine]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=60.0)
