"""The calls that a client makes, in one line each."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

OIDC = "/realms/obs/protocol/openid-connect"
CALLBACK = "http://localhost:8000/callback"


async def post_token(http: httpx.AsyncClient, *, realm: str = "obs", **form: str) -> httpx.Response:
    return await http.post(f"/realms/{realm}/protocol/openid-connect/token", data=form)


async def password(http: httpx.AsyncClient, *, realm: str = "obs", **form: str) -> dict[str, Any]:
    login = {"client_id": "web", "username": "alice", "password": "alice-pw", "scope": "openid"} | form
    answer = await post_token(http, realm=realm, grant_type="password", **login)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def sign_in(http: httpx.AsyncClient, *, secret: str = "alice-pw", **query: str) -> httpx.Response:
    """Through the login page, as a browser: GET, then POST to the form's action."""
    asked = {"client_id": "web", "redirect_uri": CALLBACK, "response_type": "code", "scope": "openid"} | query
    page = await http.get(f"{OIDC}/auth", params=asked)
    assert page.status_code == 200, page.text
    action = re.search(r'action="([^"]+)"', page.text)
    assert action is not None
    return await http.post(unescape(action[1]), data={"username": "alice", "password": secret})


def answer_of(redirect: httpx.Response) -> dict[str, str]:
    """The parameters that the redirect carries to the client."""
    assert redirect.status_code == 302, redirect.text
    return {name: values[0] for name, values in parse_qs(urlsplit(redirect.headers["location"]).query).items()}
