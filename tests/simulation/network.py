"""The network of the simulation: name servers, connections and the HTTP of realms, without a socket.

A server is asked when a request has arrived as a whole; its answer is made then, and is under way for as long as the
server takes. Knows no realm.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from tests.simulation.loop import Owner, getaddrinfo, owner

CONNECT = (0.001, 0.01)  # seconds
QUICK = (0.0002, 0.002)  # seconds of a call in a thread that waits for nobody
DEAD_LOOK_UP = 30.0  # seconds until the system's resolver gives a dead name server up


@dataclass(slots=True)
class Reply:
    """What a server answers, and the seconds until it does; `status` 0 breaks the connection off."""

    status: int
    body: bytes
    delay: float
    content_type: str = "application/json"


class Server(Protocol):
    """A host: what its name server does, whether it takes connections, and what it answers."""

    @property
    def address(self) -> str: ...

    names: str  # `ok`, `dead` or `unknown`
    connections: str  # `ok`, `refused` or `hanging`

    def answer(self, method: str, path: str, *, of: Owner) -> Reply | None:
        """None: never."""


class Network:
    """Implements `Machine` of the loop: threads look names up or do short work; connections lead to servers."""

    def __init__(self) -> None:
        self.hosts: dict[str, Server] = {}
        self.shared: dict[Callable[..., Any], dict[tuple[Any, ...], Any]] = {}

    def duration(self, function: Callable[..., Any], args: tuple[Any, ...], *, of: Owner) -> float:
        function, args = _unwrapped(function, args)
        if function in (getaddrinfo, socket.getaddrinfo):
            host = self.hosts.get(str(args[0]))
            return DEAD_LOOK_UP if host is not None and host.names == "dead" else of.uniform(*CONNECT)
        return of.uniform(*QUICK)

    def work(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        inner, inner_args = _unwrapped(function, args)
        if inner in (getaddrinfo, socket.getaddrinfo):
            host = self.hosts.get(str(inner_args[0]))
            if host is None or host.names != "ok":
                raise socket.gaierror(socket.EAI_AGAIN, "simulated: no answer from the name server")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host.address, inner_args[1]))]
        if inner in self.shared:
            known = self.shared[inner]
            if inner_args not in known:
                known[inner_args] = inner(*inner_args)
            return known[inner_args]
        return function(*args)

    async def connect(self, factory: Callable[[], asyncio.Protocol], host: str, port: int) -> Any:
        mine = owner()
        await asyncio.sleep(mine.uniform(*CONNECT))
        server = next((one for one in self.hosts.values() if one.address == host), None)
        if server is None or server.connections == "refused":
            raise ConnectionRefusedError("simulated: nobody listens there")
        if server.connections == "hanging":
            await asyncio.get_running_loop().create_future()
        protocol = factory()
        transport = Transport(protocol, server=server, of=mine.child())
        protocol.connection_made(transport)
        return transport, protocol


def _unwrapped(function: Any, args: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The call inside `asyncio.to_thread`'s and other partial calls."""
    while isinstance(function, partial):
        function, args = function.func, (*function.args, *args)
        if getattr(function, "__name__", "") == "run" and args and callable(args[0]):
            function, args = args[0], args[1:]
    return function, args


class Transport(asyncio.Transport):
    """A connection to a server: one request, one answer, and it is closed."""

    def __init__(self, protocol: asyncio.Protocol, *, server: Server, of: Owner) -> None:
        super().__init__()
        self._protocol, self._server, self._owner = protocol, server, of
        self._loop = asyncio.get_running_loop()
        self._received, self._closing = b"", False

    def write(self, data: Any) -> None:
        self._received += bytes(data)
        head, ended, body = self._received.partition(b"\r\n\r\n")
        if not ended or len(body) < _length(head):
            return
        self._received = b""
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        reply = self._server.answer(method, target, of=self._owner)
        if reply is not None:
            self._loop.call_later(reply.delay, self._answer, reply)

    def _answer(self, reply: Reply) -> None:
        if self._closing:
            return
        if reply.status:
            head = (
                f"HTTP/1.1 {reply.status} Simulated\r\nContent-Type: {reply.content_type}\r\n"
                f"Content-Length: {len(reply.body)}\r\nConnection: close\r\n\r\n"
            )
            self._protocol.data_received(head.encode() + reply.body)
        self._protocol.eof_received()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self._closing

    def write_eof(self) -> None:
        """Nothing more comes: the server has what it needs."""

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        """One answer comes at most: there is nothing to hold back."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """What is written is taken at once."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _Socket(self._server.address) if name == "socket" else default


@dataclass(frozen=True, slots=True)
class _Socket:
    """What a client asks of a socket."""

    address: str
    family: socket.AddressFamily = socket.AF_INET

    def getpeername(self) -> tuple[str, int]:
        return self.address, 0

    getsockname = getpeername

    def setsockopt(self, *option: Any) -> None:
        """No option means anything here."""


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
