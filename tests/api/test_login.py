"""The opt-in login: what each end of a try looks like from outside."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tenants_api.clocks import Clocks
from tenants_api.control.login_tries import ADDRESS_RATE_FACTOR
from tenants_api.devkit.realms import DevRealm, DevRealmServer, DevUser
from tenants_api.observability import logging
from tests.support.realms import dev_realms
from tests.support.sockets import serving
from tests.support.stack import CLIENT_ID, ApiClient, onboard, running_app

pytestmark = pytest.mark.anyio

ALICE = {"username": "alice", "password": "alice-pw"}
RATE = 6
NOON = 1_800_000_000.0


@pytest.fixture
def realms() -> Iterator[DevRealmServer]:
    with dev_realms("acme", "globex") as server:
        yield server


@pytest.fixture
async def client(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path, realms, login_rate=RATE) as opened:
        stop_counting_minutes(opened)
        await onboard(opened, "acme", login_client_id="web")
        await onboard(opened, "globex")
        yield opened


@pytest.fixture(scope="module")
async def unlimited(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiClient]:
    """One application for tests that are not about the limit and leave the realm as it is."""
    with dev_realms("acme") as server:
        async with running_app(tmp_path_factory.mktemp("unlimited"), server, login_rate=1000) as opened:
            await onboard(opened, "acme", login_client_id="web")
            yield opened


def stop_counting_minutes(client: ApiClient) -> None:
    """Tries are counted by the minute: all tries of a test fall into the same one."""
    client.app.state.services = replace(client.app.state.services, clocks=Clocks(wall=lambda: NOON))


@pytest.fixture
def realm(realms: DevRealmServer) -> DevRealm:
    return realms.realm("acme")


async def login(client: ApiClient, *, slug: str = "acme", **form: str) -> httpx.Response:
    return await client.post(f"/t/{slug}/login", data={**ALICE, **form})


async def test_right_password_gives_tokens_that_the_api_accepts(unlimited: ApiClient) -> None:
    answer = await login(unlimited)
    tokens = answer.json()
    assert answer.status_code == 200
    assert set(tokens) == {
        "access_token", "refresh_token", "expires_in", "refresh_expires_in", "token_type", "scope",
    }  # fmt: skip
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await unlimited.me(tokens["access_token"])).json()["username"] == "alice"


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


async def test_tenants_that_share_a_realm_log_in_for_their_own_organization_only(
    client: ApiClient, realm: DevRealm
) -> None:
    realm.add_user(DevUser("nora", "pw", "n@acme.example", "Nora", "Doe", organizations=("north",)))
    for slug in ("north", "south"):
        shared = {"issuer": realm.issuer, "organization": slug, "client_id": CLIENT_ID, "login_client_id": "web"}
        body = {"slug": slug, "name": slug.title(), "realms": [shared]}
        assert (await client.admin("POST", "/tenants", json=body)).status_code == 201
    tokens = (await login(client, slug="north", username="nora", password="pw")).json()
    me = (await client.me(tokens["access_token"])).json()
    assert (me["tenant"]["slug"], me["organization"]) == ("north", "north")
    for answer in (
        await login(client, slug="south", username="nora", password="pw"),
        await login(client, slug="north"),  # alice is in no organization
    ):
        assert answer.status_code in (401, 502)
        assert "access_token" not in answer.text
    page = (await client.get("/t/north/docs")).text
    assert 'data-scopes="openid organization:north"' in page


class _LeftOut(tuple[str, ...]):
    """Organizations of which a user is a member, but that the realm does not put into the token."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


