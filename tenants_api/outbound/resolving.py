"""Name resolution for realms: a host whose name servers are dead delays no look-up of another host.

`getaddrinfo` cannot be interrupted: where no name server answers, its thread is occupied for tens of seconds after
the caller gave up. In the event loop's own pool a few such hosts would stop the key fetches of every tenant.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from concurrent.futures import Executor, Future
from ipaddress import ip_address
from threading import Thread
from typing import Any, Literal

from tenants_api.outbound.errors import RealmFault
from tenants_api.outbound.targets import Address

LOOK_UP_DEADLINE_SECONDS = 2.0
# For this long a host that kept a thread past the deadline shares the few places of such hosts. A look-up of a dead
# host ends after 5 to 30 s: an attacker needs some 1,300 hosts that die in turn to hold the places of good ones.
SLOW_HOST_SECONDS = 600.0
MAX_REMEMBERED_HOSTS = 16_384

Standing = Literal["answered", "new", "slow"]
# Threads at once, by what the last look-up of the host was like: dead hosts can fill the places of their own kind only.
PLACES: dict[Standing, int] = {"answered": 64, "new": 48, "slow": 16}


class SystemResolver:
    """All addresses of a host, as the system resolves it: one look-up at a time for each host, each in its own thread.

    A thread's place is occupied until the thread returns, not until its caller gave up.
    """

    def __init__(
        self,
        *,
        look_up: Callable[..., Any] = socket.getaddrinfo,
        deadline: float = LOOK_UP_DEADLINE_SECONDS,
        places: dict[Standing, int] | None = None,
    ) -> None:
        self._look_up, self._deadline = look_up, deadline
        self._places = {kind: asyncio.Semaphore(number) for kind, number in (places or PLACES).items()}
        self._threads = _DaemonThreads()
        self._running: dict[str, tuple[asyncio.Task[None], asyncio.Future[list[Address]]]] = {}
        self._good_from: dict[str, float] = {}  # by host: when it is trusted to answer in time (loop time)

    async def __call__(self, host: str, port: int) -> list[Address]:
        """Resolve a host; callers that ask for one whose look-up is running share its answer.

        Raises:
            OSError: it has no address.
            RealmFault: `Unreachable`, its name servers do not answer, or all places for such hosts are occupied.
        """
        _, answer = self._running.get(host) or self._start(host, port)
        return await asyncio.shield(answer)

    @property
    def occupied(self) -> int:
        """Look-ups that wait for a place or whose thread has not returned."""
        return len(self._running)

    def close(self) -> None:
        """Forget the look-ups that are running. Their threads are not waited for: nothing can end them."""
        for task, _ in list(self._running.values()):
            task.cancel()

    def _start(self, host: str, port: int) -> tuple[asyncio.Task[None], asyncio.Future[list[Address]]]:
        answer: asyncio.Future[list[Address]] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._run(host, port, answer=answer))
        self._running[host] = task, answer
        task.add_done_callback(lambda _: self._ended(host, answer))
        return task, answer

    def _ended(self, host: str, answer: asyncio.Future[list[Address]]) -> None:
        del self._running[host]
        if not answer.done():
            message = f"the host {host!r} was not looked up: this process is ending, or can start no more threads"
            answer.set_exception(RealmFault("Unreachable", message=message))
        answer.exception()  # read, so that asyncio reports none that its callers no longer wait for

    async def _run(self, host: str, port: int, *, answer: asyncio.Future[list[Address]]) -> None:
        standing = self._standing(host)
        place = self._places[standing]
        try:
            async with asyncio.timeout(self._deadline):
                await place.acquire()
        except TimeoutError:
            answer.set_exception(_no_place(host, standing=standing))
            return
        try:
            await self._resolve(host, port, answer=answer)
        finally:
            place.release()

    async def _resolve(self, host: str, port: int, *, answer: asyncio.Future[list[Address]]) -> None:
        loop = asyncio.get_running_loop()
        looking = loop.run_in_executor(self._threads, self._look_up, host, port, 0, socket.SOCK_STREAM)
        try:
            await asyncio.wait({looking}, timeout=self._deadline)
            if not looking.done():
                self._remember(host, good_from=loop.time() + SLOW_HOST_SECONDS)
                answer.set_exception(_no_answer(host, seconds=self._deadline))
                await asyncio.wait({looking})
        finally:
            looking.cancel()
        error = looking.exception()
        if answer.done():
            return
        self._remember(host, good_from=max(loop.time(), self._good_from.get(host, -math.inf)))
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(_addresses(looking.result()))

    def _standing(self, host: str) -> Standing:
        good_from = self._good_from.get(host)
        if good_from is None:
            return "new"
        return "answered" if good_from <= asyncio.get_running_loop().time() else "slow"

    def _remember(self, host: str, *, good_from: float) -> None:
        self._good_from.pop(host, None)
        self._good_from[host] = good_from
        if len(self._good_from) > MAX_REMEMBERED_HOSTS:
            del self._good_from[next(iter(self._good_from))]


class _DaemonThreads(Executor):
    """A thread for each call. A process that ends does not wait for them, as it does for those of a thread pool."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        Thread(target=_call, args=(future, fn, args, kwargs), name="resolve", daemon=True).start()
        return future


def _call(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        result = fn(*args, **kwargs)
    except Exception as error:  # handed to the caller, whatever it is, as every executor does
        future.set_exception(error)
    else:
        future.set_result(result)


def _addresses(found: list[tuple[Any, ...]]) -> list[Address]:
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


def _no_answer(host: str, *, seconds: float) -> RealmFault:
    message = (
        f"the host {host!r} was not resolved within {seconds:g} s; check that the name servers of its domain answer, "
        "and this machine's DNS"
    )
    return RealmFault("Unreachable", message=message)


def _no_place(host: str, *, standing: Standing) -> RealmFault:
    kind = {"answered": "known", "new": "new", "slow": "slow"}[standing]
    message = (
        f"the host {host!r} could not be looked up: the name servers of too many other {kind} hosts do not answer; "
        "try again in a minute, and check this machine's DNS"
    )
    return RealmFault("Unreachable", message=message)
