"""The HTTP client for realms: resolves once, checks every address, connects to a checked one, reads a bounded response.

A realm is a server of another party. No response chooses a target: redirects are errors, proxies of the environment
are not used, cookies are not stored, and each fetch has a connection of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import httpx

from tenants_api.outbound.errors import RealmFault, not_reached
from tenants_api.outbound.resolving import SystemResolver
from tenants_api.outbound.targets import Address, Resolver, TargetPolicy
from tenants_api.outbound.tls import Transports, untrusted
from tenants_api.outbound.urls import check_target

MAX_BODY_PIECES = 2048  # proxies send kilobytes at once, and a piece of one byte costs as much as a large one
PIECES_PER_TURN = 32  # between two yields to the event loop: thousands of pieces may be buffered


async def read_body(pieces: AsyncIterator[bytes], *, max_bytes: int, url: str) -> bytes:
    """Join the pieces of a body. Raises RealmFault (`TooLarge`)."""
    read: list[bytes] = []
    size = 0
    async for piece in pieces:
        size += len(piece)
        read.append(piece)
        if size > max_bytes:
            message = f"{url} sends more than {max_bytes} bytes; expected a small JSON document"
            raise RealmFault("TooLarge", message=message)
        if len(read) > MAX_BODY_PIECES:
            message = f"{url} sends its response in more than {MAX_BODY_PIECES} pieces; expected a small JSON document"
            raise RealmFault("TooLarge", message=message)
        if len(read) % PIECES_PER_TURN == 0:
            await asyncio.sleep(0)
    return b"".join(read)


@dataclass(slots=True)
class _Host:
    free: asyncio.Semaphore
    users: int = 0


class Slots:
    """At most `total` fetches at once, at most `per_host` of them to one host.

    A fetch waits for its host's slot first, so that fetches to a hanging host hold no slots of others. `wait` (seconds)
    is the deadline for a slot; a fetch's own deadline begins after it.
    """

    def __init__(self, total: int, *, per_host: int, wait: float) -> None:
        self._free = asyncio.Semaphore(total)
        self._per_host, self._wait = per_host, wait
        self._hosts: dict[str, _Host] = {}

    def __len__(self) -> int:
        """How many hosts are in use now."""
        return len(self._hosts)

    @asynccontextmanager
    async def hold(self, host: str) -> AsyncIterator[None]:
        """Hold a slot.

        Raises:
            TimeoutError: none became free in time.
        """
        entry = self._hosts.setdefault(host, _Host(asyncio.Semaphore(self._per_host)))
        entry.users += 1
        try:
            async with asyncio.timeout(self._wait) as waiting, entry.free, self._free:
                waiting.reschedule(None)
                yield
        finally:
            entry.users -= 1
            if not entry.users:
                del self._hosts[host]


MAX_TRIED_ADDRESSES = 4  # of one host
_HEADERS = {
    "Accept": "application/json",
    # Compressed responses are refused: 484 bytes can become 200 MB.
    "Accept-Encoding": "identity",
    # A pool identifies a connection by address and port. Two realms behind one address would share a pooled one, and
    # the second realm's certificate would never be checked.
    "Connection": "close",
    "User-Agent": "tenants-api",
}


@dataclass(frozen=True, slots=True)
class RealmResponse:
    """A response within the size limit, never decompressed."""

    status: int
    body: bytes
    content_type: str


class RealmClient:
    """Fetches from realms.

    `total_timeout` (seconds) covers name resolution, connection, head and body of one fetch; the wait for one of the
    `max_connections` slots has the same timeout again. One host gets `per_host` slots at most: realms that hang delay
    realms of other hosts only when sixteen such hosts hang at once.
    """

    def __init__(
        self,
        policy: TargetPolicy,
        *,
        resolver: Resolver | None = None,
        connect_timeout: float = 2.0,
        total_timeout: float = 5.0,
        max_bytes: int = 262_144,
        max_connections: int = 128,
        per_host: int = 8,
    ) -> None:
        self._system = SystemResolver()
        self._policy, self._resolve = policy, resolver or self._system
        self._total_timeout, self._max_bytes = total_timeout, max_bytes
        self._timeouts = httpx.Timeout(total_timeout, connect=connect_timeout).as_dict()
        self._slots = Slots(max_connections, per_host=per_host, wait=total_timeout)
        self._transports = Transports()

    async def get(self, url: str, *, ca_bundle: str | None = None) -> RealmResponse:
        """GET. Raises RealmFault."""
        return await self._request("GET", url, ca_bundle=ca_bundle, form=None)

    async def post_form(self, url: str, form: Mapping[str, str], *, ca_bundle: str | None = None) -> RealmResponse:
        """POST a form. Raises RealmFault."""
        return await self._request("POST", url, ca_bundle=ca_bundle, form=form)

    async def aclose(self) -> None:
        self._system.close()
        await self._transports.aclose()

    async def _request(
        self, method: str, url: str, *, ca_bundle: str | None, form: Mapping[str, str] | None
    ) -> RealmResponse:
        check_target(url, policy=self._policy)  # again at every fetch: the policy may be narrower than it was
        request = httpx.Request(
            method,
            url,
            headers=_HEADERS,
            data=dict(form) if form is not None else None,
            extensions={"timeout": self._timeouts},
        )
        transport = await self._transports.get(ca_bundle)
        try:
            async with self._slots.hold(f"{_host(request.url)}:{_port(request.url)}"):
                return await self._fetch(request, transport=transport)
        except TimeoutError as error:
            message = f"{url} could not be fetched: too many fetches from this host are under way; try again"
            raise RealmFault("TimedOut", message=message) from error

    async def _fetch(self, request: httpx.Request, *, transport: httpx.AsyncHTTPTransport) -> RealmResponse:
        try:
            # One deadline for everything: httpx's own are per operation, and a slow drip never reaches them.
            async with asyncio.timeout(self._total_timeout):
                addresses = await self._addresses(request.url)
                return await self._try_each(request, addresses=addresses, transport=transport)
        except TimeoutError as error:
            message = f"{request.url} sent no complete response within {self._total_timeout:g} s; is it reachable?"
            raise not_reached("TimedOut", message=message) from error

    async def _addresses(self, target: httpx.URL) -> list[Address]:
        host = _host(target)
        try:
            found = await self._resolve(host, _port(target))
        except OSError as error:
            message = f"the host {host!r} cannot be resolved; check its name and this machine's DNS"
            raise not_reached("Unreachable", message=message) from error
        for address in found:
            # All of them: a name with one good and one bad address is refused.
            self._policy.check_address(address, host=host)
        if not found:
            raise not_reached("Unreachable", message=f"the host {host!r} has no address; check this machine's DNS")
        return found

    async def _try_each(
        self, request: httpx.Request, *, addresses: list[Address], transport: httpx.AsyncHTTPTransport
    ) -> RealmResponse:
        refused: Exception | None = None
        for address in addresses[:MAX_TRIED_ADDRESSES]:
            try:
                response = await transport.handle_async_request(_pinned(request, address=address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                fault = untrusted(error, url=str(request.url))
                if fault is not None:
                    raise fault from error
                refused = error
            except httpx.HTTPError as error:
                raise _broken(request.url) from error
            else:
                return await self._read(response, url=request.url)
        message = f"no connection to {_host(request.url)}:{_port(request.url)}; is Keycloak running and reachable?"
        raise not_reached("Unreachable", message=message) from refused

    async def _read(self, response: httpx.Response, *, url: httpx.URL) -> RealmResponse:
        try:
            _check_head(response, url=url)
            body = await read_body(response.aiter_raw(), max_bytes=self._max_bytes, url=str(url))
        except httpx.HTTPError as error:
            raise _broken(url) from error
        finally:
            await response.aclose()
        return RealmResponse(response.status_code, body, response.headers.get("content-type", ""))


def _pinned(request: httpx.Request, *, address: Address) -> httpx.Request:
    """The request to the checked address itself, so that no second look-up can give another one.

    Host, SNI and the certificate's expected name stay those of the URL.
    """
    host = _host(request.url)
    name = {} if _is_literal(host) else {"sni_hostname": host}
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        content=request.content or None,
        extensions={**request.extensions, **name},
    )


def _check_head(response: httpx.Response, *, url: httpx.URL) -> None:
    if 300 <= response.status_code < 400:
        message = (
            f"{url} redirects (status {response.status_code}), and redirects are not followed; register the URL that "
            "it redirects to"
        )
        raise RealmFault("Redirected", message=message)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        message = f"{url} sends a compressed response to a request for identity; switch compression off there"
        raise RealmFault("NotJson", message=message)


def _broken(url: httpx.URL) -> RealmFault:
    message = f"{url} ended its response early or does not speak HTTP/1.1; check the port and the proxy of Keycloak"
    return RealmFault("Unreachable", message=message)


def _host(target: httpx.URL) -> str:
    """The host as it is registered."""
    # `httpx.URL.host` decodes international names, which `getaddrinfo` encodes by the older IDNA 2003: `xn--fa-hia`
    # would become `fass`, another host.
    return target.raw_host.decode("ascii")


def _port(target: httpx.URL) -> int:
    return target.port or (443 if target.scheme == "https" else 80)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
