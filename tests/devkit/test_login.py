"""The browser's half: login page, code with PKCE, logout."""

from __future__ import annotations

import httpx
import pytest

from tenants_api.devkit.realms import DevRealm
from tenants_api.devkit.realms.tokens import s256
from tests.devkit.flows import CALLBACK, OIDC, answer_of, password, post_token, sign_in
from tests.devkit.samples import claims_of

pytestmark = pytest.mark.anyio

VERIFIER = "v" * 43
ASKED = {"client_id": "web", "redirect_uri": CALLBACK, "response_type": "code", "state": "s1"}


async def test_login_redirects_with_code_state_and_iss(obs: DevRealm, http: httpx.AsyncClient) -> None:
    redirect = await sign_in(http, state="s&1")
    answer = answer_of(redirect)
    assert redirect.headers["location"].startswith(f"{CALLBACK}?")
    assert set(answer) == {"state", "session_state", "iss", "code"}
    assert (answer["state"], answer["iss"]) == ("s&1", obs.issuer)


async def test_code_with_pkce_gives_tokens_with_nonce_and_auth_time(http: httpx.AsyncClient) -> None:
    answer = answer_of(await sign_in(http, nonce="n1", code_challenge=s256(VERIFIER), code_challenge_method="S256"))
    tokens = (await _redeem(http, answer["code"], code_verifier=VERIFIER)).json()
    identity = claims_of(tokens["id_token"])
    assert identity["nonce"] == "n1"
    assert identity["auth_time"] == claims_of(tokens["access_token"])["auth_time"]
    assert identity["sid"] == answer["session_state"] == tokens["session_state"]


async def test_code_is_good_once(http: httpx.AsyncClient) -> None:
    code = answer_of(await sign_in(http))["code"]
    assert (await _redeem(http, code)).status_code == 200
    assert (await _redeem(http, code)).json() == {"error": "invalid_grant", "error_description": "Code not valid"}


async def test_code_is_good_for_a_minute(obs: DevRealm, http: httpx.AsyncClient) -> None:
    now = obs.clock()
    code = answer_of(await sign_in(http))["code"]
    obs.clock = lambda: now + 62
    assert (await _redeem(http, code)).json()["error_description"] == "Code not valid"


async def test_code_of_one_realm_is_worth_nothing_at_another(http: httpx.AsyncClient) -> None:
    code = answer_of(await sign_in(http))["code"]
    assert (await _redeem(http, code, realm="acme")).status_code == 400


@pytest.mark.parametrize(
    ("form", "description"),
    [
        ({"code_verifier": "w" * 43}, "PKCE verification failed: Code mismatch"),
        ({}, "PKCE code verifier not specified"),
        ({"code_verifier": VERIFIER, "redirect_uri": "http://localhost:8000/else"}, "Incorrect redirect_uri"),
        ({"code_verifier": VERIFIER, "client_id": "light"}, "Code not valid"),
    ],
)
async def test_code_with_the_wrong_companions_is_refused(
    http: httpx.AsyncClient, form: dict[str, str], description: str
) -> None:
    answer = answer_of(await sign_in(http, code_challenge=s256(VERIFIER), code_challenge_method="S256"))
    refused = await _redeem(http, answer["code"], **form)
    assert refused.json() == {"error": "invalid_grant", "error_description": description}


async def test_wrong_password_shows_the_page_again_without_a_code(http: httpx.AsyncClient) -> None:
    answer = await sign_in(http, secret="wrong")
    assert answer.status_code == 200
    assert "Invalid username or password." in answer.text


