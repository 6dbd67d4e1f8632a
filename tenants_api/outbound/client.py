"""HTTP to realms, guarded: resolve once, check every address, connect to a checked one, read a bounded answer.

A realm is a stranger's server. Nothing that it sends chooses a target: redirects are errors, proxies of the
environment are not used, cookies are not kept, no connection serves two fetches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import httpx

from tenants_api.outbound.errors import RealmFault
from tenants_api.outbound.resolving import SystemResolver
from tenants_api.outbound.targets import Address, Resolver, TargetPolicy
from tenants_api.outbound.tls import Transports, untrusted
from tenants_api.outbound.urls import check_target

MAX_PIECES = 2048  # of one body; proxies send kilobytes at once, and a piece of one byte costs as much as a large one
PIECES_PER_TURN = 32  # pieces after which others have their turn: many thousands may lie there already


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
        if len(read) % PIECES_PER_TURN == 0:
            await asyncio.sleep(0)
    return b"".join(read)


@dataclass(slots=True)
class _Host:
    free: asyncio.Semaphore
    users: int = 0


class Slots:
    """At most `total` fetches at once, at most `per_host` of them to one host.

    A fetch queues for its host first: those that wait for a hanging host hold no slot of the others. Waiting has a
    deadline of its own (seconds), so that a fetch's own time starts when it may really go out.
    """

    def __init__(self, total: int, *, per_host: int, wait: float) -> None:
        self._free = asyncio.Semaphore(total)
        self._per_host, self._wait = per_host, wait
        self._hosts: dict[str, _Host] = {}

    def __len__(self) -> int:
        """Hosts that are in use now; others are forgotten."""
        return len(self._hosts)

    @asynccontextmanager
    async def taken(self, host: str) -> AsyncIterator[None]:
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


MAX_TRIES = 4  # addresses of one name
_HEADERS = {
    "Accept": "application/json",
    # Nothing compressed is asked for and nothing compressed is read: 484 bytes can become 200 MB.
    "Accept-Encoding": "identity",
    # A pool knows a connection by address and port. Two realms behind one address would share a kept one, and the
    # second one's certificate would never be looked at: every fetch has a connection of its own.
    "Connection": "close",
    "User-Agent": "tenants-api",
}


@dataclass(frozen=True, slots=True)
class RealmAnswer:
    """What came back: never more than the cap, never decompressed."""

    status: int
    body: bytes
    content_type: str


class RealmClient:
    """Fetches from realms.

    `total_timeout` (seconds) covers name resolution, connection, head and body of one fetch. Waiting for one of the
    `max_connections` slots has the same time again, and one host gets `per_host` of them at most: realms that hang
    keep those waiting that share their host, and others only when sixteen such hosts hang at once.
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

    async def get(self, url: str, *, ca_bundle: str | None = None) -> RealmAnswer:
        """GET. Raises RealmFault."""
        return await self._request("GET", url, ca_bundle=ca_bundle, form=None)

    async def post_form(self, url: str, form: Mapping[str, str], *, ca_bundle: str | None = None) -> RealmAnswer:
        """POST a form. Raises RealmFault."""
        return await self._request("POST", url, ca_bundle=ca_bundle, form=form)

    async def aclose(self) -> None:
        self._system.close()
        await self._transports.aclose()

    async def _request(
        self, method: str, url: str, *, ca_bundle: str | None, form: Mapping[str, str] | None
    ) -> RealmAnswer:
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
            async with self._slots.taken(f"{_host(request.url)}:{_port(request.url)}"):
                return await self._fetch(request, transport=transport)
        except TimeoutError as error:
            message = f"{url} could not be asked: too many fetches from this host are under way; try again"
            raise RealmFault("TimedOut", message=message) from error

    async def _fetch(self, request: httpx.Request, *, transport: httpx.AsyncHTTPTransport) -> RealmAnswer:
        try:
            # One deadline round everything: httpx's own are per operation, and a drip never reaches them.
            async with asyncio.timeout(self._total_timeout):
                addresses = await self._addresses(request.url)
                return await self._try_each(request, addresses=addresses, transport=transport)
        except TimeoutError as error:
            message = f"{request.url} gave no whole answer within {self._total_timeout:g} s; is it reachable from here?"
            raise RealmFault("TimedOut", message=message) from error

    async def _addresses(self, target: httpx.URL) -> list[Address]:
        host = _host(target)
        try:
            found = await self._resolve(host, _port(target))
        except OSError as error:
            message = f"the host {host!r} cannot be resolved; check its name and this machine's DNS"
            raise RealmFault("Unreachable", message=message) from error
        for address in found:
            # Every one: a name with one good and one bad address is refused.
            self._policy.check_address(address, host=host)
        if not found:
            raise RealmFault("Unreachable", message=f"the host {host!r} has no address; check this machine's DNS")
        return found

    async def _try_each(
        self, request: httpx.Request, *, addresses: list[Address], transport: httpx.AsyncHTTPTransport
    ) -> RealmAnswer:
        refused: Exception | None = None
        for address in addresses[:MAX_TRIES]:
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
        message = (
            f"no connection to {_host(request.url)}:{_port(request.url)}; is Keycloak running and reachable from here?"
        )
        raise RealmFault("Unreachable", message=message) from refused

    async def _read(self, response: httpx.Response, *, url: httpx.URL) -> RealmAnswer:
        try:
            _check_head(response, url=url)
            body = await read_body(response.aiter_raw(), most=self._max_bytes, url=str(url))
        except httpx.HTTPError as error:
            raise _broken(url) from error
        finally:
            await response.aclose()
        return RealmAnswer(response.status_code, body, response.headers.get("content-type", ""))


def _pinned(request: httpx.Request, *, address: Address) -> httpx.Request:
    """The request to the checked address itself, so that no second look-up can give another one.

    Host, SNI and the name that the certificate must bear stay those of the URL.
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
            f"{url} redirects (status {response.status_code}); redirects are not followed: register the URL that "
            "answers itself"
        )
        raise RealmFault("Redirected", message=message)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        message = f"{url} sends a compressed answer although identity was asked for; switch compression off there"
        raise RealmFault("NotJson", message=message)


def _broken(url: httpx.URL) -> RealmFault:
    message = f"{url} broke off its answer or does not speak HTTP/1.1; check the port and what stands before Keycloak"
    return RealmFault("Unreachable", message=message)


def _host(target: httpx.URL) -> str:
    """The host as it is registered. `httpx.URL.host` decodes international names.

    What it decodes, `getaddrinfo` encodes anew by the older IDNA 2003: of `xn--fa-hia` it makes `fass`, another host.
    """
    return target.raw_host.decode("ascii")


def _port(target: httpx.URL) -> int:
    return target.port or (443 if target.scheme == "https" else 80)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
