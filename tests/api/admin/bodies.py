"""Bodies that the tests of the admin plane send, and what they look up in answers."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.stack import CLIENT_ID, ApiClient


def tenant_body(api: ApiClient, slug: str = "acme", *, realm: str | None = None, **changes: Any) -> dict[str, Any]:
    """A tenant that owns the development realm of its name (or of `realm`)."""
    issuer = api.server.realm(realm or slug).issuer
    return {
        "slug": slug,
        "name": slug.title(),
        "realms": [{"issuer": issuer, "client_id": CLIENT_ID}],
        **changes,
    }


def said(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"/problems/{problem['code']}"
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    return answer.status_code, problem["code"]


def pointers(answer: httpx.Response) -> list[str]:
    return [error["pointer"] for error in answer.json()["errors"]]


async def etag(api: ApiClient, path: str) -> dict[str, str]:
    """The If-Match header for what stands there now."""
    answer = await api.admin("GET", path)
    assert answer.status_code == 200, answer.text
    return {"If-Match": answer.headers["ETag"]}


async def slugs(api: ApiClient, **filters: Any) -> list[str]:
    answer = await api.admin("GET", "/tenants", params=filters)
    assert answer.status_code == 200, answer.text
    return [tenant["slug"] for tenant in answer.json()["data"]]
