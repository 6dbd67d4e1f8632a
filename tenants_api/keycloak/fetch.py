"""HTTP to realms, guarded: resolve once, check every address, connect to a checked one, read a bounded answer.

A realm is a stranger's server. Nothing that it sends chooses a target: redirects are errors, proxies of the
environment are not used, cookies are not kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

import httpx

from tenants_api.keycloak.errors import RealmFault
from tenants_api.keycloak.targets import Address, Resolver, TargetPolicy, system_resolver
from tenants_api.keycloak.urls import parse_issuer

MAX_CLIENTS = 64  # connection pools kept for realms with a CA of their own
_HEADERS = {
    "Accept": "application/json",
    # Nothing compressed is asked for and nothing compressed is read: 484 bytes can become 200 MB.
    "Accept-Encoding": "identity",
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
    """Fetches from realms. One connection pool for all realms, one more for each CA bundle in use."""

    def __init__(
        self,
        policy: TargetPolicy,
        *,
        resolver: Resolver = system_resolver,
        connect_timeout: float = 2.0,
        total_timeout: float = 5.0,
        max_bytes: int = 262_144,
        max_connections: int = 8,
    ) -> None:
        self._policy, self._resolve = policy, resolver
        self._connect_timeout, self._total_timeout = connect_timeout, total_timeout
        self._max_bytes = max_bytes
        # No connection is kept: the pool knows them by address, and two realms behind one address would share one, so
        # that the second realm's certificate would never be checked.
        self._limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=0)
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def get(self, url: str, *, ca_bundle: str | None = None) -> RealmAnswer:
        """GET. Raises RealmFault."""
        return await self._request("GET", url, ca_bundle=ca_bundle, form=None)

    async def post_form(self, url: str, form: Mapping[str, str], *, ca_bundle: str | None = None) -> RealmAnswer:
        """POST a form. Raises RealmFault."""
        return await self._request("POST", url, ca_bundle=ca_bundle, form=form)

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def _request(
        self, method: str, url: str, *, ca_bundle: str | None, form: Mapping[str, str] | None
    ) -> RealmAnswer:
        parse_issuer(url, policy=self._policy)  # again at every fetch: the policy may be narrower than it was
        target = httpx.URL(url)
        try:
            # One deadline round everything: httpx's own are per operation, and a drip never reaches them.
            async with asyncio.timeout(self._total_timeout):
                addresses = await self._addresses(target)
                return await self._try_each(method, target, addresses=addresses, ca_bundle=ca_bundle, form=form)
        except TimeoutError as error:
            message = f"{url} gave no whole answer within {self._total_timeout:g} s; is it reachable from here?"
            raise RealmFault("TimedOut", message=message) from error

    async def _addresses(self, target: httpx.URL) -> list[Address]:
        try:
            found = await self._resolve(target.host, _port(target))
        except OSError as error:
            message = f"the host {target.host!r} cannot be resolved; check its name and this machine's DNS"
            raise RealmFault("Unreachable", message=message) from error
        for address in found:
            self._policy.check_address(address)  # every one: a name with one good and one bad address is refused
        if not found:
            raise RealmFault("Unreachable", message=f"the host {target.host!r} has no address")
        return found

    async def _try_each(
        self,
        method: str,
        target: httpx.URL,
        *,
        addresses: list[Address],
        ca_bundle: str | None,
        form: Mapping[str, str] | None,
    ) -> RealmAnswer:
        client = self._client(ca_bundle)
        refused: Exception | None = None
        for address in addresses[:4]:
            request = client.build_request(
                method,
                # The checked address itself is connected to, so no second look-up can give another one; TLS and
                # Host keep the name.
                target.copy_with(host=str(address)),
                headers={**_HEADERS, "Host": target.netloc.decode("ascii")},
                data=dict(form) if form is not None else None,
                extensions={"sni_hostname": target.host} if not _is_literal(target.host) else {},
            )
            try:
                return await self._read(client, request, url=str(target))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if _is_tls(error):
                    raise _untrusted(str(target)) from error
                refused = error
        message = f"no connection to {target.host}:{_port(target)}; is Keycloak running and reachable from here?"
        raise RealmFault("Unreachable", message=message) from refused

    async def _read(self, client: httpx.AsyncClient, request: httpx.Request, *, url: str) -> RealmAnswer:
        try:
            response = await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise
        except httpx.HTTPError as error:
            raise RealmFault("Unreachable", message=f"{url} broke off its answer; try again") from error
        try:
            client.cookies.clear()
            self._check_head(response, url=url)
            return RealmAnswer(
                response.status_code, await self._body(response, url=url), response.headers.get("content-type", "")
            )
        except httpx.HTTPError as error:
            raise RealmFault("Unreachable", message=f"{url} broke off its answer; try again") from error
        finally:
            await response.aclose()

    def _check_head(self, response: httpx.Response, *, url: str) -> None:
        if 300 <= response.status_code < 400:
            message = (
                f"{url} redirects (status {response.status_code}); redirects are not followed: register the URL that "
                "answers itself"
            )
            raise RealmFault("Redirected", message=message)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            message = f"{url} sends a compressed answer although identity was asked for; switch compression off there"
            raise RealmFault("NotJson", message=message)

    async def _body(self, response: httpx.Response, *, url: str) -> bytes:
        parts, size = [], 0
        async for part in response.aiter_raw():
            size += len(part)
            if size > self._max_bytes:
                message = f"{url} sends more than {self._max_bytes} bytes; expected a small JSON document"
                raise RealmFault("TooLarge", message=message)
            parts.append(part)
        return b"".join(parts)

    def _client(self, ca_bundle: str | None) -> httpx.AsyncClient:
        name = hashlib.sha256(ca_bundle.encode()).hexdigest() if ca_bundle is not None else ""
        client = self._clients.get(name)
        if client is None:
            client = httpx.AsyncClient(
                verify=_tls(ca_bundle),
                follow_redirects=False,  # a redirect would leave the checked target
                trust_env=False,  # no proxy, no .netrc, no CA file from the environment
                timeout=httpx.Timeout(self._total_timeout, connect=self._connect_timeout),
                limits=self._limits,
            )
            if len(self._clients) >= MAX_CLIENTS:
                self._clients.pop(next(key for key in self._clients if key))
            self._clients[name] = client
        return client


def _tls(ca_bundle: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cadata=ca_bundle)
        except (ssl.SSLError, ValueError) as error:
            message = "ca_bundle is not a PEM bundle; give the CA's certificate as PEM text"
            raise RealmFault("TlsUntrusted", message=message) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _untrusted(url: str) -> RealmFault:
    message = (
        f"the certificate of {url} is not trusted (unknown authority, expired, or for another name); set ca_bundle to "
        "the PEM of the CA that issued it, or renew it"
    )
    return RealmFault("TlsUntrusted", message=message)


def _is_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _port(target: httpx.URL) -> int:
    return target.port or (443 if target.scheme == "https" else 80)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
