"""Connections to PostgreSQL with a timeout for servers that hang. Imported only where the database is PostgreSQL.

The kernel of a server that hangs with open sockets still acknowledges packets: neither TCP keepalives nor
`tcp_user_timeout` detect it, and psycopg waits for ever.
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

ANSWER_MARGIN_SECONDS = 5.0  # beyond the server's own statement timeout


def watched_connect(*, statement_timeout: float) -> Callable[..., Coroutine[Any, Any, psycopg.AsyncConnection[Any]]]:
    """The `async_creator_fn` of an engine; `statement_timeout` (seconds) is the server's.

    A connection is cut when the server has not answered a statement, a commit or a ping five seconds after that.
    """
    limit = statement_timeout + ANSWER_MARGIN_SECONDS

    class WatchedConnection(psycopg.AsyncConnection[Any]):
        async def wait(self, gen: PQGen[RV], *arguments: Any, **options: Any) -> RV:
            timer = asyncio.get_running_loop().call_later(limit, cut, self)
            try:
                return await super().wait(gen, *arguments, **options)
            finally:
                timer.cancel()

    return WatchedConnection.connect


def cut(connection: psycopg.AsyncConnection[Any]) -> None:
    """Shut the socket down, so that waits on it end at once; cancelling a query would wait for the server."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)
