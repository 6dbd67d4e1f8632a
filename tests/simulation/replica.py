"""One replica of the API in the simulation: opened, stopped, opened again, and told of changes now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.loop import SimulationLoop, mixed, owner
from tests.simulation.product import ANSWERED, Clocks, Services, Settings, open_replica
from tests.simulation.realms import Spans
from tests.simulation.sqlite import Disk

RETRY = 1.0  # seconds until a process that could not start is started again
LATE = (0.001, 0.02)  # seconds of a notification


class Listener:
    """Notifications as PostgreSQL sends them: most arrive; some late, twice, or never."""

    def __init__(self, *, on_notify: Callable[[int], None], on_connect: Callable[[], None], deaf: bool) -> None:
        self._deaf = deaf  # as behind a pooler, or with another database: changes are polled for alone
        self._on_notify, self._on_connect = on_notify, on_connect
        self._connected = False
        self._dropped = asyncio.Event()

    @property
    def listening(self) -> bool:
        return self._connected

    def drop(self) -> None:
        self._connected = False
        self._dropped.set()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(owner().uniform(0.0, 0.5))
            if self._deaf:
                await asyncio.Event().wait()
            self._connected = True
            self._dropped.clear()
            self._on_connect()
            await self._dropped.wait()

    def announce(self, version: int, *, fate: int, loop: SimulationLoop) -> None:
        """`fate` decides: one of eight is lost, one comes twice, one comes late."""
        if not self._connected or fate % 8 == 0:
            return
        late = 2.0 * ((fate >> 8) % 1000) / 1000 if fate % 8 == 1 else LATE[0] + (fate >> 8) % 1000 / 1000 * LATE[1]
        loop.call_later(late, self._hear, version)
        if fate % 8 == 2:
            loop.call_later(late * 2, self._hear, version)

    def _hear(self, version: int) -> None:
        if self._connected:
            self._on_notify(version)


@dataclass
class Replica:
    """A process. `services` is None while it does not run."""

    name: str
    seed: int
    settings: Settings
    disk: Disk
    loop: SimulationLoop
    epoch: float
    database: Spans
    deaf: bool
    services: Services | None = None
    offset: float = 0.0  # of its wall clock, seconds
    starts: int = 0
    listeners: list[Listener] = field(default_factory=list)
    calls: set[asyncio.Task[Any]] = field(default_factory=set)
    fault: BaseException | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _life: asyncio.Task[Any] | None = None

    def wall(self) -> float:
        return self.epoch + self.loop.now + self.offset

    def listener(self, *, on_notify: Callable[[int], None], on_connect: Callable[[], None]) -> Listener:
        listener = Listener(on_notify=on_notify, on_connect=on_connect, deaf=self.deaf)
        self.listeners = [listener]
        return listener

    def start(self) -> None:
        self.starts += 1
        self._stop.clear()
        seed = mixed(self.seed, self.starts)
        self._life = self.loop.start(self._live(), seed=seed, process=self.name)

    async def _live(self) -> None:
        clocks = Clocks(wall=self.wall, monotonic=self.loop.time)
        while not self._stop.is_set():
            try:
                async with open_replica(self.settings, clocks=clocks, announcements=self) as services:
                    self.services = services
                    await self._stop.wait()
                    await self._hang_up()
            except ANSWERED:
                """The database is away: whoever started it starts it again."""
            except Exception as error:
                if type(error).__name__ != "NotReady":
                    self.fault = error
                    return
            if not self._stop.is_set():
                await asyncio.sleep(RETRY)

    async def _hang_up(self) -> None:
        """Callers of a process that ends get no answer."""
        self.services = None
        for call in self.calls:
            call.cancel()
        if self.calls:
            await asyncio.wait(self.calls)

    async def end(self) -> None:
        """Stop it; what it had in memory is gone."""
        self.services = None
        self._stop.set()
        if self._life is not None:
            await asyncio.wait({self._life})
        self.listeners.clear()
        self.loop.forget_process(self.name)
        self.disk.close(self.name)

    async def answer(self, call: Any) -> None:
        """Run something that a caller asked of this process; it ends with the process."""
        task = asyncio.current_task()
        assert task is not None
        self.calls.add(task)
        try:
            await call
        finally:
            self.calls.discard(task)
