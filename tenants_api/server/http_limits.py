"""uvicorn's httptools protocol with bounds on what a connection may cost.

httptools bounds neither size nor time of a request's head, nor the framing of a chunked body: one connection could send
header or trailer lines for ever and exhaust memory, and a client that sends a byte a minute, or none, could hold all
connections. uvicorn queues every request that a client pipelines, and waits for ever for a client that does not read.
A request that arrives in one piece, as most do, costs nothing more.
"""

from __future__ import annotations

import asyncio
import sys
from array import array
from collections.abc import Callable, Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_JOINED_BYTES = 65_536  # of two writes that are copied into one; copying more costs more than a second write


class JoinedWrites:
    """A transport that joins a write with the next one of the same iteration of the event loop.

    `on_close` is called after `close`, which waits for ever for a client that does not read.
    """

    __slots__ = ("_held", "_loop", "_on_close", "_transport", "get_protocol", "is_closing")

    def __init__(
        self, transport: asyncio.Transport, *, loop: asyncio.AbstractEventLoop, on_close: Callable[[], None]
    ) -> None:
        self._transport, self._loop, self._on_close = transport, loop, on_close
        self._held = b""
        # Bound methods: called for each request, so not by way of `__getattr__`.
        self.is_closing, self.get_protocol = transport.is_closing, transport.get_protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not data:
            self.flush()  # the end of a response without content
        elif len(data) > MAX_JOINED_BYTES:
            self.flush()
            self._transport.write(data)
        elif self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._held = bytes(data)  # a copy: the caller may reuse the buffer of a view
            self._loop.call_soon(self.flush)

    def writelines(self, parts: Iterable[bytes]) -> None:
        self.flush()
        self._transport.writelines(parts)

    def flush(self) -> None:
        """Send the held write, if there is one."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def close(self) -> None:
        self.flush()
        self._transport.close()
        self._on_close()

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def abort(self) -> None:
        self._held = b""
        self._transport.abort()


if sys.platform == "linux":
    from fcntl import ioctl
    from termios import TIOCOUTQ

MAX_HEAD_BYTES = 32 * 1024  # request line and headers; a token may have half of it
MAX_HEAD_BYTES_WITH_LARGE_TOKENS = MAX_HEAD_BYTES + 65_536
BODY_FRAMING_BYTES = 32 * 1024  # in a request's body: chunk sizes, chunk extensions, trailer lines
CHUNK_FRAMING_BYTES = 16  # of each chunk that are not counted: a client may stream byte by byte, as in Go's net/http
PIPELINED_REQUESTS = 32  # of one connection, besides the one in progress
MIN_READ_BYTES = 32 * 1024  # that a client must read within `write_deadline`


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request is too long, too slow or missing, or whose responses are not read.

    All in seconds: `deadline` is for the first head, and for a later one that arrives in pieces or after blank lines;
    `body_deadline` is for the rest of a body that arrives in pieces; `write_deadline` is for the client to read the
    next 32 KiB of a response.
    """

    max_head_bytes = MAX_HEAD_BYTES
    deadline = 10.0
    body_deadline = 30.0
    write_deadline = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = self._in_body = False
        self._head_size = 0
        # Of the body: whether it began in this piece, its bytes of content in this piece, bytes of framing before it.
        self._body_began = False
        self._content = self._framing = 0
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None
        self._responding: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        joined = JoinedWrites(transport, loop=self.loop, on_close=self._require_reading)
        super().connection_made(joined)  # type: ignore[arg-type]  # has its methods
        self._abort_after(self.deadline)

    def data_received(self, data: bytes) -> None:
        self._body_began, self._content = False, 0
        super().data_received(data)
        if self._in_head:
            self._bound_head(len(data))
        elif self._in_body:
            self._bound_body(len(data))
        elif getattr(self.cycle, "response_complete", False):  # `cycle` is None before the first request
            # Blank lines, which the parser skips: uvicorn cancelled its keep-alive timer as if they were a request.
            self._abort_after(self.deadline)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_size = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # uvicorn would add the trailer of a chunked body to the headers: an unbounded list, and credentials that no
        # proxy in front has seen (RFC 9110 section 6.5.1: a trailer field is not a header field).
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        self._body_began, self._framing = True, 0
        self._cancel_deadline()
        if len(self.pipeline) < PIPELINED_REQUESTS:
            super().on_headers_complete()
        else:
            self.transport.abort()

    def on_chunk_header(self) -> None:
        self._content += CHUNK_FRAMING_BYTES

    def on_body(self, body: bytes) -> None:
        self._content += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._cancel_deadline()
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._require_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_read_deadline()
        if self.transport.is_closing():
            self._require_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)
        self._cancel_read_deadline()
        self.pipeline.clear()
        responding = self._responding
        if responding is not None and not responding.response_complete:
            # uvicorn notifies only the last request of the pipeline: the one in progress would run for ever.
            responding.disconnected = True
            responding.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._responding = cycle
        super()._start_asgi_task(cycle, app)

    def _bound_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > self.max_head_bytes:
            self.transport.abort()
        else:
            self._abort_after(self.deadline)

    def _bound_body(self, size: int) -> None:
        if not self._body_began:
            self._framing = max(0, self._framing + size - self._content)
        if self._framing > BODY_FRAMING_BYTES:
            self.transport.abort()
        else:
            self._abort_after(self.body_deadline)

    def _require_reading(self) -> None:
        """Start the deadline for the client to read, if data is waiting for it."""
        if self.transport.get_write_buffer_size() and self._read_timer is None:
            self._read_timer = self.loop.call_later(self.write_deadline, self._check_reading, self._unread())

    def _check_reading(self, before: int) -> None:
        self._read_timer = None
        if before - self._unread() < min(before, MIN_READ_BYTES):
            self.transport.abort()
        else:
            self._require_reading()

    def _unread(self) -> int:
        """Bytes of responses that the client has not acknowledged, in this process and in the socket's buffer.

        This process's buffer does not shrink continuously while a client reads: Linux accepts more only when a third of
        the socket's buffer, which grows to megabytes, is free again.
        """
        return int(self.transport.get_write_buffer_size()) + _queued_bytes(self.transport.get_extra_info("socket"))

    def _cancel_read_deadline(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _abort_after(self, seconds: float) -> None:
        """Start the deadline unless it runs: later bytes do not extend it."""
        if self._deadline_timer is None:
            self._deadline_timer = self.loop.call_later(seconds, self.transport.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
            self._deadline_timer = None


class LargeTokensHttp(BoundedHttp):
    """`BoundedHttp` for TENANTS_MAX_TOKEN_BYTES above 16 KiB: a head may have 64 KiB more."""

    max_head_bytes = MAX_HEAD_BYTES_WITH_LARGE_TOKENS


def _queued_bytes(connection: Any) -> int:
    """Unsent bytes in the buffer of a socket (Linux: SIOCOUTQ, see tcp(7)); 0 on other systems."""
    queued = array("i", [0])
    if sys.platform == "linux" and connection is not None and connection.fileno() >= 0:
        ioctl(connection.fileno(), TIOCOUTQ, queued)
    return queued[0]
