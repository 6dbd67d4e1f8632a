"""Two realms for each test, served without a socket; the samples were taken from the realm `obs`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tenants_api.devkit.realms import DevRealm, DevUser, create_dev_realms
from tenants_api.devkit.realms.keys import SigningKeys
from tests.support.realms import pooled_rsa

BASE_URL = "http://localhost:8180"


def pooled_keys(realm: str) -> SigningKeys:
    return SigningKeys(subject=realm, make_rsa=pooled_rsa)


@pytest.fixture
def obs() -> DevRealm:
    alice = DevUser(
        "alice",
        "alice-pw",
        "alice@obs.example",
        "Alice",
        "Doe",
        realm_roles=("tenant-user",),
        client_roles={"tenants-api": ("items:write",)},
        organizations=("globex",),
    )
    dora = DevUser("dora", "dora-pw", "dora@obs.example", "Dora", "Doe", enabled=False)
    nick = DevUser("nick", "nick-pw", "nick@obs.example", "Nick", "Doe", required_action=True)
    return DevRealm("obs", base_url=BASE_URL, users=[alice, dora, nick], keys=pooled_keys("obs"))


@pytest.fixture
def acme() -> DevRealm:
    return DevRealm("acme", base_url=BASE_URL, keys=pooled_keys("acme"))


@pytest.fixture
async def http(obs: DevRealm, acme: DevRealm) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_dev_realms([obs, acme]))
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        yield client
