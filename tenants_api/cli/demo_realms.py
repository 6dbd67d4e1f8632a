"""Where the demo's tokens come from: Keycloak's token endpoint, served by development realms or by a real Keycloak.

Both have the same realms, clients and users: alice (editor), bob (viewer) and carol (admin), password `<name>-pw`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tenants_api.cli.exits import Stopped
from tenants_api.devrealms import serve_dev_realms

USERS = {"editor": "alice", "viewer": "bob", "admin": "carol"}
TOKEN_PATH = "/protocol/openid-connect/token"  # noqa: S105 - a path


@dataclass(frozen=True, slots=True)
class TokenRealms:
    """Implements the story's `Realms` by the password grant; how keys rotate is handed in."""

    title: str
    base_url: str
    rotate_keys: Callable[[str], Awaitable[None]]

    @property
    def port(self) -> int:
        return int(self.base_url.rpartition(":")[2])

    @property
    def host(self) -> str:
        """`host:port`, as TENANTS_INSECURE_HTTP_HOSTS wants it."""
        return self.base_url.partition("://")[2]

    def issuer(self, realm: str) -> str:
        return f"{self.base_url}/realms/{realm}"

    async def token(self, realm: str, *, role: str) -> str:
        form = {"grant_type": "password", "client_id": "web", **self._credentials(role)}
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            answer = await client.post(self.issuer(realm) + TOKEN_PATH, data=form)
        if answer.status_code != 200:
            raise Stopped(f"{self.title}: no token for {form['username']} of {realm}: HTTP {answer.status_code}")
        return str(answer.json()["access_token"])

    async def rotate(self, realm: str) -> None:
        await self.rotate_keys(realm)

    def token_command(self, realm: str, *, role: str) -> str:
        """A shell command that prints a fresh token."""
        user = self._credentials(role)
        return (
            f"curl -s {self.issuer(realm)}{TOKEN_PATH} -d grant_type=password -d client_id=web"
            f" -d username={user['username']} -d password={user['password']}"
            """ | python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])'"""
        )

    def _credentials(self, role: str) -> dict[str, str]:
        return {"username": USERS[role], "password": f"{USERS[role]}-pw"}


@asynccontextmanager
async def development_realms(names: Sequence[str]) -> AsyncIterator[TokenRealms]:
    """Development realms on a free port, in a thread of this process."""
    with serve_dev_realms(names) as server:

        async def rotate(realm: str) -> None:
            # Making an RSA key takes long enough to be noticed in the next step's time.
            await asyncio.to_thread(server.realm(realm).rotate)

        yield TokenRealms("development realms", server.base_url, rotate)


def free_port() -> int:
    """A port of the loopback interface that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_of(log: Path) -> str:
    """The last lines of a log, for a message."""
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-15:])