async def test_realm_that_leaves_the_organization_out_cannot_make_a_login_hand_out_another_tenants_token(
    client: ApiClient, realm: DevRealm
) -> None:
    realm.add_user(DevUser("nora", "pw", "n@acme.example", "Nora", "Doe", organizations=_LeftOut(("north",))))
    shared = {"issuer": realm.issuer, "organization": "north", "client_id": CLIENT_ID, "login_client_id": "web"}
    body = {"slug": "north", "name": "North", "realms": [shared]}
    assert (await client.admin("POST", "/tenants", json=body)).status_code == 201
    whole = await login(client, username="nora", password="pw")
    assert (await client.me(whole.json()["access_token"])).json()["tenant"]["slug"] == "acme"
    answer = await login(client, slug="north", username="nora", password="pw")
    assert (answer.status_code, answer.json()["code"]) == (502, "keycloak_refused")
    assert "access_token" not in answer.text


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        (b"username=alice&password=alice-pw&username=bob", 400, "invalid_request"),
        (b"username=alice&password=x&password=alice-pw", 400, "invalid_request"),
        (b"username=al%00ice&password=x", 422, "validation_failed"),
        (b"username=a%0d%0ab&password=x", 422, "validation_failed"),
        (b"username=" + b"a" * 256 + b"&password=x", 422, "validation_failed"),
        (b"username=alice;password=alice-pw", 422, "validation_failed"),
        (b"username=%ED%A0%80&password=x", 401, "invalid_credentials"),
        (b"username=alice%26grant_type%3Dclient_credentials&password=x", 401, "invalid_credentials"),
        (b"&".join(b"f%d=1" % number for number in range(20_000)), 400, "invalid_request"),
        (b"", 422, "validation_failed"),
    ],
    ids=lambda value: value[:40].decode() if isinstance(value, bytes) else None,
)
async def test_form_that_two_readers_could_read_differently_is_refused(
    unlimited: ApiClient, form: bytes, status: int, code: str
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await unlimited.post("/t/acme/login", content=form, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_nothing_but_user_and_password_travels_from_the_form(unlimited: ApiClient) -> None:
    answer = await login(unlimited, scope="offline_access", client_id="admin-cli", grant_type="refresh_token")
    assert answer.status_code == 200
    assert "offline_access" not in answer.json()["scope"]


async def test_replicas_share_the_limit(client: ApiClient, realms: DevRealmServer, tmp_path: Path) -> None:
    async with running_app(tmp_path, realms, login_rate=RATE) as other:
        stop_counting_minutes(other)
        both = [client, other]
        codes = [(await login(both[turn % 2], password="wrong")).status_code for turn in range(RATE)]
        assert set(codes) == {401}
        assert [(await login(one)).status_code for one in both] == [429, 429]


async def test_tries_at_the_same_instant_are_all_counted(client: ApiClient) -> None:
    answers = await asyncio.gather(*(login(client, password="wrong") for _ in range(RATE * 4)))
    assert Counter(answer.status_code for answer in answers) == {401: RATE, 429: RATE * 3}


async def test_address_that_tries_one_password_on_every_user_ends_at_its_own_limit(client: ApiClient) -> None:
    for number in range(RATE * ADDRESS_RATE_FACTOR):
        assert (await login(client, username=f"user-{number}", password="Summer2026!")).status_code == 401
    assert (await login(client)).status_code == 429


async def test_address_is_the_sockets_unless_a_trusted_proxy_says_otherwise(
    realms: DevRealmServer, tmp_path: Path
) -> None:
    """Else whoever invents addresses has no limit; behind a proxy, else, all clients would share one."""
    for trusted, expected in (((), 429), (("127.0.0.0/8",), 401), (("192.0.2.0/24",), 429)):
        folder = tmp_path / f"trusted-{len(trusted)}-{expected}"
        folder.mkdir()
        async with running_app(folder, realms, login_rate=1, trusted_proxies=trusted) as client:
            stop_counting_minutes(client)
            await onboard(client, "acme", login_client_id="web")
            for number in range(ADDRESS_RATE_FACTOR + 1):
                answer = await client.post(
                    "/t/acme/login",
                    data={"username": f"user-{number}", "password": "wrong"},
                    headers={"X-Forwarded-For": f"198.51.100.{number}"},
                )
            assert answer.status_code == expected, trusted


async def test_without_the_database_nobody_logs_in(client: ApiClient, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "tenants.db")
    with connection:
        connection.execute("alter table login_tries rename to gone")
    connection.close()
    answer = await login(client)
    assert (answer.status_code, answer.json()["code"]) == (503, "registry_unavailable")
    assert "Retry-After" in answer.headers


@pytest.mark.parametrize(
    ("error", "logged", "status"),
    [("invalid_grant", "invalid_grant", 401), ("invalid_client", "invalid_client", 502),
     ("unauthorized_client", "unauthorized_client", 502), ("alice-pw", "other", 502)],
)  # fmt: skip
async def test_what_a_realm_says_of_a_refused_login_reaches_no_log(
    error: str,
    logged: str,
    status: int,
    realms: DevRealmServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A hostile realm would put the password, which it was just sent, into its error_description; C4: a known code."""
    logging.configure(format="json", level="debug")
    body = b'{"error": "%s", "error_description": "alice-pw"}' % error.encode()
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with AsyncExitStack() as stack:
        hostile = await stack.enter_async_context(serving(refusal + body))
        ports = (realms.port, hostile.port)
        client = await stack.enter_async_context(
            running_app(tmp_path, realms, insecure_http_hosts=("127.0.0.1",), allowed_realm_ports=ports)
        )
        await onboard(client, "acme", login_client_id="web")
        tenant = (await client.admin("GET", "/tenants/acme")).json()
        moved = await client.admin(
            "PATCH",
            f"/tenants/acme/realms/{tenant['realms'][0]['id']}",
            json={"realm_url": f"http://127.0.0.1:{hostile.port}/realms/acme"},
            headers={"If-Match": "*"},
        )
        assert moved.status_code == 200, moved.text
        assert (await login(client)).status_code == status
        assert hostile.connections
    written = "".join(capsys.readouterr()) + caplog.text
    (line,) = (json.loads(one) for one in written.splitlines() if '"login_refused"' in one)
    assert line["error"] == logged
    assert "alice-pw" not in written


async def test_form_that_lacks_something_is_422_and_json_is_no_form(client: ApiClient) -> None:
    answer = await client.post("/t/acme/login", data={"username": "alice"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/password")
    for other in ({"json": ALICE}, {"files": {name: (None, value) for name, value in ALICE.items()}}):
        answer = await client.post("/t/acme/login", **other)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        assert "alice-pw" not in answer.text
