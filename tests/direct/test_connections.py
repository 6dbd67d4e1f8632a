"""Connections are lent to one transaction at a time, and made anew after whatever went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tenants_api.database.errors import StorageBusy, StorageError
from tenants_api.direct.connections import Connections

pytestmark = pytest.mark.anyio


@dataclass(eq=False)
class Fake:
    """A connection that notes what is asked of it, and fails at the statements that it is told."""

    is_postgresql: bool = True
    fails: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    async def begin(self, *, writes: bool) -> None:
        await self.run("begin immediate" if writes else "begin")

    async def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.said.append(statement)
        await asyncio.sleep(0)
        if statement in self.fails:
            raise StorageError(OSError("gone"))
        return []

    async def commit(self) -> None:
        await self.run("commit")

    async def aclose(self) -> None:
        self.said.append("close")


class Server:
    """Makes fakes."""

    def __init__(self, *, is_postgresql: bool = True) -> None:
        self.made: list[Fake] = []
        self.is_postgresql = is_postgresql

    async def connect(self) -> Fake:
        self.made.append(Fake(self.is_postgresql))
        return self.made[-1]


async def one(connections: Connections, *, writes: bool = False) -> None:
    async with connections.transaction(writes=writes) as connection:
        await connection.run("select 1")


async def test_connection_is_used_again_and_closed_at_the_end() -> None:
    server = Server()
    connections = Connections(server.connect)
    await one(connections)
    await one(connections, writes=True)
    await connections.aclose()
    (made,) = server.made
    assert made.said == ["begin", "select 1", "commit", "begin immediate", "select 1", "commit", "close"]


@pytest.mark.parametrize("writes", [False, True])
async def test_readers_wait_for_readers_and_writers_for_writers_and_neither_for_the_other(writes: bool) -> None:
    server = Server()
    connections = Connections(server.connect, turn=0.05)
    async with connections.transaction(writes=writes) as first:
        async with connections.transaction(writes=not writes) as second:
            assert first is not second
        with pytest.raises(StorageBusy):
            await one(connections, writes=writes)
    await one(connections, writes=writes)
    assert len(server.made) == 2
    await connections.aclose()


async def test_connection_that_is_still_lent_at_the_end_is_closed_too() -> None:
    server = Server()
    connections = Connections(server.connect)
    async with connections.transaction(writes=False):
        await connections.aclose()
    await asyncio.sleep(0)
    assert server.made[0].said.count("close") >= 1
    assert server.made[0].said[-1] == "close"


@pytest.mark.parametrize("failing", ["select 1", "commit"])
async def test_what_failed_is_closed_with_all_that_are_idle(failing: str) -> None:
    server = Server()
    connections = Connections(server.connect)
    async with connections.transaction(writes=True):
        await one(connections)
    server.made[0].fails.add(failing)
    server.made[1].fails.add(failing)
    with pytest.raises(StorageError):
        await one(connections)
    await one(connections)
    await connections.aclose()
    assert len(server.made) == 3
    assert all(made.said[-1] == "close" for made in server.made)


async def test_server_connection_that_died_while_it_was_idle_costs_a_new_one_and_no_error() -> None:
    server = Server()
    connections = Connections(server.connect)
    async with connections.transaction(writes=True):
        await one(connections)
    for made in server.made:
        made.fails.add("begin")
    await one(connections)
    await connections.aclose()
    assert len(server.made) == 3
    assert sum("".join(made.said).count("begin") for made in server.made[:2]) == 2 + 1  # only one of them was tried


async def test_locked_file_is_told_and_not_tried_again_at_once() -> None:
    server = Server(is_postgresql=False)
    connections = Connections(server.connect)
    await one(connections)
    server.made[0].fails.add("begin immediate")
    with pytest.raises(StorageError):
        await one(connections, writes=True)
    assert len(server.made) == 1
    await one(connections, writes=True)
    await connections.aclose()


async def test_cancelled_transaction_leaves_no_connection_behind_and_gives_its_turn_back() -> None:
    server = Server()
    connections = Connections(server.connect, turn=0.05)
    started = asyncio.Event()

    async def hang() -> None:
        async with connections.transaction(writes=True):
            started.set()
            await asyncio.sleep(60)

    hanging = asyncio.create_task(hang())
    await started.wait()
    hanging.cancel()
    await asyncio.wait({hanging})
    await one(connections, writes=True)
    await connections.aclose()
    assert [made.said[-1] for made in server.made] == ["close", "close"]
    assert "commit" not in server.made[0].said


async def test_mistake_of_ours_in_a_transaction_commits_nothing() -> None:
    server = Server()
    connections = Connections(server.connect)
    with pytest.raises(KeyError):
        async with connections.transaction(writes=True):
            raise KeyError
    await connections.aclose()
    assert server.made[0].said == ["begin immediate", "close"]
