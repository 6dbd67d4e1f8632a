"""Listens for notifications of the registry on a PostgreSQL connection of its own: the change feed then polls at once.

Notifications while no connection listens are lost, and a dead connection may look alive. So the change feed also polls
every half second.
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
from tenants_api.database.errors import first_line
from tenants_api.database.postgres import cut
from tenants_api.registry.values import CHANNEL

FIRST_RECONNECT_PAUSE_SECONDS, MAX_RECONNECT_PAUSE_SECONDS = 0.5, 30.0  # doubled after each failure
ANSWER_DEADLINE_SECONDS = 5.0  # for the server to accept a connection or to answer the heartbeat
# The kernel closes the connection to a peer that vanished without a FIN, also while nothing is sent.
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3}
log = structlog.get_logger("tenants_api.registry")


class Listener:
    """One connection that listens. Calls `on_notify` with the version of each notification.

    Calls `on_connect` each time it has connected: notifications before that are lost.
    """

    def __init__(
        self,
        url: str,
        *,
        on_notify: Callable[[int], None],
        on_connect: Callable[[], None],
        heartbeat: float = 5.0,
        answer_deadline: float = ANSWER_DEADLINE_SECONDS,
    ) -> None:
        self._url, self._heartbeat, self._answer_deadline = url, heartbeat, answer_deadline
        self._on_notify, self._on_connect = on_notify, on_connect
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._answered = 0.0
        self._lost = False  # and logged

    @property
    def listening(self) -> bool:
        """Whether the server answered on this connection within the last heartbeat."""
        silence = time.monotonic() - self._answered
        return self._connection is not None and silence < self._heartbeat + self._answer_deadline

    def drop(self) -> None:
        """Close this connection; another one is opened after a pause."""
        if self._connection is not None:
            cut(self._connection)
            self._connection = None

    async def run(self) -> None:
        """Listen for ever; reconnect after a pause when the connection is lost or silent."""
        pause = FIRST_RECONNECT_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError) as error:
                if not self._lost:
                    log.warning("registry_listener_lost", error=type(error).__name__, detail=first_line(error))
                self._lost = True
            self._connection = None
            # With jitter, so that not all replicas connect at once to a server that has recovered.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            lasted = time.monotonic() - began > MAX_RECONNECT_PAUSE_SECONDS
            pause = FIRST_RECONNECT_PAUSE_SECONDS if lasted else min(2 * pause, MAX_RECONNECT_PAUSE_SECONDS)

    async def _listen(self) -> None:
        async with asyncio.timeout(self._answer_deadline):
            connection = await psycopg.AsyncConnection.connect(autocommit=True, **_parameters(self._url))
        try:
            await self._ask(connection, f"listen {CHANNEL}")
            self._connection = connection
            if self._lost:
                log.info("registry_listening_again")
            self._lost = False
            self._on_connect()
            while self._connection is connection:
                async for notice in connection.notifies(timeout=self._heartbeat):
                    self._on_notify(_version(notice.payload))
                await self._ask(connection, "select 1")
        finally:
            await connection.close()

    async def _ask(self, connection: psycopg.AsyncConnection[Any], statement: str) -> None:
        """Execute a statement; without an answer in time the connection is cut. A hanging server keeps sockets open."""
        timer = asyncio.get_running_loop().call_later(self._answer_deadline, cut, connection)
        try:
            await connection.execute(statement.encode())
        finally:
            timer.cancel()
        self._answered = time.monotonic()


def _parameters(url: str) -> dict[str, Any]:
    """The engine's parameters of this URL, hosts and TLS options included."""
    _, parameters = connect_arguments(url)
    timeout = int(ANSWER_DEADLINE_SECONDS)
    return {"connect_timeout": timeout, "application_name": "tenants-api feed", **KEEPALIVE, **parameters}


def _version(payload: str) -> int:
    """The version in `<version> <tenant id>`; 0 for any other payload."""
    number = payload.partition(" ")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 18 else 0
