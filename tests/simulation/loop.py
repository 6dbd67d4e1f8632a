"""An asyncio event loop with virtual time and a seeded order: no threads, no sockets, no clock of the machine.

Callbacks of one task keep their order; which task runs next is drawn from the seed. Time jumps to the next timer when
no callback is ready. What is drawn for a task depends on the task's own seed alone, so an action that is left out
changes what others draw as little as possible. Knows nothing of the product.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol

MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
START = 1000.0  # virtual seconds at the start of a loop
BUSY, BUSY_SECONDS = 500, 0.01  # steps at one moment that take time, and how much
MAX_JITTER = 0.005  # seconds that a timer may be late


def mix(value: int) -> int:
    """A 64-bit hash of an integer (splitmix64): the same in every process."""
    value = (value + _GOLDEN) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def mixed(seed: int, *parts: int | str) -> int:
    """A seed that follows from another one and from a name."""
    for part in parts:
        number = int.from_bytes(part.encode(), "big") if isinstance(part, str) else part
        while True:
            seed = mix(seed ^ (number & MASK))
            number >>= 64
            if number <= 0:
                break
    return seed


class Owner:
    """Whose a callback is: a task, with a seed of its own and its callbacks in their order.

    `process` is the replica that the task belongs to: each has executors of its own.
    """

    __slots__ = ("_children", "_draws", "pending", "process", "seed")

    def __init__(self, seed: int, *, process: str = "") -> None:
        self.seed, self.process = seed, process
        self.pending: deque[asyncio.Handle] = deque()
        self._draws = self._children = 0

    def draw(self) -> int:
        """The next random 64-bit number of this owner."""
        self._draws += 1
        return mix(self.seed + self._draws)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * (self.draw() / MASK)

    def child(self) -> Owner:
        """The owner of a task that this one starts."""
        self._children += 1
        return Owner(mix(self.seed ^ (self._children * _GOLDEN & MASK)), process=self.process)


OWNER: ContextVar[Owner] = ContextVar("owner")


def owner() -> Owner:
    """Whose callback runs now."""
    return OWNER.get()


class Machine(Protocol):
    """What a loop asks about work that a real loop hands to threads and sockets."""

    def duration(self, function: Callable[..., Any], args: tuple[Any, ...], *, of: Owner) -> float:
        """Seconds that a worker is busy with this call."""

    def work(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """What the call gives, or raises."""

    async def connect(self, factory: Callable[[], asyncio.Protocol], host: str, port: int) -> Any:
        """As `loop.create_connection`."""


class Deadlock(Exception):
    """Everything waits for something that never comes, or goes on for ever."""


class SimulationLoop(asyncio.BaseEventLoop):
    """`steps` counts callbacks; `trace` is a hash of their order, their times and what was `note`d."""

    def __init__(self, seed: int, *, machine: Machine, default_workers: int = 6) -> None:
        super().__init__()
        self.steps, self.trace, self.now = 0, mix(seed), START
        self.root = Owner(mixed(seed, "root"))
        self._busy = 0  # steps since time passed
        self.faults: list[BaseException] = []
        self.story: list[str] | None = None  # what was noted, in words, where somebody wants to read it
        self.limit: int | None = None  # steps
        self._machine, self._default_workers = machine, default_workers
        self._runnable: list[tuple[int, int, Owner]] = []
        self._timers: list[tuple[float, int, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._pools: dict[tuple[str, int], _Pool] = {}
        self.set_task_factory(_new_task)  # type: ignore[arg-type]
        self.set_exception_handler(_keep_fault)

    def time(self) -> float:
        return self.now

    def note(self, value: int | str) -> None:
        """Make something that happened a part of the trace."""
        self.trace = mixed(self.trace, value)
        if self.story is not None:
            self.story.append(f"{self.now - START:8.3f} s  {value}")

    def start(self, work: Coroutine[Any, Any, Any], *, seed: int, process: str = "") -> asyncio.Task[Any]:
        """A task with a seed of its own: it depends on no other task's draws."""
        context = copy_context()
        context.run(OWNER.set, Owner(seed, process=process))
        return asyncio.Task(work, loop=self, context=context)

    # Here every callback is one with any arguments: typeshed ties the two together.
    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._enqueue(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        drawn = self._owner_of(handle).draw()
        if drawn % 16 == 0:
            when += (drawn >> 8) % 4096 / 4096 * MAX_JITTER
        heapq.heappush(self._timers, (when, drawn, next(self._numbers), handle))
        return handle

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """A worker is busy for the whole duration of the call, also when nobody waits for it any more."""
        mine = owner()
        key = (mine.process, id(executor) if executor is not None else 0)
        pool = self._pools.get(key)
        if pool is None:
            # One that names no bound starts a thread for each call.
            workers = self._default_workers if executor is None else getattr(executor, "_max_workers", 10_000)
            pool = self._pools[key] = _Pool(self, workers=workers, machine=self._machine, executor=executor)
        return pool.submit(func, args, of=mine.child())

    async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> Any:
        """As `BaseEventLoop`: through the default executor."""
        return await self.run_in_executor(None, getaddrinfo, host, port)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **how: Any) -> Any:
        return await self._machine.connect(protocol_factory, host, port)

    def forget_process(self, process: str) -> None:
        """The process ended: its threads are gone."""
        self._pools = {key: pool for key, pool in self._pools.items() if key[0] != process}

    def _owner_of(self, handle: asyncio.Handle) -> Owner:
        return handle._context.get(OWNER, self.root)  # type: ignore[attr-defined,no-any-return]

    def _enqueue(self, handle: asyncio.Handle) -> None:
        mine = self._owner_of(handle)
        mine.pending.append(handle)
        if len(mine.pending) == 1:
            heapq.heappush(self._runnable, (mine.draw(), next(self._numbers), mine))

    def _run_once(self) -> None:
        runnable = self._runnable
        while not self._stopping:  # type: ignore[attr-defined]
            if not runnable:
                self._advance()
                continue
            _, _, mine = heapq.heappop(runnable)
            handle = mine.pending.popleft()
            if mine.pending:
                heapq.heappush(runnable, (mine.draw(), next(self._numbers), mine))
            if handle._cancelled:
                continue
            self.steps += 1
            if self.steps == self.limit:
                raise Deadlock("the steps never end")
            self._busy += 1
            if self._busy > BUSY:
                self._pass_time()
            self.trace = (self.trace * 31 + mine.seed + int(self.now * 1e6)) & MASK
            handle._run()

    def _advance(self) -> None:
        """To the next timer, and every timer that is due then."""
        timers = self._timers
        while timers and timers[0][3]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Deadlock("no callback is ready, and no timer is set")
        self._jump(max(self.now, timers[0][0]))

    def _pass_time(self) -> None:
        """So many steps take a while: whatever polls without a pause must not stop the time."""
        self._jump(self.now + BUSY_SECONDS)

    def _jump(self, when: float) -> None:
        self.now, self._busy = when, 0
        timers = self._timers
        while timers and timers[0][0] <= self.now:
            handle = heapq.heappop(timers)[3]
            if not handle._cancelled:
                self._enqueue(handle)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def _process_events(self, event_list: Any) -> None:
        """There are no events from outside."""

    def _write_to_self(self) -> None:
        """There are no other threads to be woken by."""


