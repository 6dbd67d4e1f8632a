"""The loop of the simulation: virtual time, an order that the seed decides, executors that are busy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.simulation.loop import Deadlock, Owner, SimulationLoop, mixed


class _Machine:
    """Each call in a thread takes its first argument's seconds."""

    def duration(self, function: Callable[..., Any], args: tuple[Any, ...], *, of: Owner) -> float:
        return float(args[0])

    def work(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        return function(*args)

    async def connect(self, factory: Callable[[], asyncio.Protocol], host: str, port: int) -> Any:
        raise ConnectionRefusedError


def run(seed: int, work: Coroutine[Any, Any, Any]) -> tuple[Any, SimulationLoop]:
    loop = SimulationLoop(seed, machine=_Machine())
    try:
        return loop.run_until_complete(loop.start(work, seed=mixed(seed, "main"))), loop
    finally:
        loop.close()


async def interleaved() -> list[str]:
    seen: list[str] = []

    async def steps(name: str) -> None:
        for number in range(4):
            await asyncio.sleep(0)
            seen.append(f"{name}{number}")

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(steps(name))
    return seen


def test_same_seed_gives_the_same_order_and_trace() -> None:
    (first, one), (second, other) = run(7, interleaved()), run(7, interleaved())
    assert (first, one.trace, one.steps) == (second, other.trace, other.steps)


def test_seeds_give_different_orders() -> None:
    assert len({tuple(run(seed, interleaved())[0]) for seed in range(8)}) > 4


def test_order_within_a_task_is_kept() -> None:
    for seed in range(8):
        seen = run(seed, interleaved())[0]
        for name in "abc":
            assert [entry for entry in seen if entry[0] == name] == [f"{name}{number}" for number in range(4)]


def test_time_jumps_to_the_next_timer() -> None:
    async def work() -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time() - began

    assert 3600 <= run(1, work())[0] < 3600.1


def test_timeout_ends_a_wait_in_virtual_time() -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        except TimeoutError:
            return "over"
        return "never"

    assert run(1, work())[0] == "over"


def test_worker_of_a_call_that_nobody_waits_for_stays_busy() -> None:
    """Six workers of the default executor: what was given up after a second goes on for its thirty."""

    async def work() -> float:
        loop = asyncio.get_running_loop()
        for _ in range(6):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await loop.run_in_executor(None, float, 30.0)
        began = loop.time()
        await loop.run_in_executor(None, float, 1.0)
        return loop.time() - began

    assert run(1, work())[0] > 20


def test_wait_for_nothing_is_a_deadlock() -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(1, work())


def test_what_another_task_draws_does_not_change_ones_own() -> None:
    """An action that is taken out leaves the others as they were."""

    async def work(count: int) -> list[int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        drawn: list[int] = []

        async def draw(number: int) -> None:
            owner = loop._owner_of(asyncio.Handle(print, (), loop))
            drawn.append(owner.draw())

        tasks = [loop.start(draw(number), seed=mixed(1, number)) for number in range(count)]
        await asyncio.wait(tasks)
        return sorted(drawn)

    assert set(run(1, work(3))[0]) < set(run(1, work(5))[0])
