"""Restricts development realms to this machine, because their passwords are public."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def require_loopback(host: str) -> str:
    """The host, if it is a loopback address. Raises ValueError otherwise."""
    if is_loopback_name(host):
        return host
    raise ValueError(f"{host!r} is not a loopback address, on which development realms listen; use 127.0.0.1")


class LoopbackOnly:
    """403 unless the client is on this machine and the request's Host is this machine.

    The Host stops DNS rebinding: a page whose name resolves to 127.0.0.1 sends requests from a loopback address, too. A
    forwarded request is refused because its client is on another machine. `hosts` are further Host names, for tests
    without a socket.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = _LOCAL_NAMES | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_local(scope):
            refusal = JSONResponse(
                {"error": "development realms accept requests of this machine only"}, status_code=403
            )
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_local(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        if "forwarded" in headers or "x-forwarded-for" in headers:
            return False
        hosts = headers.getlist("host")
        return _from_this_machine(scope.get("client")) and len(hosts) == 1 and host_name(hosts[0]) in self._hosts


def host_name(authority: str) -> str | None:
    """`localhost` of `localhost:8080`, `::1` of `[::1]:8080`; None for a text in another form."""
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port  # raises on a port that is not a number
    except ValueError:
        return None
    return parts.hostname if parts.netloc == authority and "@" not in authority else None


def is_loopback_name(host: str | None) -> bool:
    """Whether a host is `localhost` or a loopback address, without brackets and port."""
    return host is not None and (host == "localhost" or _is_loopback(host))


def _from_this_machine(client: tuple[str, int] | None) -> bool:
    """Also True for a Unix socket, which has no client address or an empty one."""
    return client is None or not client[0] or _is_loopback(client[0])


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
