"""What a connection may cost before the application sees a request. Needs no database."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from tenants_api.server.http_limits import MAX_HEAD_BYTES, PIPELINED_REQUESTS, BoundedHttp
from tenants_api.server.options import server_options
from tests.support.processes import wait_for
from tests.support.waiting import DEADLINE

QUICK = 0.2  # seconds: a deadline that a test waits for
MUCH = 16 * 1024 * 1024  # bytes; more than the buffers of both systems hold


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/wait":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"first", b"second", b"third"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    body = bytes(MUCH) if scope["path"] == "/much" else scope["query_string"]
    length = b"%d" % len(body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def limits() -> type[BoundedHttp]:
    """The same with deadlines that no busy machine passes; a test sets the one that it waits for."""

    class Limits(BoundedHttp):
        deadline = body_deadline = write_deadline = 600.0

    return Limits


@dataclass(frozen=True, slots=True)
class Serving:
    """A server with its address and the connections that it holds."""

    address: tuple[str, int]
    server: uvicorn.Server


@contextmanager
def serving(protocol: type[BoundedHttp] | str) -> Iterator[Serving]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        nothing, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False,
        timeout_keep_alive=600,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    wait_for(lambda: server.started, what="uvicorn has started")
    yield Serving(listening.getsockname(), server)
    server.should_exit = server.force_exit = True
    thread.join(DEADLINE)
    listening.close()


@pytest.fixture
def opened(limits: type[BoundedHttp]) -> Iterator[Serving]:
    with serving(limits) as server:
        yield server


@pytest.fixture
def address(opened: Serving) -> tuple[str, int]:
    return opened.address


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(DEADLINE)
    try:
        return connection.recv(100) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def is_answered(connection: socket.socket, request: bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") -> bool:
    connection.settimeout(DEADLINE)
    connection.sendall(request)
    return connection.recv(4096).startswith(b"HTTP/1.1 200")


def let_read(address: tuple[str, int]) -> None:
    """What was sent on other connections is read before what is answered on this one."""
    with socket.create_connection(address) as connection:
        assert is_answered(connection)


def let_deadline_pass(address: tuple[str, int]) -> None:
    """A connection that says nothing ends when its time is over: so is that of every one that was made before."""
    with socket.create_connection(address) as connection:
        assert is_closed(connection)


def test_ordinary_requests_on_one_connection_are_answered(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        for _ in range(3):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a" * 8192 + b"\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_head_and_body_of_a_response_arrive_in_one_piece(address: tuple[str, int]) -> None:
    """A server that is killed between two pieces leaves half a response, which no proxy can repeat elsewhere."""
    with socket.create_connection(address) as connection:
        connection.settimeout(DEADLINE)
        for _ in range(20):
            connection.sendall(b"GET /?content HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(4096).endswith(b"\r\n\r\ncontent")


def test_parts_of_a_stream_are_sent_before_it_ends(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.settimeout(DEADLINE)
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while not received.endswith(b"5\r\nfirst\r\n6\r\nsecond\r\n5\r\nthird\r\n"):
            piece = connection.recv(4096)
            assert piece
            received += piece


def test_endless_headers_are_cut_off(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises(ConnectionError):  # noqa: PT012 - which of the sends fails is up to the system
            for number in range(MAX_HEAD_BYTES):
                connection.sendall(b"X-%d: " % number + b"a" * 1000 + b"\r\n")


def sent_in_pieces(address: tuple[str, int], *, size: int) -> bytes:
    """The answer to a request with a token of this size, whose head comes in pieces."""
    with socket.create_connection(address) as connection:
        connection.settimeout(DEADLINE)
        head = b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a" * size + b"\r\n\r\n"
        try:
            for start in range(0, len(head), 4096):
                connection.sendall(head[start : start + 4096])
            return connection.recv(4096)
        except ConnectionError:
            return b""


@pytest.mark.parametrize(
    ("max_token_bytes", "size", "passes"),
    [(8192, 8192, True), (8192, 10**6, False), (16_384, 16_384, True), (65_536, 65_536, True), (65_536, 10**6, False)],
)
def test_bound_of_a_head_follows_the_setting(max_token_bytes: int, size: int, passes: bool) -> None:
    """A8: a token of TENANTS_MAX_TOKEN_BYTES reaches the application, however its head comes."""
    options = server_options(host="", port=0, workers=1, uds=None, max_token_bytes=max_token_bytes)
    assert options["h11_max_incomplete_event_size"] > max_token_bytes
    with serving(options["http"]) as served:
        assert sent_in_pieces(served.address, size=size).startswith(b"HTTP/1.1 200") is passes


def test_head_that_never_ends_is_given_up(limits: type[BoundedHttp], address: tuple[str, int]) -> None:
    limits.deadline = QUICK
    with socket.create_connection(address) as connection:
        with suppress(ConnectionError):  # where this process was too slow
            connection.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert is_closed(connection)


def test_later_head_that_never_ends_is_given_up_too(limits: type[BoundedHttp], address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        assert is_answered(connection)
        limits.deadline = QUICK
        connection.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert is_closed(connection)


def test_slow_head_that_ends_in_time_is_answered_and_its_connection_lives_on(
    limits: type[BoundedHttp], address: tuple[str, int]
) -> None:
    limits.deadline = 10 * QUICK  # which a busy machine must not pass between the two pieces
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost:")
        let_read(address)
        assert is_answered(connection, b" x\r\n\r\n")
        let_deadline_pass(address)
        assert is_answered(connection)


def test_connection_that_says_nothing_is_given_up(limits: type[BoundedHttp], address: tuple[str, int]) -> None:
    """Else a stranger could hold every file descriptor of the process and never send a byte."""
    limits.deadline = QUICK
    with socket.create_connection(address) as connection:
        assert is_closed(connection)


def test_body_that_never_ends_is_given_up(limits: type[BoundedHttp], address: tuple[str, int]) -> None:
    limits.body_deadline = QUICK
    with socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        assert is_ended(connection)


def test_body_in_two_pieces_is_taken(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
        let_read(address)
        assert is_answered(connection, b"2")


def test_body_that_drips_is_given_up(limits: type[BoundedHttp], address: tuple[str, int]) -> None:
    limits.body_deadline = QUICK
    with socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        drip_until_it_ends(connection, b"1\r\nx\r\n")


def test_blank_lines_between_requests_keep_no_connection_open(
    limits: type[BoundedHttp], address: tuple[str, int]
) -> None:
    """A parser passes over them (RFC 9112 section 2.2), and each one would put the idle connection's end off."""
    with socket.create_connection(address) as connection:
        assert is_answered(connection)
        limits.deadline = QUICK
        drip_until_it_ends(connection, b"\r\n")


