"""The tenant plane as a client meets it: front page, the caller, items, and the tenant in the path."""

from __future__ import annotations

from functools import partial
from typing import Any

import httpx
import pytest

from tenants_api.app import create_app
from tests.support.stack import ApiClient, bearer, running_app

ME = {
    "tenant", "issuer", "organization", "subject", "username", "email", "email_verified", "full_name", "roles",
    "authorized_party", "scopes", "expires_at", "service_account",
}  # fmt: skip


def caller(client: ApiClient, username: str = "alice", *, of: str = "acme") -> dict[str, str]:
    return bearer(client.server.realm(of).mint(username=username))


async def create(client: ApiClient, title: str = "Paper", *, of: str = "acme") -> httpx.Response:
    answer = await client.post("/v1/items", json={"title": title}, headers=caller(client, of=of))
    assert answer.status_code == 201, answer.text
    return answer


async def test_front_page_says_what_this_is(client: ApiClient) -> None:
    answer = await client.get("/")
    assert set(answer.json()) == {"name", "version", "message", "docs"}


async def test_public_answers_the_same_whatever_the_token(client: ApiClient) -> None:
    good = client.server.realm("acme").mint()
    for headers in ({}, bearer(good), bearer("broken"), {"Authorization": "Bearer a b c"}, bearer(good[:-4] + "AAAA")):
        answer = await client.get("/public", headers=headers)
        assert (answer.status_code, set(answer.json())) == (200, {"message"})


async def test_me_shows_the_user_as_the_api_sees_them(client: ApiClient) -> None:
    me = (await client.get("/v1/me", headers=caller(client))).json()
    assert set(me) == ME
    assert (me["tenant"]["slug"], me["tenant"]["name"]) == ("acme", "Acme")
    assert (me["username"], me["email"], me["full_name"]) == ("alice", "alice@acme.example", "Alice Doe")
    assert (me["roles"], me["authorized_party"], me["email_verified"]) == (["editor"], "web", True)
    assert me["issuer"] == client.server.realm("acme").issuer
    assert me["expires_at"].endswith("Z")
    assert (me["service_account"], me["organization"]) == (False, None)
    assert "openid" in me["scopes"]


async def test_me_of_a_service_account_has_null_where_the_token_says_nothing(client: ApiClient) -> None:
    me = (await client.me(client.server.realm("acme").mint(kind="service_account"))).json()
    assert set(me) == ME
    assert (me["email"], me["full_name"], me["organization"]) == (None, None, None)
    assert me["service_account"] is True
    assert me["username"] == "service-account-tenants-api"


async def test_own_tenant_shows_issuers_and_nothing_of_the_inside(client: ApiClient) -> None:
    own = (await client.get("/v1/tenant", headers=caller(client, "bob"))).json()
    assert set(own) == {"slug", "name", "state", "realms", "role_mapping"}
    assert own["realms"] == [{"issuer": client.server.realm("acme").issuer}]


@pytest.mark.parametrize(
    ("username", "read", "write", "delete"),
    [("bob", 200, 403, 403), ("alice", 200, 201, 403), ("carol", 200, 201, 204)],
)
async def test_items_are_open_as_far_as_the_role_goes(
    client: ApiClient, username: str, read: int, write: int, delete: int
) -> None:
    headers, item = caller(client, username), (await create(client)).json()
    path = f"/v1/items/{item['id']}"
    assert (await client.get("/v1/items", headers=headers)).status_code == read
    assert (await client.get(path, headers=headers)).json() == item
    assert (await client.post("/v1/items", json={"title": "x"}, headers=headers)).status_code == write
    changed = await client.patch(path, json={"body": "b"}, headers=headers)
    assert changed.status_code == (200 if write == 201 else 403)
    removed = await client.delete(path, headers=headers)
    assert removed.status_code == delete
    if delete == 403:
        assert removed.json()["required_role"] == "admin"
        assert 'error="insufficient_scope"' in removed.headers["WWW-Authenticate"]


async def test_created_item_is_found_at_its_location_with_its_etag(client: ApiClient) -> None:
    created = await create(client)
    item = created.json()
    assert set(item) == {"id", "title", "body", "created_by", "created_at", "updated_at", "version"}
    read = await client.get(created.headers["Location"], headers=caller(client))
    assert (read.json(), read.headers["ETag"]) == (item, created.headers["ETag"])
    assert read.headers["Cache-Control"] == "no-store"


