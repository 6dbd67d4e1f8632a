"""What a connection may cost before the application sees a request. Needs no database."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from tenants_api.serving.http_limits import LARGEST_HEAD, BoundedHttp


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class QuickHttp(BoundedHttp):
    """The same with a deadline that a test can wait for."""

    deadline = 0.2


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(nothing, http=QuickHttp, ws="none", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield listening.getsockname()
    server.should_exit = True
    thread.join(5)
    listening.close()


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(3)
    try:
        return connection.recv(100) == b""
    except ConnectionError:
        return True


def test_ordinary_requests_on_one_connection_are_answered(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        for _ in range(3):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a" * 8192 + b"\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_endless_headers_are_cut_off(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises(ConnectionError):  # noqa: PT012 - which of the sends fails is up to the system
            for number in range(LARGEST_HEAD):
                connection.sendall(b"X-%d: " % number + b"a" * 1000 + b"\r\n")


def test_head_that_never_ends_is_given_up(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert is_closed(connection)


def test_slow_head_that_ends_in_time_is_answered_and_its_connection_lives_on(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost:")
        time.sleep(0.05)
        connection.sendall(b" x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        time.sleep(0.3)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
