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
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class QuickHttp(BoundedHttp):
    """The same with deadlines that a test can wait for."""

    deadline = body_deadline = 0.2


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        nothing, http=QuickHttp, ws="websockets-sansio", lifespan="off", log_config=None, access_log=False
    )
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
    except TimeoutError:
        return False


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


def test_later_head_that_never_ends_is_given_up_too(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
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


def test_connection_that_says_nothing_is_given_up(address: tuple[str, int]) -> None:
    """Else a stranger could hold every file descriptor of the process and never send a byte."""
    with socket.create_connection(address) as connection:
        assert is_closed(connection)


def test_body_that_never_ends_is_given_up(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        assert is_ended(connection)


def test_body_that_drips_is_given_up_and_one_in_two_pieces_is_not(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
        time.sleep(0.05)
        connection.sendall(b"2")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    with socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert drips(connection, b"1\r\nx\r\n") < 60


def test_blank_lines_between_requests_keep_no_connection_open(address: tuple[str, int]) -> None:
    """A parser passes over them (RFC 9112 section 2.2), and each one would put the idle connection's end off."""
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        assert drips(connection, b"\r\n") < 60


def is_ended(connection: socket.socket) -> bool:
    """Closed, whether or not something was answered before."""
    connection.settimeout(3)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def drips(connection: socket.socket, piece: bytes) -> int:
    """How many pieces went out, one every 20 ms, before the other side had enough; 60 when it never had."""
    for number in range(60):
        try:
            connection.sendall(piece)
        except ConnectionError:
            return number
        time.sleep(0.02)
    return 60


@pytest.mark.parametrize("before", [0, 1], ids=["at once", "after a request"])
def test_websocket_is_held_to_no_deadline_of_requests(address: tuple[str, int], before: int) -> None:
    with socket.create_connection(address) as connection:
        for _ in range(before):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 101")
        connection.settimeout(4 * QuickHttp.deadline)
        with pytest.raises(TimeoutError):  # nothing comes, not even the end
            connection.recv(4096)
