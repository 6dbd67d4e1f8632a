"""A bad network between this API and one realm: latency, drops, half answers, errors and garbage."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LATENCY = 1.0
GARBAGE = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"keys": [}}}'
ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\noops"


class Proxy:
    """Passes bytes on to a port of this machine; `mode` may be changed at any time."""

    def __init__(self, target: int) -> None:
        self.target, self.port, self.mode = target, 0, "pass"
        self.requests = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        mode = self.mode
        if mode == "drop":
            writer.transport.abort()
        elif mode == "garbage":
            writer.write(GARBAGE)
        elif mode == "500":
            writer.write(ERROR)
        else:
            if mode == "latency":
                await asyncio.sleep(LATENCY)
            answer = await self._forward(head, reader=reader)
            writer.write(answer[: len(answer) * 2 // 3] if mode == "truncate" else answer)
        await writer.drain()

    async def _forward(self, head: bytes, *, reader: asyncio.StreamReader) -> bytes:
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        behind, ahead = await asyncio.open_connection("127.0.0.1", self.target)
        ahead.write(head + await reader.readexactly(length))
        try:
            return await asyncio.wait_for(behind.read(), 20)
        finally:
            ahead.close()


@contextmanager
def running_proxy(target: int) -> Iterator[Proxy]:
    """Listen on a free port, in a thread of its own."""
    proxy, loop, started = Proxy(target), asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        started.set()
        async with server:
            await server.serve_forever()

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        finally:
            loop.close()

    task = loop.create_task(serve())
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
