"""The API as the demo sees it: one kept connection to each worker process, so that a step can ask every one of them.

`serve --show-worker` names the answering process in `X-Worker`; that is how the demo knows which worker spoke.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

ATTEMPT = 8  # connections opened at once: an idle worker takes some of them while the other is busy
DEADLINE = 30.0  # seconds for one request


@dataclass(frozen=True, slots=True)
class Answer:
    """What one worker said: `worker` is its process id, `body` the JSON object or {}."""

    worker: str
    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """The problem's code; empty where the answer is no problem."""
        return str(self.body.get("code", ""))


class Workers:
    """Connections to the workers of one API. `count` is how many workers there are."""

    def __init__(self, base_url: str, *, admin_key: str, count: int) -> None:
        self.base_url = base_url
        self.count = count
        self._admin = {"Authorization": f"Bearer {admin_key}"}
        self._kept: dict[str, httpx.AsyncClient] = {}

    async def connect(self, *, within: float, alive: Callable[[], bool] = lambda: True) -> None:
        """Keep a connection to every worker; gives up when the server is no longer `alive`.

        Raises:
            TimeoutError: not all of them answered in that many seconds.
        """
        deadline = time.monotonic() + within
        while len(self._kept) < self.count:
            if time.monotonic() > deadline or not alive():
                raise TimeoutError(f"{len(self._kept)} of {self.count} workers answered")
            if not await self._find_more():
                await asyncio.sleep(0.05)

    async def every(self, path: str, *, token: str) -> list[Answer]:
        """GET the path from every worker."""
        for _ in range(3):
            answers = [
                await _send(client, "GET", path, headers={"Authorization": f"Bearer {token}"})
                for client in self._kept.values()
            ]
            if {answer.worker for answer in answers} == set(self._kept):
                return answers
            # A worker closed an idle connection, and the new one went to another worker.
            await self.aclose()
            await self.connect(within=DEADLINE)
        return answers

    async def post(self, path: str, *, token: str, body: dict[str, Any]) -> Answer:
        """POST to whichever worker takes it."""
        headers = {"Authorization": f"Bearer {token}"}
        async with _client(self.base_url) as client:
            return await _send(client, "POST", path, headers=headers, body=body)

    async def admin(self, path: str, *, body: dict[str, Any]) -> Answer:
        """POST to the admin plane."""
        async with _client(self.base_url) as client:
            return await _send(client, "POST", f"/admin/v1{path}", headers=self._admin, body=body)

    async def aclose(self) -> None:
        for client in self._kept.values():
            await client.aclose()
        self._kept.clear()

    async def _find_more(self) -> bool:
        clients = [_client(self.base_url) for _ in range(ATTEMPT)]
        workers = await asyncio.gather(*(_worker_of(client) for client in clients))
        before = len(self._kept)
        for client, worker in zip(clients, workers, strict=True):
            if worker is None or worker in self._kept:
                await client.aclose()
            else:
                self._kept[worker] = client
        return len(self._kept) > before


def _client(base_url: str) -> httpx.AsyncClient:
    # trust_env: a proxy of the environment must not come between the demo and its own machine.
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=DEADLINE,
        trust_env=False,
        limits=httpx.Limits(max_connections=1),
        verify=_no_authorities(),
    )


@cache
def _no_authorities() -> ssl.SSLContext:
    """The demo speaks plain http to its own machine: a context that trusts nobody is made in no time.

    The usual one reads every authority of the machine, for each client anew.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def _worker_of(client: httpx.AsyncClient) -> str | None:
    try:
        answer = await client.get("/livez")
    except httpx.TransportError:
        return None
    return answer.headers.get("x-worker") if answer.status_code == 200 else None


async def _send(
    client: httpx.AsyncClient, method: str, path: str, *, headers: dict[str, str], body: dict[str, Any] | None = None
) -> Answer:
    answer = await client.request(method, path, headers=headers, json=body)
    is_json = "json" in answer.headers.get("content-type", "")
    found = answer.json() if is_json else {}
    return Answer(answer.headers.get("x-worker", ""), answer.status_code, found if isinstance(found, dict) else {})
