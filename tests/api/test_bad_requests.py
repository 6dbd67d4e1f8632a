"""Bodies, methods and paths that are wrong: each has its problem, none is a 500."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.stack import ApiClient, bearer

JSON = "application/json"
NOT_STRICT = {
    "malformed": b'{"title": ',
    "nan": b'{"title": "x", "body": NaN}',
    "infinity": b'{"title": -Infinity}',
    "duplicate": b'{"title": "x", "title": "y"}',
    "duplicate inside": b'{"title": {"a": 1, "a": 2}}',
    "lone surrogate": b'{"title": "\\ud800"}',
    "lone surrogate as a name": b'{"\\udfff": "x"}',
    "not utf-8": b'{"title": "\xff"}',
    "byte order mark": b'\xef\xbb\xbf{"title": "x"}',
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 30_000 + b"1" + b"}" * 30_000,
    "huge number": b'{"title": ' + b"9" * 10_000 + b"}",
}


def editor(client: ApiClient, content_type: str = JSON) -> dict[str, str]:
    return {**bearer(client.server.realm("acme").mint()), "Content-Type": content_type}


@pytest.mark.parametrize("name", NOT_STRICT)
async def test_body_that_is_not_strict_json_is_400(client: ApiClient, name: str) -> None:
    for path in ("/v1/items", "/t/acme/v1/items"):
        answer = await client.post(path, content=NOT_STRICT[name], headers=editor(client))
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_body_over_the_limit_is_413_with_and_without_a_length(client: ApiClient) -> None:
    big = b'{"title": "' + b"x" * 300 * 1024 + b'"}'

    async def streamed() -> Any:
        for at in range(0, len(big), 65_536):
            yield big[at : at + 65_536]

    for content in (big, streamed()):
        answer = await client.post("/v1/items", content=content, headers=editor(client))
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "", "application/json5", "text/json"])
async def test_body_of_another_media_type_is_415(client: ApiClient, kind: str) -> None:
    answer = await client.post("/v1/items", content=b'{"title": "x"}', headers=editor(client, kind))
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_path_that_is_not_served_is_404_also_with_a_slash_too_much(client: ApiClient) -> None:
    for path in ("/nothing", "/v1/items/", "/v1/me/", "//v1/me", "/admin/nothing", "/t/acme", "/docs/static/none.js"):
        answer = await client.get(path, headers=editor(client))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        assert "location" not in answer.headers


async def test_method_that_the_path_does_not_have_is_405_with_allow(client: ApiClient) -> None:
    for method, path in (("DELETE", "/v1/me"), ("PUT", "/v1/items"), ("POST", "/livez"), ("GET", "/t/acme/login")):
        answer = await client.request(method, path, headers=editor(client))
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed"), path
        assert answer.headers["Allow"]


async def test_location_names_no_host_that_the_caller_made_up(client: ApiClient) -> None:
    for host in ("evil.example", "localhost/../x?", "evil.example:99999"):
        headers = {**editor(client), "Host": host}
        created = await client.post("/t/acme/v1/items", content=b'{"title": "x"}', headers=headers)
        assert created.headers["Location"] == f"/t/acme/v1/items/{created.json()['id']}"


async def test_answers_are_not_stored_and_not_sniffed(client: ApiClient) -> None:
    for path in ("/v1/me", "/v1/items", "/nothing", "/admin/v1/tenants"):
        answer = await client.get(path, headers=editor(client))
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_problem_echoes_nothing_of_what_was_sent(client: ApiClient) -> None:
    mark = "do-not-repeat-me"
    answer = await client.post("/v1/items", json={"title": 7, "body": [mark], "extra": mark}, headers=editor(client))
    assert answer.status_code == 422
    assert mark not in answer.text
