"""uvicorn's httptools protocol with bounds on what a connection may cost.

httptools itself bounds neither the size of a request's head nor its time, nor the framing of a chunked body. Without
this one connection could send header or trailer lines for ever and grow this process; and by one byte a minute, or by
none, anybody could hold all of its connections. uvicorn queues every request that a client pipelines, and waits for
ever for a client that does not read. A request that comes in one piece, as most honest ones do, costs nothing more.
"""

from __future__ import annotations

import asyncio
import sys
from array import array
from collections.abc import Callable, Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_JOINED_BYTES = 65_536  # bytes that are copied to be sent at once; more is not worth it


class JoinedWrites:
    """A transport that holds a first write back until the next one, or until the loop turns; all else is as it was.

    `on_close` is called after `close`, which waits without end for a client that does not read.
    """

    __slots__ = ("_held", "_loop", "_on_close", "_transport", "get_protocol", "is_closing")

    def __init__(
        self, transport: asyncio.Transport, *, loop: asyncio.AbstractEventLoop, on_close: Callable[[], None]
    ) -> None:
        self._transport, self._loop, self._on_close = transport, loop, on_close
        self._held = b""
        # Asked for each request; the rest is rarely.
        self.is_closing, self.get_protocol = transport.is_closing, transport.get_protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not data:
            self.flush()  # an answer without content is whole
        elif len(data) > MAX_JOINED_BYTES:
            self.flush()
            self._transport.write(data)
        elif self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._held = bytes(data)  # a copy of a view: who gave it may fill its buffer anew
            self._loop.call_soon(self.flush)

    def writelines(self, parts: Iterable[bytes]) -> None:
        self.flush()
        self._transport.writelines(parts)

    def flush(self) -> None:
        """Send what is held back, if anything is."""
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

LARGEST_HEAD = 32 * 1024  # bytes of request line and headers; a token may have half of it
LARGEST_HEAD_OF_LARGE_TOKENS = LARGEST_HEAD + 65_536
BODY_FRAMING_BYTES = 32 * 1024  # of a request's body phase: chunk sizes, chunk extensions, trailer lines
CHUNK_FRAMING_BYTES = 16  # of each chunk, which are not counted: a client may stream byte by byte, as in Go's net/http
PIPELINED_REQUESTS = 32  # of one connection, beside the one that is being answered
SLOWEST_READ_BYTES = 32 * 1024  # that a client reads within `write_deadline`


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request is too long or too slow, or does not come, or whose responses are not read.

    `deadline` is the seconds until the first head is whole, and until any later one is that came in pieces or behind
    blank lines. `body_deadline` is what the rest of a body gets that came in pieces. `write_deadline` is the seconds
    that a client may take for the next 32 KiB of what is waiting for it.
    """

    largest_head = LARGEST_HEAD
    deadline = 10.0
    body_deadline = 30.0
    write_deadline = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = self._in_body = False
        self._head_size = 0
        # Of the body phase: whether it began with this piece, bytes of content in it, bytes of framing before it.
        self._body_began = False
        self._content = self._framing = 0
        self._end: asyncio.TimerHandle | None = None
        self._reading_end: asyncio.TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        joined = JoinedWrites(transport, loop=self.loop, on_close=self._expect_reading)
        super().connection_made(joined)  # type: ignore[arg-type]  # stands for one
        self._end_after(self.deadline)

    def data_received(self, data: bytes) -> None:
        self._body_began, self._content = False, 0
        super().data_received(data)
        if self._in_head:
            self._bound_head(len(data))
        elif self._in_body:
            self._bound_body(len(data))
        elif getattr(self.cycle, "response_complete", False):  # no cycle before the first request
            # Blank lines, which a parser passes over: uvicorn took them for a request and let its own timer go.
            self._end_after(self.deadline)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_size = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # uvicorn would add the trailer of a chunked body to the headers: credentials that no proxy in front has seen,
        # and a list without an end (RFC 9110 section 6.5.1 says that a trailer field is no header field).
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        self._body_began, self._framing = True, 0
        self._go_on()
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
        self._go_on()
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_expecting()
        if self.transport.is_closing():
            self._expect_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._go_on()
        super().connection_lost(exc)
        self._stop_expecting()
        self.pipeline.clear()
        answering = self._answering
        if answering is not None and not answering.response_complete:
            # uvicorn tells the last request of the pipeline: the one that is being answered would go on for ever.
            answering.disconnected = True
            answering.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _bound_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > self.largest_head:
            self.transport.abort()
        else:
            self._end_after(self.deadline)

    def _bound_body(self, size: int) -> None:
        if not self._body_began:
            self._framing = max(0, self._framing + size - self._content)
        if self._framing > BODY_FRAMING_BYTES:
            self.transport.abort()
        else:
            self._end_after(self.body_deadline)

    def _expect_reading(self) -> None:
        """From now on the client has to read what is waiting for it, if anything is."""
        if self.transport.get_write_buffer_size() and self._reading_end is None:
            self._reading_end = self.loop.call_later(self.write_deadline, self._check_reading, self._unread())

    def _check_reading(self, before: int) -> None:
        self._reading_end = None
        if before - self._unread() < min(before, SLOWEST_READ_BYTES):
            self.transport.abort()
        else:
            self._expect_reading()

    def _unread(self) -> int:
        """Bytes of responses that the client has not acknowledged, here and in the system's buffer.

        The buffer here alone would stand still for a client that reads: Linux takes more only when a third of its own
        buffer, which grows to megabytes, is free again.
        """
        return int(self.transport.get_write_buffer_size()) + _queued_bytes(self.transport.get_extra_info("socket"))

    def _stop_expecting(self) -> None:
        if self._reading_end is not None:
            self._reading_end.cancel()
            self._reading_end = None

    def _end_after(self, seconds: float) -> None:
        """Counted from the first call: no byte that comes meanwhile puts the end off."""
        if self._end is None:
            self._end = self.loop.call_later(seconds, self.transport.abort)

    def _go_on(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None


class LargeTokensHttp(BoundedHttp):
    """The same where TENANTS_MAX_TOKEN_BYTES is above 16 KiB: a head may have 64 KiB more."""

    largest_head = LARGEST_HEAD_OF_LARGE_TOKENS


def _queued_bytes(connection: Any) -> int:
    """Bytes in the system's buffer of a socket (Linux: SIOCOUTQ, see tcp(7)); 0 where the system does not tell."""
    queued = array("i", [0])
    if sys.platform == "linux" and connection is not None and connection.fileno() >= 0:
        ioctl(connection.fileno(), TIOCOUTQ, queued)
    return queued[0]
