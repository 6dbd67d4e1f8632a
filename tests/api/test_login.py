"""The opt-in login: what each end of a try looks like from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tenants_api.devrealms import DevRealm, DevRealmServer, DevUser
from tests.support.realms import dev_realms
from tests.support.stack import ApiClient, onboard, running_app

pytestmark = pytest.mark.anyio

ALICE = {"username": "alice", "password": "alice-pw"}
RATE = 6


@pytest.fixture
def realms() -> Iterator[DevRealmServer]:
    with dev_realms("acme", "globex") as server:
        yield server


@pytest.fixture
async def client(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path, realms, login_rate=RATE) as opened:
        await onboard(opened, "acme", login_client_id="web")
        await onboard(opened, "globex")
        yield opened


@pytest.fixture
def realm(realms: DevRealmServer) -> DevRealm:
    return realms.realm("acme")


async def login(client: ApiClient, *, slug: str = "acme", **form: str) -> httpx.Response:
    return await client.post(f"/t/{slug}/login", data={**ALICE, **form})


async def test_right_password_gives_tokens_that_the_api_accepts(client: ApiClient) -> None:
    answer = await login(client)
    tokens = answer.json()
    assert answer.status_code == 200
    assert set(tokens) == {
        "access_token", "refresh_token", "expires_in", "refresh_expires_in", "token_type", "scope",
    }  # fmt: skip
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await client.me(tokens["access_token"])).json()["username"] == "alice"


async def test_wrong_password_unknown_user_and_account_that_is_not_ready_look_the_same(
    client: ApiClient, realm: DevRealm
) -> None:
    realm.add_user(DevUser("late", "pw", "late@acme.example", "Late", "Doe", required_action=True))
    realm.add_user(DevUser("gone", "pw", "gone@acme.example", "Gone", "Doe", enabled=False))
    answers = [
        await login(client, password="wrong"),
        await login(client, username="nobody"),
        await login(client, username="late", password="pw"),
        await login(client, username="gone", password="pw"),
    ]
    faces = [{**answer.json(), "request_id": ""} for answer in answers]
    assert all(face == faces[0] for face in faces), faces
    assert (faces[0]["status"], faces[0]["code"]) == (401, "invalid_credentials")
    assert answers[0].headers["WWW-Authenticate"].startswith("Bearer ")


async def test_login_is_404_where_it_is_off_and_where_there_is_no_such_tenant(client: ApiClient) -> None:
    for slug in ("globex", "nobody-has-this"):
        answer = await login(client, slug=slug)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_realm_that_is_down_is_503_with_retry_after(client: ApiClient, realm: DevRealm) -> None:
    realm.faults.down = True
    answer = await login(client)
    assert (answer.status_code, answer.json()["code"]) == (503, "realm_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_realm_that_talks_nonsense_or_refuses_the_client_is_502(client: ApiClient, realm: DevRealm) -> None:
    realm.clients.pop("web")
    answer = await login(client)
    assert (answer.status_code, answer.json()["code"]) == (502, "keycloak_refused")
    realm.faults.redirect_to = "http://169.254.169.254/"
    assert (await login(client)).status_code == 502


async def test_too_many_tries_are_429_with_retry_after_for_that_user_alone(client: ApiClient) -> None:
    codes = [(await login(client, username="bob", password="wrong")).status_code for _ in range(RATE)]
    assert set(codes) == {401}
    answer = await login(client, username="BOB", password="bob-pw")
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert (await login(client)).status_code == 200


async def test_suspended_tenant_gets_no_tokens(client: ApiClient) -> None:
    assert (await client.admin("POST", "/tenants/acme/suspend", json={})).status_code == 200
    answer = await login(client)
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")
    assert "access_token" not in answer.text


async def test_form_that_lacks_something_is_422_and_json_is_no_form(client: ApiClient) -> None:
    answer = await client.post("/t/acme/login", data={"username": "alice"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/password")
    assert (await client.post("/t/acme/login", json=ALICE)).status_code in (415, 422)
