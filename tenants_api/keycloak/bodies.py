"""Reads what a stranger sends: so many bytes, in so many pieces, and never so long that others have no turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from tenants_api.keycloak.errors import RealmFault

MAX_PIECES = 2048  # of one body; proxies send kilobytes at once, and a piece of one byte costs as much as a large one
AT_ONCE = 32  # pieces after which others have their turn: many thousands may lie there already


async def read_body(pieces: AsyncIterator[bytes], *, most: int, url: str) -> bytes:
    """The pieces together, at most so many bytes of them. Raises RealmFault `TooLarge`."""
    read: list[bytes] = []
    size = 0
    async for piece in pieces:
        size += len(piece)
        read.append(piece)
        if size > most:
            raise RealmFault("TooLarge", message=f"{url} sends more than {most} bytes; expected a small JSON document")
        if len(read) > MAX_PIECES:
            message = f"{url} sends its answer in more than {MAX_PIECES} pieces; expected a small JSON document"
            raise RealmFault("TooLarge", message=message)
        if len(read) % AT_ONCE == 0:
            await asyncio.sleep(0)
    return b"".join(read)