def getaddrinfo(host: str, port: int) -> Any:
    """Stands for `socket.getaddrinfo` of a loop's own look-up; the machine answers in its place."""
    raise NotImplementedError


class _Pool:
    """An executor's workers, each busy with one call at a time."""

    def __init__(self, loop: SimulationLoop, *, workers: int, machine: Machine, executor: Any) -> None:
        self._loop, self._free, self._machine = loop, workers, machine
        self._executor = executor  # its id names this pool: it must not be given to another one
        self._waiting: deque[tuple[Callable[..., Any], tuple[Any, ...], Owner, asyncio.Future[Any]]] = deque()

    def submit(self, function: Callable[..., Any], args: tuple[Any, ...], *, of: Owner) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((function, args, of, future))
        self._next()
        return future

    def _next(self) -> None:
        while self._free and self._waiting:
            function, args, of, future = self._waiting.popleft()
            if future.cancelled():  # as a concurrent future that was cancelled before it ran
                continue
            self._free -= 1
            context = copy_context()
            context.run(OWNER.set, of)
            seconds = self._machine.duration(function, args, of=of)
            self._loop.call_later(seconds, self._end, function, args, future, context=context)

    def _end(self, function: Callable[..., Any], args: tuple[Any, ...], future: asyncio.Future[Any]) -> None:
        self._free += 1
        try:
            result = self._machine.work(function, args)
        except Exception as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)
        self._next()


def _new_task(loop: SimulationLoop, work: Coroutine[Any, Any, Any], context: Context | None = None) -> Any:
    context = copy_context() if context is None else context
    context.run(OWNER.set, context.get(OWNER, loop.root).child())
    return asyncio.Task(work, loop=loop, context=context)


def _keep_fault(loop: Any, context: dict[str, Any]) -> None:
    error = context.get("exception")
    loop.faults.append(error if error is not None else RuntimeError(context["message"]))


def numbers(seed: int) -> Iterator[int]:
    """Random 64-bit numbers without end."""
    return (mix(seed + count) for count in itertools.count())
