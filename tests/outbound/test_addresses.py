"""Which addresses the guarded client connects to, whatever a name resolves to. Real sockets."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tenants_api.keycloak.realm import fetch_jwks
from tenants_api.outbound.client import RealmClient
from tenants_api.outbound.errors import RealmFault
from tenants_api.outbound.targets import Address, target_policy
from tests.support.fetching import KEYS, client_for, fault_of, resolving
from tests.support.sockets import http, serving


@pytest.mark.parametrize(
    "addresses",
    [("10.0.0.1",), ("169.254.169.254",), ("::1",), ("::ffff:10.0.0.1",), ("64:ff9b::a9fe:a9fe",),
     ("2002:a9fe:a9fe::",), ("100.64.0.1",), ("224.0.0.1",), ("168.63.129.16",), ("fec0::1",), ("::10.0.0.1",),
     ("::ffff:0:10.0.0.1",), ("64:ff9b:1::1",), ("2001:0:a00:1::",), ("fd00:ec2::254",), ("ff02::1",), ("3fff::1",),
     ("5f00::1",), ("100.100.100.200",), ("0.0.0.0",), ("::",), ("255.255.255.255",), ("198.18.0.1",)],
    ids=str,
)  # fmt: skip
async def test_blocked_address_gets_no_packet(addresses: tuple[str, ...]) -> None:
    async with serving(http(KEYS)) as server:
        fault = await fault_of(server, resolver=resolving(*addresses))
    assert fault.reason == "TargetBlocked"
    assert server.connections == 0


@pytest.mark.parametrize("bad", ["10.0.0.1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "fe80::1"])
@pytest.mark.parametrize("last", [True, False], ids=["bad one last", "bad one first"])
async def test_one_bad_address_among_good_ones_refuses_the_name(bad: str, last: bool) -> None:
    """Dual-stack answers too: which of the families is connected to is the client's choice, so each must be good."""
    addresses = ("127.0.0.1", bad) if last else (bad, "127.0.0.1")
    async with serving(http(KEYS)) as server:
        assert (await fault_of(server, resolver=resolving(*addresses))).reason == "TargetBlocked"
    assert server.connections == 0


async def test_loopback_is_blocked_unless_its_network_is_allowed() -> None:
    async with serving(http(KEYS)) as server:
        fault = await fault_of(server, networks=())
    assert fault.reason == "TargetBlocked"
    assert server.connections == 0
    assert "TENANTS_ALLOWED_PRIVATE_NETWORKS" in fault.message


async def test_name_that_rebinds_is_checked_at_every_fetch() -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[Address]:
        return [ip_address(one) for one in answers.pop(0)]

    async with serving(http(KEYS)) as server, client_for(server, resolver=rebinding) as client:
        assert await fetch_jwks(client, server.url) == KEYS
        with pytest.raises(RealmFault, match="TargetBlocked"):
            await fetch_jwks(client, server.url)
    assert server.connections == 1


@pytest.mark.parametrize("host", ["xn--fa-hia.test", "a.xn--0.test"])
async def test_international_name_is_looked_up_as_it_is_registered(host: str) -> None:
    """Decoded, `xn--fa-hia` would be looked up as `fass`, the host of somebody else."""
    asked: list[str] = []

    async def resolve(name: str, port: int) -> list[Address]:
        asked.append(name)
        return [ip_address("127.0.0.1")]

    async with serving(http(KEYS)) as server:
        policy = target_policy(
            insecure_http_hosts=(host,), allowed_private_networks=("127.0.0.0/8",), allowed_ports=(server.port,)
        )
        client = RealmClient(policy, resolver=resolve)
        assert await fetch_jwks(client, f"http://{host}:{server.port}/realms/acme") == KEYS
        await client.aclose()
    assert asked == [host]


async def test_second_address_serves_when_the_first_refuses() -> None:
    both = resolving("127.0.0.77", "127.0.0.1")
    async with serving(http(KEYS)) as server, client_for(server, resolver=both) as client:
        assert await fetch_jwks(client, server.url) == KEYS
