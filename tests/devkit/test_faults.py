"""Each switch does what it says, to that realm only."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tenants_api.devkit.realms import DevRealm, Faults
from tenants_api.devkit.realms.faults import UnknownFault
from tests.devkit.flows import OIDC

pytestmark = pytest.mark.anyio

PATHS = {
    "certs": f"{OIDC}/certs",
    "discovery": "/realms/obs/.well-known/openid-configuration",
    "info": "/realms/obs",
}
OTHER = "/realms/acme/protocol/openid-connect/certs"


@pytest.mark.parametrize("kind", PATHS)
async def test_realm_that_is_down_answers_503_and_its_neighbour_200(
    obs: DevRealm, http: httpx.AsyncClient, kind: str
) -> None:
    obs.faults.down = True
    assert (await http.get(PATHS[kind])).status_code == 503
    assert (await http.get(OTHER)).status_code == 200


async def test_token_endpoint_of_a_realm_that_is_down_answers_503(obs: DevRealm, http: httpx.AsyncClient) -> None:
    obs.faults.down = True
    assert (await http.post(f"{OIDC}/token")).status_code == 503


async def test_realm_that_hangs_never_answers_and_its_neighbour_does(obs: DevRealm, http: httpx.AsyncClient) -> None:
    obs.faults.hang = True
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(http.get(PATHS["certs"]), timeout=0.05)
    assert (await http.get(OTHER)).status_code == 200


async def test_slow_realm_answers_late(obs: DevRealm, http: httpx.AsyncClient) -> None:
    obs.faults.slow_seconds = 0.05
    started = time.monotonic()
    assert (await http.get(PATHS["certs"])).status_code == 200
    assert time.monotonic() - started >= 0.05


async def test_redirect_goes_where_it_is_told(obs: DevRealm, http: httpx.AsyncClient) -> None:
    obs.faults.redirect_to = "http://169.254.169.254/latest"
    answer = await http.get(PATHS["certs"])
    assert (answer.status_code, answer.headers["location"]) == (302, "http://169.254.169.254/latest")


async def test_wrong_issuer_stands_in_the_discovery_document_only(obs: DevRealm, http: httpx.AsyncClient) -> None:
    obs.faults.wrong_issuer = "https://somebody.example"
    document = (await http.get(PATHS["discovery"])).json()
    assert document["issuer"] == "https://somebody.example"
    assert document["token_endpoint"].startswith(obs.issuer)


@pytest.mark.parametrize("kind", ["certs", "discovery"])
async def test_garbage_is_html_with_200(obs: DevRealm, http: httpx.AsyncClient, kind: str) -> None:
    obs.faults.garbage = True
    answer = await http.get(PATHS[kind])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (await http.get(PATHS["info"])).json()["realm"] == "obs"


async def test_huge_key_set_has_ten_megabytes_of_json(obs: DevRealm, http: httpx.AsyncClient) -> None:
    obs.faults.huge = True
    answer = await http.get(PATHS["certs"])
    assert "content-length" not in answer.headers
    assert len(answer.content) > 10_000_000
    assert len(answer.json()["keys"]) > 100


async def test_empty_and_extra_keys_change_the_set(obs: DevRealm, http: httpx.AsyncClient) -> None:
    broken = {"kid": "broken", "kty": "OKP", "crv": "Ed25519", "x": "!", "use": "sig", "alg": "EdDSA"}
    obs.faults.extra_keys = [broken]
    assert (await http.get(PATHS["certs"])).json()["keys"][-1] == broken
    obs.faults.empty_keys, obs.faults.extra_keys = True, []
    assert (await http.get(PATHS["certs"])).json() == {"keys": []}


async def test_next_requests_fail_as_often_as_told(obs: DevRealm, http: httpx.AsyncClient) -> None:
    obs.faults.fail_next = 2
    assert (await http.get(PATHS["discovery"])).status_code == 200
    assert [(await http.get(PATHS["certs"])).status_code for _ in range(3)] == [500, 500, 200]
    assert obs.requests["certs"] == 3


@pytest.mark.parametrize(
    "switches", [{"nonsense": True}, {"down": "yes"}, {"fail_next": True}, {"extra_keys": [1]}, {"slow_seconds": "1"}]
)
def test_unknown_switch_or_wrong_type_changes_nothing(switches: dict[str, object]) -> None:
    faults = Faults()
    with pytest.raises(UnknownFault, match=next(iter(switches))):
        faults.update({"garbage": True} | switches)
    assert faults == Faults()


def test_clear_turns_everything_off() -> None:
    faults = Faults()
    faults.update({"down": True, "slow_seconds": 1.5, "redirect_to": "http://x.example", "extra_keys": [{}]})
    faults.clear()
    assert faults == Faults()
