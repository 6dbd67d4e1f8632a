"""Name resolution for realms, without delays by hosts whose name servers do not answer.

`getaddrinfo` cannot be interrupted: where no name server answers, its thread is occupied for tens of seconds after
the timeout. In the event loop's own pool a few such hosts would stop the key fetches of every tenant.
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

from tenants_api.outbound.errors import RealmFault, not_reached
from tenants_api.outbound.targets import Address

LOOK_UP_DEADLINE_SECONDS = 2.0
# How long a host is `slow` after a look-up past the deadline. A look-up of a dead host ends after 5 to 30 s: an
# attacker needs some 1,300 hosts that die in turn to occupy the threads of good ones.
SLOW_HOST_SECONDS = 600.0
MAX_KNOWN_HOSTS = 16_384

HostKind = Literal["answered", "new", "slow"]
# Threads by the result of the host's last look-up: dead hosts can occupy the threads of their own kind only.
MAX_LOOK_UPS: dict[HostKind, int] = {"answered": 64, "new": 48, "slow": 16}


class SystemResolver:
    """Resolves hosts by `getaddrinfo`: one look-up at a time for each host, each in its own thread.

    A thread counts as occupied until it returns, not until its caller's timeout.
    """

    def __init__(
        self,
        *,
        look_up: Callable[..., Any] = socket.getaddrinfo,
        deadline: float = LOOK_UP_DEADLINE_SECONDS,
        places: dict[HostKind, int] | None = None,
    ) -> None:
        self._look_up, self._deadline = look_up, deadline
        self._places = {kind: asyncio.Semaphore(number) for kind, number in (places or MAX_LOOK_UPS).items()}
        self._threads = _DaemonThreads()
        self._running: dict[str, tuple[asyncio.Task[None], asyncio.Future[list[Address]]]] = {}
        self._good_from: dict[str, float] = {}  # by host: the loop time from which it is not `slow`

    async def __call__(self, host: str, port: int) -> list[Address]:
        """All addresses of a host; concurrent callers share one look-up.

        Raises:
            OSError: it has no address.
            RealmFault: `Unreachable`, its name servers do not answer, or all threads for such hosts are occupied.
        """
        _, answer = self._running.get(host) or self._start(host, port)
        return await asyncio.shield(answer)

    @property
    def occupied(self) -> int:
        """How many look-ups wait for a thread or occupy one."""
        return len(self._running)

    def close(self) -> None:
        """Cancel the running look-ups, without a wait for their threads, which nothing can end."""
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
            message = f"the host {host!r} was not resolved: this process is stopping, or can start no more threads"
            answer.set_exception(RealmFault("Unreachable", message=message))
        answer.exception()  # marks it as retrieved: asyncio would log it where no caller waits any more

    async def _run(self, host: str, port: int, *, answer: asyncio.Future[list[Address]]) -> None:
        kind = self._kind_of(host)
        place = self._places[kind]
        try:
            async with asyncio.timeout(self._deadline):
                await place.acquire()
        except TimeoutError:
            answer.set_exception(_no_place(host, kind=kind))
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
                self._put_host(host, good_from=loop.time() + SLOW_HOST_SECONDS)
                answer.set_exception(_no_answer(host, seconds=self._deadline))
                await asyncio.wait({looking})
        finally:
            looking.cancel()
        error = looking.exception()
        if answer.done():
            return
        self._put_host(host, good_from=max(loop.time(), self._good_from.get(host, -math.inf)))
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(_addresses(looking.result()))

    def _kind_of(self, host: str) -> HostKind:
        good_from = self._good_from.get(host)
        if good_from is None:
            return "new"
        return "answered" if good_from <= asyncio.get_running_loop().time() else "slow"

    def _put_host(self, host: str, *, good_from: float) -> None:
        self._good_from.pop(host, None)
        self._good_from[host] = good_from
        if len(self._good_from) > MAX_KNOWN_HOSTS:
            del self._good_from[next(iter(self._good_from))]


class _DaemonThreads(Executor):
    """A daemon thread for each call: unlike those of a thread pool, they do not delay the end of the process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        Thread(target=_call, args=(future, fn, args, kwargs), name="resolve", daemon=True).start()
        return future


def _call(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        result = fn(*args, **kwargs)
    except Exception as error:  # re-raised to the caller, as by every executor
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
    return not_reached("Unreachable", message=message)


def _no_place(host: str, *, kind: HostKind) -> RealmFault:
    others = "known" if kind == "answered" else kind
    message = (
        f"the host {host!r} could not be resolved: the name servers of too many other {others} hosts do not answer; "
        "try again in a minute, and check this machine's DNS"
    )
    return not_reached("Unreachable", message=message)
