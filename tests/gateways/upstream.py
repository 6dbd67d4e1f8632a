"""A service behind a proxy that says what arrived: head, trailers and size of the body. Accepts every upgrade."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Upstream:
    """What arrived.

    `lines` are the request line and headers of each request as they came, `trailers` the lines behind a chunked body,
    `tunnelled` what came after an upgrade.
    """

    port: int = 0
    lines: list[list[str]] = field(default_factory=list)
    trailers: list[str] = field(default_factory=list)
    tunnelled: list[bytes] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.lines.append(head.strip().split("\r\n"))
                headers = _headers(self.lines[-1])
                if protocols := offered(self.lines[-1]):
                    await self._tunnel(reader, writer, protocol=protocols[0])
                    return
                size, trailers = await _body(reader, headers)
                self.trailers += trailers
                await _answer(writer, lines=self.lines[-1], size=size)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, protocol: str) -> None:
        """An echo of what comes first."""
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\n" % protocol.encode())
        writer.write(b"Connection: Upgrade\r\n\r\n")
        if data := await reader.read(1000):
            self.tunnelled.append(data)
        writer.write(data)
        await writer.drain()


def named(lines: list[str], name: str) -> list[str]:
    """The values of a header, in the order of its lines."""
    found = (line.partition(":") for line in lines[1:])
    return [value.strip() for found_name, _, value in found if found_name.lower() == name.lower()]


def offered(lines: list[str]) -> list[str]:
    """The protocols of every `Upgrade` line; one that is not a WebSocket comes first, as an attacker wishes."""
    values = (value.strip() for line in named(lines, "upgrade") for value in line.split(","))
    return sorted(values, key=lambda value: value.lower() == "websocket")


@asynccontextmanager
async def serving_upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    listener = await asyncio.start_server(upstream.handle, "127.0.0.1", 0, limit=262_144)
    upstream.port = listener.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        listener.close()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> tuple[int, list[str]]:
    """Its size, and the lines behind it."""
    if headers.get("transfer-encoding") == "chunked":
        size, trailers = 0, []
        while length := int(await reader.readline(), 16):
            await reader.readexactly(length + 2)
            size += length
        while line := (await reader.readline()).decode("latin-1").strip():
            trailers.append(line)
        return size, trailers
    length = int(headers.get("content-length", "0"))
    left = length
    while left:
        left -= len(await reader.readexactly(min(left, 65536)))
    return length, []


async def _answer(writer: asyncio.StreamWriter, *, lines: list[str], size: int) -> None:
    body = json.dumps({"request": lines[0], "headers": lines[1:], "body": size}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
    if not lines[0].startswith("HEAD "):
        writer.write(body)
    await writer.drain()


def _headers(lines: list[str]) -> dict[str, str]:
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
