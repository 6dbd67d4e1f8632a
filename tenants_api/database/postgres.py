"""Connections to PostgreSQL that give up a server which hangs. Imported only where the database is PostgreSQL.

The kernel of a server that hangs with its sockets open goes on to acknowledge what it is sent: neither TCP keepalives
nor `tcp_user_timeout` find it out, and psycopg waits for its answer without an end.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen

GRACE_SECONDS = 5.0  # beyond the server's own limit of a statement


def watched_connect(*, statement_timeout: float) -> Callable[..., Coroutine[Any, Any, psycopg.AsyncConnection[Any]]]:
    """What opens an engine's connections (`async_creator_fn`), where the server ends a statement after these seconds.

    A connection is cut when the server has not answered a statement, a commit or a ping in five seconds more.
    """
    limit = statement_timeout + GRACE_SECONDS

    class WatchedConnection(psycopg.AsyncConnection[Any]):
        async def wait(self, gen: PQGen[RV], *arguments: Any, **options: Any) -> RV:
            giving_up = asyncio.get_running_loop().call_later(limit, cut, self)
            try:
                return await super().wait(gen, *arguments, **options)
            finally:
                giving_up.cancel()

    return WatchedConnection.connect


def cut(connection: psycopg.AsyncConnection[Any]) -> None:
    """End it from our side: who waits on it reads its end at once. A cancelled query would wait for the server."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
