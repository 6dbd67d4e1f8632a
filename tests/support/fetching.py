"""The guarded client beside a server on this machine that goes by the name `realm.test`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from tenants_api.keycloak.realm import fetch_jwks
from tenants_api.outbound.client import RealmClient
from tenants_api.outbound.errors import RealmFault
from tenants_api.outbound.targets import Address, Resolver, target_policy
from tests.support.sockets import Server

KEYS = b'{"keys": []}'


def resolving(*addresses: str) -> Resolver:
    async def resolve(host: str, port: int) -> list[Address]:
        return [ip_address(address) for address in addresses]

    return resolve


@asynccontextmanager
async def client_for(
    server: Server, *, resolver: Resolver | None = None, networks: tuple[str, ...] = ("127.0.0.0/8",), **limits: float
) -> AsyncIterator[RealmClient]:
    policy = target_policy(
        insecure_http_hosts=("realm.test",), allowed_private_networks=networks, allowed_ports=(server.port,)
    )
    client = RealmClient(policy, resolver=resolver or resolving("127.0.0.1"), total_timeout=limits.get("total", 60.0))
    try:
        yield client
    finally:
        await client.aclose()


async def fault_of(server: Server, **how: Any) -> RealmFault:
    async with client_for(server, **how) as client:
        with pytest.raises(RealmFault) as fault:
            await fetch_jwks(client, server.url)
    return fault.value