def is_ended(connection: socket.socket) -> bool:
    """Closed, whether or not something was answered before."""
    connection.settimeout(DEADLINE)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def drip_until_it_ends(connection: socket.socket, piece: bytes) -> None:
    """AssertionError when the other side never has enough."""

    def has_ended() -> bool:
        try:
            connection.sendall(piece)
        except ConnectionError:
            return True
        return False

    wait_for(has_ended, what="the connection is closed")


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
NO_BODY = {
    "one trailer line": (b"0\r\nX: ", b"a" * 1000),
    "name of a trailer": (b"0\r\n", b"a" * 1000),
    "many trailer lines": (b"0\r\n", b"X: a\r\n" * 200),
    "extension of one chunk": (b"1;x=", b"a" * 1000),
    "extensions of many chunks": (b"", b"1;x=" + b"a" * 1000 + b"\r\nx\r\n"),
    "zeros before a size": (b"", b"0" * 1000),
}


@pytest.mark.parametrize(("begins", "goes_on"), NO_BODY.values(), ids=NO_BODY)
def test_d7_endless_body_phase_without_a_body_is_cut_off(
    address: tuple[str, int], begins: bytes, goes_on: bytes
) -> None:
    """D7: without a token, 128 MB of one trailer line cost 20 s of CPU and 231 MB."""
    with socket.create_connection(address) as connection:
        connection.sendall(CHUNKED)
        connection.sendall(begins)
        with pytest.raises(ConnectionError):  # noqa: PT012 - which of the sends fails is up to the system
            for _ in range(8 * 1024):
                connection.sendall(goes_on)


@pytest.mark.parametrize("size", [1, 10, 4000])
def test_body_in_many_chunks_and_with_a_trailer_is_answered(address: tuple[str, int], size: int) -> None:
    """A client may stream byte by byte: five bytes then frame each one."""
    chunk = b"%x;a=b\r\n%s\r\n" % (size, b"x" * size)
    with socket.create_connection(address) as connection:
        connection.sendall(CHUNKED)
        for _ in range(200):
            connection.sendall(chunk * 100)
        connection.sendall(b"0\r\nX-Checksum: " + b"a" * 8000 + b"\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_d11_client_that_does_not_read_is_given_up(limits: type[BoundedHttp], opened: Serving) -> None:
    """D11: what it was to get stayed in this process for ever."""
    limits.write_deadline = QUICK
    with not_reading(opened.address) as connection:
        connection.sendall(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        state = opened.server.server_state
        wait_for(lambda: state.total_requests == 1 and not state.connections, what="the connection's end")


def test_d11_client_that_pipelines_without_end_is_cut_off(address: tuple[str, int]) -> None:
    """D11: a request that waits for the one before it held 89 times what its client had sent."""
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET / HTTP/1.1\r\n\r\n" * 3000)
        assert is_ended(connection)


def test_d11_request_whose_client_is_gone_is_told_also_when_another_one_waits_behind_it(opened: Serving) -> None:
    """uvicorn tells the last one alone: a request that streams would go on for ever."""
    tasks = opened.server.server_state.tasks
    with socket.create_connection(opened.address) as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: bool(tasks), what="the request is being answered")
    wait_for(lambda: not tasks, what="the request has ended")


def test_requests_in_one_piece_are_answered_in_order(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.settimeout(DEADLINE)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * PIPELINED_REQUESTS)
        received = b""
        while received.count(b"HTTP/1.1 200") < PIPELINED_REQUESTS:
            piece = connection.recv(65536)
            assert piece, received
            received += piece


def not_reading(address: tuple[str, int]) -> socket.socket:
    """A connection whose receive buffer is soon full."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(address)
    return connection
