"""Look-ups of host names: one whose name servers are dead keeps only itself waiting. Real threads, no DNS."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from threading import Event, Lock
from typing import Any

import pytest

from tenants_api.keycloak.realm import fetch_jwks
from tenants_api.outbound.client import RealmClient
from tenants_api.outbound.errors import RealmFault
from tenants_api.outbound.resolving import HostKind, SystemResolver
from tenants_api.outbound.targets import target_policy
from tests.support.fetching import KEYS
from tests.support.sockets import http, serving
from tests.support.waiting import until

DEADLINE = 1.0  # seconds for a look-up: a busy machine answers one within it
ALL_THREADS_OF_A_LOOP = 32 + (os.cpu_count() or 1)
FEW: dict[HostKind, int] = {"answered": 2, "new": 2, "slow": 1}


class NameServers:
    """Stands for `getaddrinfo`: hosts that hold `dead` in their name have no answer until `revived` is set."""

    def __init__(self) -> None:
        self.revived, self.asked, self.running = Event(), Counter[str](), Counter[str]()
        self.most_at_once = Counter[str]()
        self._lock = Lock()

    def look_up(self, host: str, port: int, family: int, kind: int) -> list[tuple[Any, ...]]:
        with self._lock:
            self.asked[host] += 1
            self.running[host] += 1
            self.most_at_once[host] = max(self.most_at_once[host], self.running[host])
        try:
            if "dead" in host:
                self.revived.wait()
            if "unknown" in host:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        finally:
            with self._lock:
                self.running[host] -= 1
        return [(family, kind, 6, "", ("127.0.0.1", port)), (family, kind, 6, "", ("fe80::1%eth0", port, 0, 1))]


@contextmanager
def name_servers() -> Iterator[NameServers]:
    servers = NameServers()
    try:
        yield servers
    finally:
        servers.revived.set()


@asynccontextmanager
async def resolving(
    servers: NameServers, *, places: dict[HostKind, int] | None = None, deadline: float = DEADLINE
) -> AsyncIterator[SystemResolver]:
    resolver = SystemResolver(look_up=servers.look_up, deadline=deadline, places=places)
    try:
        yield resolver
    finally:
        resolver.close()


async def fault(resolver: SystemResolver, host: str) -> RealmFault:
    with pytest.raises(RealmFault) as caught:
        await resolver(host, 443)
    return caught.value


async def test_all_addresses_of_a_host_are_found() -> None:
    with name_servers() as servers:
        async with resolving(servers) as resolver:
            assert [str(address) for address in await resolver("kc.acme.test", 443)] == ["127.0.0.1", "fe80::1"]


async def test_host_without_an_address_says_so() -> None:
    with name_servers() as servers:
        async with resolving(servers) as resolver:
            with pytest.raises(socket.gaierror):
                await resolver("unknown.acme.test", 443)


async def test_dead_name_server_of_one_tenant_stops_no_look_up_of_another() -> None:
    with name_servers() as servers:
        async with resolving(servers) as resolver:
            for _ in range(ALL_THREADS_OF_A_LOOP):
                assert "kc.dead.test" in (await fault(resolver, "kc.dead.test")).message
            assert await resolver("kc.acme.test", 443)
            assert servers.asked == {"kc.dead.test": 1, "kc.acme.test": 1}


async def test_host_is_looked_up_once_at_a_time_and_callers_share_the_answer() -> None:
    with name_servers() as servers:
        async with resolving(servers, deadline=60) as resolver:
            both = asyncio.gather(*(resolver("kc.dead.test", 443) for _ in range(20)))
            await until(lambda: servers.running["kc.dead.test"])
            servers.revived.set()
            assert len(await both) == 20
    assert servers.most_at_once["kc.dead.test"] == 1


async def test_host_whose_look_up_is_overdue_is_refused_at_once() -> None:
    with name_servers() as servers:
        async with resolving(servers) as resolver:
            await fault(resolver, "kc.dead.test")
            with pytest.raises(RealmFault):
                resolver("kc.dead.test", 443).send(None)  # the first step of the coroutine: it waits for nothing


async def test_place_is_occupied_until_the_thread_returns() -> None:
    with name_servers() as servers:
        async with resolving(servers, places=FEW) as resolver:
            await asyncio.gather(*(fault(resolver, f"{number}.dead.test") for number in range(2)))
            refused = await fault(resolver, "new.acme.test")
            assert "too many other new hosts" in refused.message
            assert "check this machine's DNS" in refused.message
            servers.revived.set()
            await until(lambda: not resolver.occupied)
            assert await resolver("new.acme.test", 443)


async def test_dead_hosts_of_a_hostile_tenant_leave_places_for_hosts_that_answer() -> None:
    """However many of them are registered, and whether or not they were looked up before."""
    with name_servers() as servers:
        async with resolving(servers, places=FEW) as resolver:
            assert await resolver("kc.acme.test", 443)
            await asyncio.gather(*(fault(resolver, f"{number}.dead.test") for number in range(50)))
            assert await resolver("kc.acme.test", 443)


async def test_hosts_that_were_slow_leave_the_places_of_new_ones() -> None:
    with name_servers() as servers:
        async with resolving(servers, places=FEW) as resolver:
            await asyncio.gather(*(fault(resolver, f"{number}.dead.test") for number in range(2)))
            servers.revived.set()
            await until(lambda: not resolver.occupied)
            servers.revived.clear()
            await asyncio.gather(*(fault(resolver, f"{number}.dead.test") for number in range(2)))
            assert await resolver("new.acme.test", 443)


async def test_host_that_answers_again_is_resolved_again() -> None:
    with name_servers() as servers:
        async with resolving(servers) as resolver:
            await fault(resolver, "kc.dead.test")
            servers.revived.set()
            await until(lambda: not resolver.occupied)
            assert await resolver("kc.dead.test", 443)


async def test_caller_that_gives_up_ends_no_look_up_of_the_others() -> None:
    with name_servers() as servers:
        async with resolving(servers, deadline=60) as resolver:
            first = asyncio.create_task(resolver("kc.dead.test", 443))
            second = asyncio.create_task(resolver("kc.dead.test", 443))
            await until(lambda: servers.running["kc.dead.test"])
            first.cancel()
            servers.revived.set()
            assert await second


async def test_dead_name_server_stops_no_fetch_of_keys_of_another_tenant() -> None:
    with name_servers() as servers:
        async with serving(http(KEYS)) as server, resolving(servers) as resolver:
            policy = target_policy(
                insecure_http_hosts=("kc.acme.test", "kc.dead.test"),
                allowed_private_networks=("127.0.0.0/8", "fe80::/10"),
                allowed_ports=(server.port,),
            )
            client = RealmClient(policy, resolver=resolver)
            for _ in range(ALL_THREADS_OF_A_LOOP):
                with pytest.raises(RealmFault, match=r"Unreachable.*kc\.dead\.test"):
                    await fetch_jwks(client, f"http://kc.dead.test:{server.port}/realms/a")
            assert await fetch_jwks(client, f"http://kc.acme.test:{server.port}/realms/a") == KEYS
            await client.aclose()


async def test_closing_answers_those_who_wait() -> None:
    with name_servers() as servers:
        resolver = SystemResolver(look_up=servers.look_up, deadline=60)
        asking = asyncio.create_task(resolver("kc.dead.test", 443))
        await until(lambda: servers.running["kc.dead.test"])
        resolver.close()
        with pytest.raises(RealmFault, match="this process is stopping"):
            await asking


def test_process_ends_while_a_look_up_is_stuck() -> None:
    """The thread sleeps for an hour; a thread pool's would be waited for."""
    program = """
import asyncio, time
from tenants_api.outbound.resolving import SystemResolver
async def main():
    resolver = SystemResolver(look_up=lambda *_: time.sleep(3600), deadline=0.05)
    try:
        await resolver("kc.dead.test", 443)
    except Exception as error:
        print(error)
    resolver.close()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "kc.dead.test" in done.stdout
    assert done.stderr == ""
