"""uvicorn's httptools protocol with bounds on what a connection may cost before it has asked for anything.

httptools itself bounds neither the size of a request's head nor its time. Without this one connection could send header
lines for ever and grow this process; and by one byte a minute, or by none, anybody could hold all of its connections. A
request that comes in one piece, as most honest ones do, costs nothing more.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tenants_api.serving.joined_writes import JoinedWrites

LARGEST_HEAD = 32 * 1024  # bytes of request line and headers; a token may have 8192


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request is too long or too slow, or does not come.

    `deadline` is the seconds until the first head is whole, and until any later one is that came in pieces or behind
    blank lines. `body_deadline` is what the rest of a body gets that came in pieces.
    """

    deadline = 10.0
    body_deadline = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = self._in_body = False
        self._head_size = 0
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(JoinedWrites(transport, loop=self.loop))  # type: ignore[arg-type]  # stands for one
        self._end_after(self.deadline)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_protocol() is not self:
            self._go_on()  # a WebSocket now, which may be silent for as long as it likes
        elif self._in_head:
            self._bound_head(len(data))
        elif self._in_body:
            self._end_after(self.body_deadline)
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
        self._go_on()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        self._go_on()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._go_on()
        super().connection_lost(exc)

    def _bound_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > LARGEST_HEAD:
            self.transport.abort()
        else:
            self._end_after(self.deadline)

    def _end_after(self, seconds: float) -> None:
        """Counted from the first call: no byte that comes meanwhile puts the end off."""
        if self._end is None:
            self._end = self.loop.call_later(seconds, self.transport.abort)

    def _go_on(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