async def test_merge_patch_changes_what_it_names_and_if_match_guards_it(client: ApiClient) -> None:
    created = await create(client, "Old")
    path, headers = created.headers["Location"], caller(client)
    patched = await client.patch(path, json={"body": "text"}, headers={**headers, "If-Match": created.headers["ETag"]})
    assert (patched.json()["title"], patched.json()["body"]) == ("Old", "text")
    assert patched.headers["ETag"] != created.headers["ETag"]
    stale = await client.patch(path, json={"title": "x"}, headers={**headers, "If-Match": created.headers["ETag"]})
    assert (stale.status_code, stale.json()["code"]) == (412, "etag_mismatch")
    merge = {**headers, "Content-Type": "application/merge-patch+json"}
    emptied = await client.patch(path, content=b'{"body": null}', headers=merge)
    assert (emptied.json()["title"], emptied.json()["body"]) == ("Old", None)


async def test_item_of_another_tenant_looks_like_none_at_all(client: ApiClient) -> None:
    path = (await create(client)).headers["Location"]
    headers = caller(client, "carol", of="globex")
    answers = [
        await client.get(path, headers=headers),
        await client.patch(path, json={"title": "mine"}, headers=headers),
        await client.delete(path, headers=headers),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "item_not_found")}
    assert (await client.get("/v1/items", headers=headers)).json()["data"] == []
    assert (await client.get(path, headers=caller(client))).json()["title"] == "Paper"


async def test_pages_hold_every_item_once_in_both_directions(client: ApiClient) -> None:
    titles = [f"page-{number}" for number in range(5)]
    for title in titles:
        await create(client, title, of="globex")
    headers = caller(client, "bob", of="globex")
    seen: list[Any] = []
    page = (await client.get("/v1/items", params={"limit": 2}, headers=headers)).json()
    assert page["list_metadata"]["before"] is None
    while True:
        seen += [item["title"] for item in page["data"]]
        after = page["list_metadata"]["after"]
        if after is None:
            break
        page = (await client.get("/v1/items", params={"limit": 2, "after": after}, headers=headers)).json()
    assert seen == titles
    back = {"limit": 2, "before": page["list_metadata"]["before"]}
    assert [item["title"] for item in (await client.get("/v1/items", params=back, headers=headers)).json()["data"]] == [
        "page-2",
        "page-3",
    ]
    for wrong in ({"limit": 0}, {"limit": 101}, {"after": "nonsense"}, {"limit": "x"}):
        assert (await client.get("/v1/items", params=wrong, headers=headers)).json()["code"] == "validation_failed"
    for item in (await client.get("/v1/items", params={"limit": 100}, headers=headers)).json()["data"]:
        await client.delete(f"/v1/items/{item['id']}", headers=caller(client, "carol", of="globex"))


async def test_routes_below_the_tenants_path_are_the_same_routes(client: ApiClient) -> None:
    headers = caller(client)
    for path in ("/v1/me", "/v1/tenant", "/v1/items"):
        assert (await client.get(f"/t/acme{path}", headers=headers)).json() == (
            await client.get(path, headers=headers)
        ).json()
    created = await client.post("/t/acme/v1/items", json={"title": "x"}, headers=headers)
    assert created.headers["Location"].startswith("/t/acme/v1/items/")
    assert (await client.get(created.headers["Location"], headers=headers)).status_code == 200


async def test_mismatch_does_not_tell_whether_the_other_tenant_exists(client: ApiClient) -> None:
    answers = []
    for slug in ("globex", "nobody-has-this"):
        answer = await client.get(f"/t/{slug}/v1/me", headers={**caller(client), "X-Request-ID": "same"})
        answers.append((answer.status_code, answer.json(), dict(answer.headers)))
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][1]["code"]) == (403, "tenant_mismatch")
    assert (await client.get("/t/globex/v1/me")).json()["code"] == "missing_token"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"title": ""},
        {"title": 7},
        {"title": "x" * 201},
        {"title": "x", "tenant": "globex"},
        {"title": "a\u0000b"},
        [],
    ],
    ids=repr,
)
async def test_item_that_does_not_fit_the_contract_is_422(client: ApiClient, body: Any) -> None:
    answer = await client.post("/v1/items", json=body, headers=caller(client))
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"]


async def test_item_id_that_is_no_uuid_is_422_or_404_and_never_500(client: ApiClient) -> None:
    for wrong in ("x", "%00", "..%2f..", "1" * 500):
        assert (await client.get(f"/v1/items/{wrong}", headers=caller(client))).status_code in (404, 422)


async def test_without_the_sample_there_are_no_items(
    client: ApiClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from_library = tmp_path_factory.mktemp("library")
    async with running_app(from_library, client.server, factory=partial(create_app, sample=False)) as bare:
        assert (await bare.get("/v1/items")).status_code == 404
        assert (await bare.get("/v1/me")).status_code == 401
