"""The example runs as it is: own routes, own roles, two tenants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from examples.orders_api import create
from tenants_api.devkit.realms import DevRealmServer
from tests.support.realms import dev_realms
from tests.support.stack import ApiClient, bearer, onboard, running_app

MAPPING = [
    {"from": "realm", "value": "tenant-user", "role": "clerk"},
    {"from": "client:tenants-api", "value": "admin", "role": "manager"},
]
PAPER = {"article": "paper", "pieces": 3}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[ApiClient]:
    with dev_realms("acme", "globex") as realms:
        async with running_app(tmp_path, realms, factory=create) as opened:
            for name in ("acme", "globex"):
                await onboard(opened, name, role_mapping=MAPPING)
            yield opened


def token(server: DevRealmServer, name: str, username: str) -> dict[str, str]:
    return bearer(server.realm(name).mint(username=username))


@pytest.mark.parametrize("path", ["/v1/orders", "/t/acme/v1/orders"])
async def test_manager_orders_and_clerk_of_the_same_tenant_reads(client: ApiClient, path: str) -> None:
    manager, clerk = (token(client.server, "acme", name) for name in ("carol", "alice"))
    created = await client.post(path, json=PAPER, headers=manager)
    assert (created.status_code, created.json()) == (201, PAPER)
    assert (await client.get(path, headers=clerk)).json() == [PAPER]
    assert (await client.get("/v1/orders", headers=token(client.server, "globex", "carol"))).json() == []


async def test_clerk_may_not_order(client: ApiClient) -> None:
    answer = await client.post("/v1/orders", json=PAPER, headers=token(client.server, "acme", "alice"))
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_role")
    assert answer.json()["required_role"] == "manager"


async def test_own_route_refuses_what_every_route_refuses(client: ApiClient) -> None:
    manager = token(client.server, "acme", "carol")
    assert (await client.get("/v1/orders")).json()["code"] == "missing_token"
    assert (await client.get("/t/globex/v1/orders", headers=manager)).json()["code"] == "tenant_mismatch"
    wrong = await client.post("/v1/orders", json={"article": "", "pieces": 0}, headers=manager)
    assert (wrong.status_code, wrong.json()["code"]) == (422, "validation_failed")
    assert {error["pointer"] for error in wrong.json()["errors"]} == {"/article", "/pieces"}


async def test_roles_are_the_applications_own_and_the_sample_is_not_served(client: ApiClient) -> None:
    me = await client.get("/v1/me", headers=token(client.server, "acme", "carol"))
    assert me.json()["roles"] == ["clerk", "manager"]
    assert (await client.get("/v1/items", headers=token(client.server, "acme", "carol"))).status_code == 404
    editor = [{"from": "realm", "value": "tenant-user", "role": "editor"}]
    answer = await client.admin("PUT", "/tenants/acme/role-mapping", json=editor, headers={"If-Match": "*"})
    assert answer.status_code == 422, "a role that the application does not know cannot be mapped to"
