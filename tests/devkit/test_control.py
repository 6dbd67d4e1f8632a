"""The `/dev/realms` switches of the demo."""

from __future__ import annotations

import httpx
import pytest

from tenants_api.devkit.realms import DevRealm, create_dev_realms
from tests.devkit.conftest import BASE_URL
from tests.devkit.samples import claims_of, header_of

pytestmark = pytest.mark.anyio


async def test_list_names_every_realm_and_shows_no_secret(http: httpx.AsyncClient) -> None:
    answer = await http.get("/dev/realms")
    assert [realm["name"] for realm in answer.json()["realms"]] == ["obs", "acme"]
    assert "alice-pw" not in answer.text
    assert "s3cret" not in answer.text


async def test_made_realm_serves_at_once_with_the_default_users(http: httpx.AsyncClient) -> None:
    made = await http.post("/dev/realms", json={"name": "initech"})
    assert (made.status_code, made.json()["issuer"]) == (201, f"{BASE_URL}/realms/initech")
    form = {"grant_type": "password", "client_id": "web", "username": "bob", "password": "bob-pw"}
    tokens = await http.post("/realms/initech/protocol/openid-connect/token", data=form)
    assert claims_of(tokens.json()["access_token"])["iss"] == f"{BASE_URL}/realms/initech"
    assert (await http.post("/dev/realms", json={"name": "initech"})).status_code == 409


async def test_first_realm_may_be_made_over_http() -> None:
    transport = httpx.ASGITransport(create_dev_realms([]))
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as http:
        assert (await http.post("/dev/realms", json={"name": "acme"})).json()["issuer"] == f"{BASE_URL}/realms/acme"


@pytest.mark.parametrize("body", [b"{}", b"[]", b"nonsense", b'{"name": 1}', b'{"name": "../etc"}', b'{"name": ""}'])
async def test_realm_without_a_good_name_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/dev/realms", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_rotate_and_withdraw_act_on_the_named_realm(
    obs: DevRealm, acme: DevRealm, http: httpx.AsyncClient
) -> None:
    first, untouched = acme.keys.kid, obs.keys.kid
    kid = (await http.post("/dev/realms/acme/rotate")).json()["kid"]
    assert header_of(acme.mint())["kid"] == kid != first
    answer = await http.post("/dev/realms/acme/withdraw", json={"kid": first})
    assert answer.json() == {"withdrawn": first, "kid": kid}
    assert [key.kid for key in acme.keys.listed] == [kid]
    assert obs.keys.kid == untouched


async def test_withdraw_without_a_kid_takes_the_key_that_signs(acme: DevRealm, http: httpx.AsyncClient) -> None:
    first = acme.keys.kid
    assert (await http.post("/dev/realms/acme/withdraw")).json()["withdrawn"] == first
    assert (await http.post("/dev/realms/acme/withdraw", json={"kid": "nobody"})).status_code == 404
    assert (await http.post("/dev/realms/acme/withdraw", json={"kid": [1]})).status_code == 404


@pytest.mark.parametrize("body", [{"algorithm": "HS256"}, {"algorithm": 5}, {"keep_old": "no"}])
async def test_rotation_that_cannot_be_done_is_refused(
    acme: DevRealm, http: httpx.AsyncClient, body: dict[str, object]
) -> None:
    before = acme.keys.kid
    assert (await http.post("/dev/realms/acme/rotate", json=body)).status_code == 400
    assert acme.keys.kid == before


async def test_disable_enable_and_not_before(acme: DevRealm, http: httpx.AsyncClient) -> None:
    assert (await http.post("/dev/realms/acme/disable")).json() == {"enabled": False}
    assert not acme.enabled
    assert (await http.post("/dev/realms/acme/enable")).json() == {"enabled": True}
    answer = await http.post("/dev/realms/acme/push-not-before", json={"not_before": 1_700_000_000})
    assert answer.json() == {"not_before": 1_700_000_000} == {"not_before": acme.not_before}
    assert (await http.post("/dev/realms/acme/push-not-before", json={"not_before": "now"})).status_code == 400


async def test_faults_are_set_shown_and_cleared(acme: DevRealm, http: httpx.AsyncClient) -> None:
    shown = await http.post("/dev/realms/acme/faults", json={"down": True, "slow_seconds": 0})
    assert shown.json()["down"] is True
    assert acme.faults.down
    assert (await http.post("/dev/realms/acme/faults", json={"down": "yes"})).status_code == 400
    assert (await http.post("/dev/realms/acme/faults", json={})).json()["down"] is False


async def test_switch_of_an_unknown_realm_is_404(http: httpx.AsyncClient) -> None:
    assert (await http.post("/dev/realms/nobody/rotate")).status_code == 404


@pytest.mark.parametrize(
    ("origin", "status"), [("http://localhost:8000", 200), ("https://attacker.example", 403), ("null", 403)]
)
async def test_page_of_a_stranger_cannot_use_the_switches(
    acme: DevRealm, http: httpx.AsyncClient, origin: str, status: int
) -> None:
    answer = await http.post("/dev/realms/acme/disable", headers={"Origin": origin})
    assert answer.status_code == status
    assert acme.enabled is (status == 403)


async def test_without_admin_there_are_no_switches(acme: DevRealm) -> None:
    transport = httpx.ASGITransport(create_dev_realms([acme], admin=False))
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as http:
        assert (await http.get("/dev/realms")).status_code == 404
        assert (await http.post("/dev/realms/acme/disable")).status_code == 404
        assert (await http.get("/realms/acme/")).status_code == 404


async def test_only_pages_of_this_machine_may_read_the_answers(http: httpx.AsyncClient) -> None:
    allowed = await http.get("/realms/acme", headers={"Origin": "http://127.0.0.1:8000"})
    refused = await http.get("/realms/acme", headers={"Origin": "http://localhost.attacker.example"})
    assert allowed.headers["access-control-allow-origin"] == "http://127.0.0.1:8000"
    assert "access-control-allow-origin" not in refused.headers
