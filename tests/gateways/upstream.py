"""A service behind a proxy that says what arrived: head and size of the body. Upgrades to an echo when asked to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Upstream:
    """`lines` are the request line and headers of each request as they came."""

    port: int = 0
    lines: list[list[str]] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.lines.append(head.strip().split("\r\n"))
                headers = _headers(self.lines[-1])
                if headers.get("upgrade", "").lower() == "websocket":
                    await _echo(reader, writer)
                    return
                await _answer(writer, lines=self.lines[-1], size=await _body(reader, headers))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving_upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    listener = await asyncio.start_server(upstream.handle, "127.0.0.1", 0, limit=65536)
    upstream.port = listener.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        listener.close()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> int:
    if headers.get("transfer-encoding") == "chunked":
        size = 0
        while length := int(await reader.readline(), 16):
            await reader.readexactly(length + 2)
            size += length
        await reader.readline()
        return size
    length = int(headers.get("content-length", "0"))
    left = length
    while left:
        left -= len(await reader.readexactly(min(left, 65536)))
    return length


async def _answer(writer: asyncio.StreamWriter, *, lines: list[str], size: int) -> None:
    body = json.dumps({"request": lines[0], "headers": lines[1:], "body": size}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
    if not lines[0].startswith("HEAD "):
        writer.write(body)
    await writer.drain()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    writer.write(await reader.read(100))
    await writer.drain()


def _headers(lines: list[str]) -> dict[str, str]:
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
