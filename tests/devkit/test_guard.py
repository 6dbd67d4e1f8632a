"""Development realms answer this machine only."""

from __future__ import annotations

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from tenants_api.devkit.realms import DevRealm, create_dev_realms, run_dev_realms, serve_dev_realms
from tenants_api.devkit.realms.guard import LoopbackOnly

LOCAL = ["localhost", "localhost:8180", "127.0.0.1", "127.0.0.1:8180", "[::1]", "[::1]:8180", "LOCALHOST:1"]
FOREIGN = [
    "id.example",
    "localhost.attacker.example",
    "attacker@localhost",
    "0.0.0.0:8180",
    "127.0.0.1.nip.io",
    "localhost:x",
    "localhost/",
    "::1",
    "",
]


@pytest.mark.anyio
@pytest.mark.parametrize("host", LOCAL)
async def test_host_name_of_this_machine_is_answered(acme: DevRealm, host: str) -> None:
    assert await _status(acme, host=host) == 200


@pytest.mark.anyio
@pytest.mark.parametrize("host", FOREIGN)
async def test_any_other_host_name_is_refused(acme: DevRealm, host: str) -> None:
    assert await _status(acme, host=host) == 403


@pytest.mark.anyio
@pytest.mark.parametrize("hosts", [[], [b"localhost", b"localhost"], [b"localhost", b"id.example"]])
async def test_request_without_exactly_one_host_header_is_refused(hosts: list[bytes]) -> None:
    statuses: list[int] = []
    app = LoopbackOnly(PlainTextResponse("inside"))
    scope = {"type": "http", "client": ("127.0.0.1", 1), "headers": [(b"host", host) for host in hosts]}

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        statuses.append(message.get("status", 0))

    await app(scope, receive, send)
    assert statuses[0] == 403


@pytest.mark.anyio
@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", ""])
async def test_client_of_this_machine_is_answered(acme: DevRealm, client: str) -> None:
    assert await _status(acme, client=client) == 200


@pytest.mark.anyio
@pytest.mark.parametrize("client", ["10.0.0.7", "192.168.1.2", "203.0.113.9", "2001:db8::1", "::ffff:10.0.0.7", "evil"])
async def test_client_of_another_machine_is_refused_whatever_host_it_names(acme: DevRealm, client: str) -> None:
    assert await _status(acme, client=client) == 403


@pytest.mark.anyio
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
async def test_forwarded_request_is_refused(acme: DevRealm, header: str) -> None:
    assert await _status(acme, headers={header: "127.0.0.1"}) == 403


@pytest.mark.anyio
async def test_further_host_names_can_be_allowed_for_tests_without_a_socket(acme: DevRealm) -> None:
    transport = httpx.ASGITransport(create_dev_realms([acme], hosts=["id.example"]))
    async with httpx.AsyncClient(transport=transport, base_url="https://id.example") as http:
        assert (await http.get("/realms/acme")).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "id.example", ""])
def test_serving_on_an_address_of_other_machines_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="not a loopback address"):
        serve_dev_realms(["acme"], host=host)
    with pytest.raises(ValueError, match="not a loopback address"):
        run_dev_realms(["acme"], host=host, port=0)


async def _status(
    realm: DevRealm, *, host: str = "localhost", client: str = "127.0.0.1", headers: dict[str, str] | None = None
) -> int:
    transport = httpx.ASGITransport(create_dev_realms([realm]), client=(client, 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        return (await http.get("/realms/acme", headers={"Host": host} | (headers or {}))).status_code
