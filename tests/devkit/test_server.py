"""A real port, a real client."""

from __future__ import annotations

import socket

import httpx
import pytest

from tenants_api.devkit.realms import DevRealm, serve_dev_realms
from tests.devkit.samples import header_of
from tests.support.ports import free_port


def test_server_serves_every_realm_and_those_added_later() -> None:
    with serve_dev_realms(["acme", "globex"]) as server, httpx.Client(trust_env=False, timeout=60) as http:
        assert server.base_url == f"http://127.0.0.1:{server.port}"
        for realm in (server.realm("acme"), server.realm("globex"), server.add("initech")):
            document = http.get(f"{realm.realm_url}/.well-known/openid-configuration").json()
            assert document["issuer"] == realm.issuer == f"{server.base_url}/realms/{realm.name}"
            keys = http.get(document["jwks_uri"]).json()["keys"]
            assert header_of(realm.mint())["kid"] in {key["kid"] for key in keys}


def test_change_by_the_test_is_seen_by_the_next_request() -> None:
    with serve_dev_realms(["acme"]) as server, httpx.Client(trust_env=False, timeout=60) as http:
        acme = server.realm("acme")
        kid = acme.rotate()
        certs = f"{acme.realm_url}/protocol/openid-connect/certs"
        assert kid in {key["kid"] for key in http.get(certs).json()["keys"]}
        acme.faults.down = True
        assert http.get(certs).status_code == 503
        assert acme.requests["certs"] == 2


def test_realm_that_hangs_holds_neither_its_neighbour_nor_the_end_of_the_server() -> None:
    with serve_dev_realms(["acme", "globex"]) as server, httpx.Client(trust_env=False, timeout=60) as http:
        server.realm("acme").faults.hang = True
        with pytest.raises(httpx.ReadTimeout):
            http.get(server.realm("acme").realm_url, timeout=httpx.Timeout(60, read=0.1))
        assert http.get(server.realm("globex").realm_url).status_code == 200


def test_port_is_free_again_after_the_block() -> None:
    port = free_port()
    with serve_dev_realms(["acme"], port=port):
        pass
    with serve_dev_realms(["acme"], port=port) as again:
        assert again.port == port


def test_port_in_use_is_an_os_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            serve_dev_realms(["acme"], port=taken.getsockname()[1])


def test_realm_with_own_users_can_be_added() -> None:
    with serve_dev_realms([], client_id="shop-api") as server, httpx.Client(trust_env=False, timeout=60) as http:
        assert server.add("acme").client_id == "shop-api"
        added = server.add(DevRealm("globex", base_url=server.base_url, users=[]))
        assert http.get(added.realm_url).json()["realm"] == "globex"
