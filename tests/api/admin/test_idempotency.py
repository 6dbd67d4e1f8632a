"""Idempotency-Key: one request, one effect, however often it is sent."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.admin.bodies import said, slugs, tenant_body
from tests.support.stack import ApiClient, bearer, onboard


async def create(api: ApiClient, key: str, *, slug: str = "acme", **changes: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return await api.admin("POST", "/tenants", json=tenant_body(api, slug, **changes), headers=headers)


async def test_repeated_create_gets_the_first_answer_again(api: ApiClient) -> None:
    first, second = await create(api, "k1"), await create(api, "k1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.content == first.content
    for name in ("Location", "ETag", "Content-Type", "Cache-Control"):
        assert second.headers[name] == first.headers[name]
    assert len((await api.admin("GET", "/audit-events", params={"action": "tenant.created"})).json()["data"]) == 1


async def test_same_key_for_another_request_is_refused(api: ApiClient) -> None:
    await create(api, "k1")
    assert said(await create(api, "k1", name="Other")) == (422, "idempotency_mismatch")
    other_path = await api.admin("POST", "/tenants/acme/suspend", headers={"Idempotency-Key": "k1"})
    assert said(other_path) == (422, "idempotency_mismatch")
    assert (await api.admin("GET", "/tenants/acme")).json()["state"] == "active"


async def test_while_the_first_runs_the_second_is_told_to_wait(api: ApiClient) -> None:
    api.server.realm("acme").faults.slow_seconds = 0.3
    first, second = await asyncio.gather(create(api, "k1"), create(api, "k1"))
    answers = sorted((first, second), key=lambda answer: answer.status_code)
    assert answers[0].status_code == 201
    assert said(answers[1]) == (409, "idempotency_in_flight")
    assert answers[1].headers["Retry-After"] == "1"
    assert (await create(api, "k1")).headers["Idempotency-Replayed"] == "true"


async def test_crowd_with_one_key_makes_one_tenant_also_where_half_of_it_asks_for_another(api: ApiClient) -> None:
    """Replay and conflict at the same instant: one effect, and nobody gets the answer to another's question."""
    asked = ("acme" if number % 2 else "globex" for number in range(24))
    answers = await asyncio.gather(*(create(api, "k1", slug=slug, realm=slug) for slug in asked))
    made = [answer.json()["slug"] for answer in answers if answer.status_code == 201]
    told = {said(answer) for answer in answers if answer.status_code != 201}
    assert len(set(made)) == 1
    assert told <= {(409, "idempotency_in_flight"), (422, "idempotency_mismatch")}
    assert await slugs(api) == made[:1]
    assert len((await api.admin("GET", "/audit-events", params={"action": "tenant.created"})).json()["data"]) == 1
    other = "globex" if made[0] == "acme" else "acme"
    assert said(await create(api, "k1", slug=other, realm=other)) == (422, "idempotency_mismatch")


async def test_refused_request_leaves_its_key_free(api: ApiClient) -> None:
    api.server.realm("acme").faults.down = True
    assert said(await create(api, "k1", activate="now")) == (422, "realm_not_ready")
    api.server.realm("acme").faults.clear()
    assert (await create(api, "k1", activate="now")).status_code == 201
    assert await slugs(api) == ["acme"]


async def test_replayed_transition_does_nothing_twice(api: ApiClient) -> None:
    await onboard(api, "acme")
    headers = {"Idempotency-Key": "suspend-1"}
    await api.admin("POST", "/tenants/acme/suspend", headers=headers)
    await api.admin("POST", "/tenants/acme/resume")
    again = await api.admin("POST", "/tenants/acme/suspend", headers=headers)
    assert (again.status_code, again.json()["state"]) == (200, "suspended")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await api.admin("GET", "/tenants/acme")).json()["state"] == "active"


async def test_key_of_one_caller_says_nothing_to_another(api: ApiClient) -> None:
    made = await api.admin("POST", "/api-keys", json={"name": "other", "scopes": ["tenants:write"]})
    await create(api, "k1")
    body, headers = tenant_body(api, "globex"), {**bearer(made.json()["key"]), "Idempotency-Key": "k1"}
    answer = await api.post("/admin/v1/tenants", json=body, headers=headers)
    assert (answer.status_code, answer.json()["slug"]) == (201, "globex")
    assert said(await api.post("/admin/v1/tenants", json=body, headers={"Idempotency-Key": "k1"})) == (
        401,
        "missing_token",
    )


async def test_secret_that_was_shown_once_is_neither_replayed_nor_stored(api: ApiClient, tmp_path: Path) -> None:
    send = {"json": {"name": "ci", "scopes": ["tenants:read"]}, "headers": {"Idempotency-Key": "k1"}}
    first, second = await api.admin("POST", "/api-keys", **send), await api.admin("POST", "/api-keys", **send)
    assert first.json()["key"].startswith("tak_")
    assert (second.status_code, second.json()) == (201, {**first.json(), "key": None})
    assert len((await api.admin("GET", "/api-keys")).json()["data"]) == 1
    secret = first.json()["key"].rpartition("_")[2]
    assert secret.encode() not in dump(tmp_path / "tenants.db")


async def test_answer_about_a_token_is_not_stored(api: ApiClient, tmp_path: Path) -> None:
    await onboard(api, "acme")
    token = api.server.realm("acme").mint()
    send = {"json": {"token": token}, "headers": {"Idempotency-Key": "k1"}}
    first = await api.admin("POST", "/tokens/explain", **send)
    assert first.json()["accepted"] is True
    await api.admin("POST", "/tenants/acme/suspend")
    assert (await api.admin("POST", "/tokens/explain", **send)).json()["reason"] == "tenant_suspended"
    stored = dump(tmp_path / "tenants.db")
    subject = api.server.realm("acme").users["alice"].subject("acme")
    assert subject.encode() not in stored
    assert token.rpartition(".")[2].encode() not in stored


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_key_that_is_none_is_refused(empty_api: ApiClient, key: str) -> None:
    assert said(await create(empty_api, key)) == (400, "invalid_request")


def dump(path: Path) -> bytes:
    """Everything that the database holds."""
    connection = sqlite3.connect(path)
    text = "\n".join(connection.iterdump())
    connection.close()
    # Bodies are stored as bytes, which the dump writes in hexadecimal.
    blobs = [bytes.fromhex(part) for part in hexadecimal(text)]
    return text.encode() + b"\n".join(blobs)


def hexadecimal(text: str) -> list[str]:
    return [part.partition("'")[0] for part in text.split("X'")[1:]]
