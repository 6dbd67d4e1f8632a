"""uvicorn's httptools protocol with a bound on the head of a request, which httptools itself does not have.

Without it one connection could send header lines for ever and grow this process, or send one byte a minute and keep
its connection. A request whose head comes in one piece, as all honest ones do, costs nothing more.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 32 * 1024  # bytes of request line and headers; a token may have 8192


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request head is too long or too slow.

    `deadline` is the seconds that the rest of a head gets that came in pieces.
    """

    deadline = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._head_size = 0
        self._head_deadline: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._bound_head(len(data))

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
        self._end_head()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def _bound_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > LARGEST_HEAD:
            self.transport.abort()
        elif self._head_deadline is None:
            self._head_deadline = self.loop.call_later(self.deadline, self.transport.abort)

    def _end_head(self) -> None:
        self._in_head = False
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None