async def test_page_carries_the_query_escaped(http: httpx.AsyncClient) -> None:
    page = await http.get(f"{OIDC}/auth", params=ASKED | {"state": '"><script>alert(1)</script>'})
    assert page.status_code == 200
    assert "<script" not in page.text


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"client_id": "nobody"}, 400),
        ({"client_id": "tenants-api"}, 403),
        ({"redirect_uri": "https://attacker.example/cb"}, 400),
        ({"redirect_uri": "http://localhost:8000@attacker.example/"}, 400),
        ({"redirect_uri": "http://attacker.example@localhost/"}, 400),
        ({"redirect_uri": "http://localhost.attacker.example/"}, 400),
        ({"redirect_uri": "javascript:alert(1)"}, 400),
        ({"redirect_uri": "http://[broken/"}, 400),
    ],
)
async def test_wrong_client_or_redirect_uri_is_a_page_and_never_a_redirect(
    http: httpx.AsyncClient, change: dict[str, str], status: int
) -> None:
    for method in ("GET", "POST"):
        answer = await http.request(method, f"{OIDC}/auth", params=ASKED | change)
        assert answer.status_code == status
        assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": ""}, "unsupported_response_type"),
        ({"code_challenge_method": "S512"}, "invalid_request"),
    ],
)
async def test_other_mistakes_go_back_to_the_client(
    http: httpx.AsyncClient, change: dict[str, str], error: str
) -> None:
    answer = answer_of(await http.get(f"{OIDC}/auth", params=ASKED | change))
    assert (answer["error"], answer["state"]) == (error, "s1")


async def test_unknown_scope_goes_back_to_the_client(http: httpx.AsyncClient) -> None:
    assert answer_of(await sign_in(http, scope="openid rainbow"))["error"] == "invalid_scope"


async def test_disabled_realm_shows_no_login(obs: DevRealm, http: httpx.AsyncClient) -> None:
    obs.disable()
    assert (await http.get(f"{OIDC}/auth", params=ASKED)).status_code == 403


async def test_logout_with_the_refresh_token_ends_the_session(http: httpx.AsyncClient) -> None:
    tokens = await password(http)
    form = {"client_id": "web", "refresh_token": tokens["refresh_token"]}
    assert (await http.post(f"{OIDC}/logout", data=form)).status_code == 204
    again = await post_token(http, grant_type="refresh_token", **form)
    assert again.json() == {"error": "invalid_grant", "error_description": "Session not active"}
    assert (await http.post(f"{OIDC}/logout", data=form)).status_code == 400


async def test_logout_with_an_id_token_ends_that_session_only(http: httpx.AsyncClient) -> None:
    ended, other = await password(http), await password(http)
    hint = {"id_token_hint": ended["id_token"], "post_logout_redirect_uri": CALLBACK, "state": "s2"}
    answer = await http.get(f"{OIDC}/logout", params=hint)
    assert (answer.status_code, answer.headers["location"]) == (302, f"{CALLBACK}?state=s2")
    statuses = [(await _userinfo(http, tokens)).status_code for tokens in (ended, other)]
    assert statuses == [401, 200]


@pytest.mark.parametrize("case", ["none", "access token", "foreign", "twin"])
async def test_logout_without_a_good_hint_is_refused(
    obs: DevRealm, acme: DevRealm, http: httpx.AsyncClient, case: str
) -> None:
    twin = DevRealm("twin", base_url=obs.base_url, keys=obs.keys)
    hints = {"access token": obs.mint(), "foreign": acme.mint(kind="id"), "twin": twin.mint(kind="id")}
    query = {"id_token_hint": hints[case]} if case in hints else {}
    assert (await http.get(f"{OIDC}/logout", params=query)).status_code == 400


async def test_logout_redirects_to_this_machine_only(obs: DevRealm, http: httpx.AsyncClient) -> None:
    query = {"id_token_hint": obs.mint(kind="id"), "post_logout_redirect_uri": "https://attacker.example/"}
    assert (await http.get(f"{OIDC}/logout", params=query)).status_code == 400


async def _redeem(http: httpx.AsyncClient, code: str, *, realm: str = "obs", **form: str) -> httpx.Response:
    asked = {"client_id": "web", "redirect_uri": CALLBACK, "code": code} | form
    return await post_token(http, realm=realm, grant_type="authorization_code", **asked)


async def _userinfo(http: httpx.AsyncClient, tokens: dict[str, str]) -> httpx.Response:
    return await http.get(f"{OIDC}/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
