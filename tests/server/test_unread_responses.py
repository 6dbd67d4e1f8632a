"""How long a response waits for its client. The clock and the transport are the test's own: nothing is waited for."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from tenants_api.server.http_limits import MIN_READ_BYTES, BoundedHttp

MUCH = 10 * MIN_READ_BYTES


class Handle:
    def __init__(self, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.callback, self.args = callback, args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """A loop's timers, each kept with its delay until the test lets it end."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Handle]] = []

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> Handle:
        handle = Handle(callback, args)
        self.timers.append((delay, handle))
        return handle

    def pass_write_deadline(self) -> None:
        due = [handle for delay, handle in self.timers if delay == BoundedHttp.write_deadline]
        self.timers.clear()
        for handle in due:
            if not handle.cancelled:
                handle.callback(*handle.args)


class Client:
    """The transport: `waiting` bytes are written and not read. A `socket` has a buffer of its own."""

    def __init__(self) -> None:
        self.waiting = 0
        self.socket: socket.socket | None = None
        self.closing = self.given_up = False

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.given_up = True

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self.socket if name == "socket" else None

    def get_protocol(self) -> None:
        return None


class Connection:
    def __init__(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise AssertionError("no request is sent here")

        self.clock, self.client = Clock(), Client()
        loop: Any = self.clock
        transport: Any = self.client
        config = uvicorn.Config(app, log_config=None, ws="none")
        self.protocol = BoundedHttp(config, ServerState(), {}, _loop=loop)
        self.protocol.connection_made(transport)

    def is_served_after_deadline(self, *, waiting: int) -> bool:
        """Whether the client is not given up with so many bytes left at the next deadline."""
        self.client.waiting = waiting
        self.clock.pass_write_deadline()
        return not self.client.given_up


@pytest.fixture
def connection() -> Connection:
    return Connection()


def test_d11_client_that_reads_nothing_is_given_up(connection: Connection) -> None:
    connection.client.waiting = MUCH
    connection.protocol.pause_writing()
    assert not connection.is_served_after_deadline(waiting=MUCH)


def test_d11_client_that_drips_is_given_up(connection: Connection) -> None:
    connection.client.waiting = MUCH
    connection.protocol.pause_writing()
    assert not connection.is_served_after_deadline(waiting=MUCH - 1)


def test_client_that_reads_slowly_gets_the_whole_response(connection: Connection) -> None:
    connection.client.waiting = MUCH
    connection.protocol.pause_writing()
    for left in range(MUCH - MIN_READ_BYTES, -1, -MIN_READ_BYTES):
        assert connection.is_served_after_deadline(waiting=left)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what of a socket's buffer was not read")
def test_client_that_empties_the_systems_buffer_is_read(connection: Connection) -> None:
    """Linux takes nothing more from this process before a third of its buffer, megabytes, is free again."""
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        connection.client.socket = here
        connection.client.waiting = MUCH
        _fill(here)
        connection.protocol.pause_writing()
        for _ in range(3):
            assert len(there.recv(MIN_READ_BYTES, socket.MSG_WAITALL)) == MIN_READ_BYTES
            assert connection.is_served_after_deadline(waiting=MUCH)
        assert not connection.is_served_after_deadline(waiting=MUCH), "a buffer that stays as it is was not read"


def _fill(full: socket.socket) -> None:
    while True:
        try:
            full.send(bytes(MIN_READ_BYTES))
        except BlockingIOError:
            return


def test_client_that_reads_again_has_its_time_anew(connection: Connection) -> None:
    connection.client.waiting = MUCH
    connection.protocol.pause_writing()
    connection.protocol.resume_writing()
    assert connection.is_served_after_deadline(waiting=MUCH)


def test_d11_closed_connection_waits_no_longer_for_a_client_that_does_not_read(connection: Connection) -> None:
    """`close` of a transport sends what is left first, however long that takes."""
    connection.client.waiting = 1
    connection.protocol.timeout_keep_alive_handler()
    assert connection.client.closing
    assert not connection.is_served_after_deadline(waiting=1)


def test_d11_client_that_reads_a_part_of_the_last_response_is_given_up_too(connection: Connection) -> None:
    connection.client.waiting = MUCH
    connection.protocol.pause_writing()
    connection.protocol.timeout_keep_alive_handler()
    connection.client.waiting = 1
    connection.protocol.resume_writing()
    assert not connection.is_served_after_deadline(waiting=1)


def test_end_of_a_connection_leaves_no_timer(connection: Connection) -> None:
    connection.client.waiting = MUCH
    connection.protocol.pause_writing()
    connection.protocol.connection_lost(None)
    assert all(handle.cancelled for _, handle in connection.clock.timers)
