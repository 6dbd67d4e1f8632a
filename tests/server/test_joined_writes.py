"""What is written within one turn of the loop is one write: a process that is killed leaves no half answer."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tenants_api.server.http_limits import MAX_JOINED_BYTES, JoinedWrites

pytestmark = pytest.mark.anyio

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"content"


class Wire:
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def writelines(self, parts: list[bytes]) -> None:
        self.told.extend(parts)

    def close(self) -> None:
        self.told.append("close")

    def abort(self) -> None:
        self.told.append("abort")

    def write_eof(self) -> None:
        self.told.append("end")

    def is_closing(self) -> bool:
        return "close" in self.told

    def get_protocol(self) -> str:
        return "protocol"

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


def joined() -> tuple[JoinedWrites, list[bytes | str]]:
    wire = Wire()
    transport = cast("Any", wire)
    return JoinedWrites(
        transport, loop=asyncio.get_running_loop(), on_close=lambda: wire.told.append("on close")
    ), wire.told


async def test_head_and_body_are_one_write() -> None:
    transport, told = joined()
    for _ in range(3):
        transport.write(HEAD)
        transport.write(BODY)
    await asyncio.sleep(0)
    assert told == [HEAD + BODY] * 3


async def test_head_whose_body_takes_time_goes_out_by_itself() -> None:
    transport, told = joined()
    transport.write(HEAD)
    assert told == []
    await asyncio.sleep(0)
    assert told == [HEAD]
    transport.write(BODY)
    await asyncio.sleep(0)
    assert told == [HEAD, BODY]


async def test_answer_without_content_waits_for_nothing() -> None:
    transport, told = joined()
    transport.write(HEAD)
    transport.write(b"")
    assert told == [HEAD]


async def test_large_body_is_not_copied() -> None:
    transport, told = joined()
    body = bytes(MAX_JOINED_BYTES + 1)
    transport.write(HEAD)
    transport.write(body)
    assert told == [HEAD, body]
    assert told[1] is body


async def test_content_may_be_any_bytes_and_its_buffer_be_used_again() -> None:
    """ASGI says bytes; Starlette's streams also give views, as does whoever fills one buffer again and again."""
    transport, told = joined()
    buffer = bytearray(b"first")
    transport.write(memoryview(buffer))  # type: ignore[arg-type]  # what a stream gives
    buffer[:] = b"other"
    transport.write(memoryview(buffer))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert told == [b"firstother"]


async def test_lines_do_not_pass_what_is_held() -> None:
    transport, told = joined()
    transport.write(HEAD)
    transport.writelines([BODY, BODY])
    await asyncio.sleep(0)
    assert told == [HEAD, BODY, BODY]


@pytest.mark.parametrize(
    ("ends", "after"), [("close", [HEAD, "close", "on close"]), ("write_eof", [HEAD, "end"]), ("abort", ["abort"])]
)
async def test_end_of_the_connection_loses_nothing_that_was_written(ends: str, after: list[bytes | str]) -> None:
    transport, told = joined()
    transport.write(HEAD)
    getattr(transport, ends)()
    await asyncio.sleep(0)
    assert told == after


async def test_all_else_is_the_transports() -> None:
    transport, _ = joined()
    assert (transport.is_closing(), transport.get_protocol()) == (False, "protocol")
    assert transport.get_extra_info("peername") == "the peername"
    transport.close()
    assert transport.is_closing()
