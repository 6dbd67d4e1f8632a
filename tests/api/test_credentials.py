"""Which credentials are read, and what `WWW-Authenticate` answers (RFC 6750 section 3)."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from tenants_api.composition import Services
from tenants_api.tokens.credentials import Credential
from tenants_api.web.authentication import credential_of
from tests.support.stack import ApiClient, bearer

REALM = 'Bearer realm="tenants-api"'


def shown(answer: httpx.Response) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["code"], answer.headers["WWW-Authenticate"]


async def test_missing_token_is_challenged_without_an_error(client: ApiClient) -> None:
    for headers in ({}, {"Authorization": ""}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearerx abc"}):
        assert shown(await client.get("/v1/me", headers=headers)) == (401, "missing_token", REALM)


async def test_every_refused_token_gets_one_and_the_same_answer(client: ApiClient) -> None:
    realm = client.server.realm("acme")
    good = realm.mint()
    tokens = {
        "unknown issuer": realm.mint(claims={"iss": "https://elsewhere.example/realms/acme"}),
        "signature": good[:-6] + ("AAAAAA" if not good.endswith("AAAAAA") else "BBBBBB"),
        "audience": realm.mint(claims={"aud": "somebody-else"}),
        "type": realm.mint(kind="id"),
        "none": realm.mint(algorithm="none"),
        "hmac": realm.mint(algorithm="HS256"),
        "other algorithm": realm.mint(algorithm="ES256"),
        "kid": realm.mint(header={"kid": "nobody-has-this"}),
        "critical": realm.mint(header={"crit": ["exp"]}),
        "not yet": realm.mint(claims={"nbf": int(realm.clock()) + 600}),
        "future": realm.mint(now=realm.clock() + 600),
        "expired and of another type": realm.mint(kind="id", now=realm.clock() - 3600),
        "garbage": "abc.def.ghi",
        "one word": "abc",
    }
    answers = {}
    for name, token in tokens.items():
        answer = await client.get("/v1/me", headers={**bearer(token), "X-Request-ID": "same"})
        answers[name] = (*shown(answer), answer.text)
    assert len(set(answers.values())) == 1, answers
    status, code, challenge, _ = answers["garbage"]
    assert (status, code) == (401, "invalid_token")
    assert challenge == f'{REALM}, error="invalid_token", error_description="The access token is not accepted"'


async def test_only_an_otherwise_good_token_is_told_that_it_expired(client: ApiClient) -> None:
    realm = client.server.realm("acme")
    answer = await client.me(realm.mint(now=realm.clock() - 3600))
    expected = f'{REALM}, error="invalid_token", error_description="The access token expired"'
    assert shown(answer) == (401, "token_expired", expected)


async def test_header_that_is_not_one_bearer_token_is_malformed(client: ApiClient) -> None:
    good = client.server.realm("acme").mint()
    longest = "a" * (8192 - len("Bearer "))
    assert shown(await client.me(longest))[:2] == (401, "invalid_token"), "8192 bytes are read"
    values = [
        f"Bearer\t{good}", f"Bearer \t{good}", f"Bearer  {good} more", f"Bearer {good} more", f"Bearer {good},{good}",
        f"Bearer {good}\tmore", "Bearer", "Bearer ", "Bearer   ", f"Bearer {longest}a", f"Bearer  {longest}",
    ]  # fmt: skip
    for value in values:
        answer = await client.get("/v1/me", headers={"Authorization": value})
        assert shown(answer) == (400, "invalid_request", f'{REALM}, error="invalid_request"'), value[:20]
        assert good not in answer.text


@pytest.mark.parametrize("path", ["/v1/me", "/t/acme/v1/me", "/authz"])
async def test_spaces_before_the_token_and_round_the_value_are_no_part_of_it(client: ApiClient, path: str) -> None:
    """A6: RFC 9110 section 11.4 has one space or more, section 5.5 takes white space round a value away."""
    good, other = client.server.realm("acme").mint(), client.server.realm("globex").mint()
    for form in (
        "Bearer  {}",
        "Bearer      {}",
        "Bearer {} ",
        "Bearer {}\t",
        " Bearer {}",
        "bearer  {} \t ",
        "Bearer {}",
    ):
        answer = await client.get(path, headers={"Authorization": form.format(good)})
        assert answer.status_code == 200, form
        theirs = await client.get(path.replace("/t/acme", ""), headers={"Authorization": form.format(other)})
        assert "globex" in theirs.headers.get("X-Tenant-Slug", theirs.text)


async def test_token_that_is_not_ascii_is_a_refused_token(client: ApiClient) -> None:
    for value in (b"Bearer \xe9\xff", b"Bearer \xa0a", "Bearer ﾊ".encode(), b'Bearer "a"', b"Bearer a\x01b"):
        answer = await client.get("/v1/me", headers=[(b"Authorization", value)])
        assert shown(answer)[:2] == (401, "invalid_token"), value


async def test_two_authorization_headers_are_malformed_whatever_their_order(client: ApiClient) -> None:
    good = client.server.realm("acme").mint()
    for second in (f"Bearer {good}", "Bearer other", "Basic YTpi"):
        for pair in ((f"Bearer {good}", second), (second, f"Bearer {good}")):
            answer = await client.get("/v1/me", headers=[("Authorization", value) for value in pair])
            assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/v1/me", "/authz"])
async def test_token_that_is_known_may_stand_nowhere_else_than_others(client: ApiClient, path: str) -> None:
    """A known token is found by the bytes of its header; that is no way round what else is asked of a header."""
    good = client.server.realm("acme").mint()
    known = f"Bearer {good}"
    assert (await client.get(path, headers={"Authorization": known})).status_code == 200
    for pair in ((known, known), (known, "Basic YTpi"), ("Bearer other", known)):
        answer = await client.get(path, headers=[("Authorization", value) for value in pair])
        assert answer.status_code == 400, pair
    for value in (f"{known} x", f"Bearer \t{good}", f"{known},x", f"Bearer  {good} {good}", f"Bearer {good}\t."):
        assert (await client.get(path, headers={"Authorization": value})).status_code == 400, value
    assert (await client.get(path, params={"access_token": good}, headers=bearer(good))).status_code == 400
    assert (await client.get(path, headers={"Authorization": f"bEARER {good}"})).status_code == 200


async def test_token_in_the_query_is_refused_also_beside_a_good_header(client: ApiClient) -> None:
    good = client.server.realm("acme").mint()
    for headers in ({}, bearer(good)):
        answer = await client.get("/v1/me", params={"access_token": good}, headers=headers)
        assert shown(answer)[:2] == (400, "invalid_request")
        assert good not in answer.text


@pytest.mark.parametrize(
    ("query", "status"),
    [("access%5Ftoken=x", 400), ("a=1&%61ccess_token=x", 400), ("access_token", 400), ("my_access_token=x", 200),
     ("q=access_token=x", 200)],
)  # fmt: skip
async def test_only_a_parameter_that_is_called_access_token_is_one(client: ApiClient, query: str, status: int) -> None:
    answer = await client.get(f"/v1/me?{query}", headers=bearer(client.server.realm("acme").mint()))
    assert answer.status_code == status


async def test_token_in_a_form_is_not_read(client: ApiClient) -> None:
    good = client.server.realm("acme").mint()
    answer = await client.post("/v1/items", data={"access_token": good})
    assert answer.status_code in (400, 401)
    assert good not in answer.text


async def test_scheme_may_be_written_in_any_case(client: ApiClient) -> None:
    for scheme in ("bearer", "BEARER", "Bearer"):
        headers = {"Authorization": f"{scheme} {client.server.realm('acme').mint()}"}
        assert (await client.get("/v1/me", headers=headers)).status_code == 200


async def test_missing_role_is_named_in_the_challenge(client: ApiClient) -> None:
    answer = await client.post("/v1/items", json={"title": "x"}, headers=bearer(_viewer(client)))
    assert shown(answer) == (
        403,
        "insufficient_role",
        f'{REALM}, error="insufficient_scope", error_description="The role editor is required", scope="editor"',
    )


async def test_request_id_is_kept_when_it_is_well_formed_and_made_when_not(client: ApiClient) -> None:
    kept = await client.get("/v1/me", headers={"X-Request-ID": "from-the_proxy.1"})
    assert (kept.headers["X-Request-ID"], kept.json()["request_id"]) == ("from-the_proxy.1", "from-the_proxy.1")
    for wrong in ("", "a b", "a" * 129, "a;b", '"'):
        made = await client.get("/v1/me", headers={"X-Request-ID": wrong})
        assert made.headers["X-Request-ID"] == made.json()["request_id"]
        assert made.headers["X-Request-ID"] != wrong
        assert len(made.headers["X-Request-ID"]) == 36


def _viewer(client: ApiClient) -> str:
    return client.server.realm("acme").mint(username="bob")


async def test_credential_holds_what_a_proof_of_the_request_needs(client: ApiClient) -> None:
    """The URL is that of the setting and never that of the Host header; without the setting it is not known."""
    headers = [(b"host", b"evil.example"), (b"authorization", b"bearer a.b.c"), (b"dpop", b"1"), (b"dpop", b"2")]
    scope = {"method": "POST", "raw_path": b"/v1/a%20b", "query_string": b"q=1", "headers": headers}
    services: Services = client.app.state.services
    found = credential_of(scope, services=services)
    assert found == Credential("Bearer", b"a.b.c", "POST", None, (b"1", b"2"))
    settings = services.settings.model_copy(update={"public_url": "https://api.example/"})
    assert credential_of(scope, services=replace(services, settings=settings)).url == "https://api.example/v1/a%20b"
