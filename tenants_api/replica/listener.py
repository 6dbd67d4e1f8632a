"""Listens for the registry's notifications on a PostgreSQL connection of its own. It only says that there is news.

NOTIFY promises little: what is sent while nobody listens is lost, and a connection may be dead or deaf without a word.
So nothing depends on it. The change feed looks every half second all the same; this makes it look sooner.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from tenants_api.database.engine import connect_arguments
from tenants_api.database.postgres import cut
from tenants_api.registry.values import CHANNEL

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before the next try to connect; doubled after each that failed
ANSWER_DEADLINE = 5.0  # seconds for the server to take a connection or to answer the heartbeat
# A peer that vanished without a FIN is given up by the kernel, also while nothing is sent.
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3}
log = structlog.get_logger("tenants_api.registry")


class Listener:
    """One connection that listens. `on_news` gets the version in each notification.

    `on_connect` is called each time it listens anew: what was sent in between is lost.
    """

    def __init__(
        self,
        url: str,
        *,
        on_news: Callable[[int], None],
        on_connect: Callable[[], None],
        heartbeat: float = 5.0,
        patience: float = ANSWER_DEADLINE,
    ) -> None:
        self._url, self._heartbeat, self._patience = url, heartbeat, patience
        self._on_news, self._on_connect = on_news, on_connect
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._answered = 0.0

    @property
    def listening(self) -> bool:
        """Whether the server answered on this connection within the last heartbeat."""
        silence = time.monotonic() - self._answered
        return self._connection is not None and silence < self._heartbeat + self._patience

    def drop(self) -> None:
        """Give this connection up, and make another one after a pause."""
        if self._connection is not None:
            cut(self._connection)
            self._connection = None

    async def run(self) -> None:
        """Listen for ever; a connection that is lost or silent is made anew, after a pause that doubles."""
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError) as error:
                log.warning("registry_listener_lost", error=type(error).__name__, next_try_seconds=pause)
            self._connection = None
            # Not all replicas at the same moment on a server that has just come back.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            lasted = time.monotonic() - began > LONGEST_PAUSE
            pause = FIRST_PAUSE if lasted else min(2 * pause, LONGEST_PAUSE)

    async def _listen(self) -> None:
        async with asyncio.timeout(self._patience):
            connection = await psycopg.AsyncConnection.connect(autocommit=True, **_parameters(self._url))
        try:
            await self._ask(connection, f"listen {CHANNEL}")
            self._connection = connection
            self._on_connect()
            while self._connection is connection:
                async for notice in connection.notifies(timeout=self._heartbeat):
                    self._on_news(_version(notice.payload))
                await self._ask(connection, "select 1")
        finally:
            await connection.close()

    async def _ask(self, connection: psycopg.AsyncConnection[Any], statement: str) -> None:
        """A server that hangs keeps its sockets open, so only a question that must be answered finds it out."""
        giving_up = asyncio.get_running_loop().call_later(self._patience, cut, connection)
        try:
            await connection.execute(statement.encode())
        finally:
            giving_up.cancel()
        self._answered = time.monotonic()


def _parameters(url: str) -> dict[str, Any]:
    """What the engine would connect with, hosts and TLS options included."""
    _, told = connect_arguments(url)
    return {"connect_timeout": int(ANSWER_DEADLINE), "application_name": "tenants-api feed", **KEEPALIVE, **told}


def _version(payload: str) -> int:
    """The version in `<version> <tenant id>`; 0 for what somebody else sent on our channel: that is news of nothing."""
    number = payload.partition(" ")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 18 else 0
