"""What is written within one turn of the loop is sent at once: the head of an answer with its body.

uvicorn writes them one after the other, and uvloop sends each as it comes. So an answer was two system calls and two
segments, and a process that was killed between them left half an answer, which no proxy can ask another replica for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

LARGEST = 65_536  # bytes that are copied to be sent at once; more is not worth it


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
        elif len(data) > LARGEST:
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
