"""The ways to a token of a Keycloak realm: password, client credentials, refresh, and the browser's code with PKCE."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

WEB_CLIENT = "web"
REDIRECT_URI = "http://localhost:8000/callback"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the token endpoint gave; a token that it did not give is empty."""

    access: str
    refresh: str
    id: str


class TokenRefused(Exception):
    """The token endpoint said no; `status` and `error` are its words."""

    def __init__(self, *, status: int, error: str, description: str) -> None:
        super().__init__(f"{status} {error}: {description}")
        self.status, self.error, self.description = status, error, description


@dataclass(frozen=True, slots=True)
class RealmLogin:
    """The token endpoint of one realm. Every method raises `TokenRefused`."""

    issuer: str

    def password(self, username: str, *, password: str | None = None, client_id: str = WEB_CLIENT) -> Tokens:
        """The password grant of a public client; the test realms' passwords are `<username>-pw`."""
        form = {"username": username, "password": password or f"{username}-pw", "scope": "openid"}
        return self.grant("password", client_id=client_id, **form)

    def client_credentials(self, client_id: str, *, secret: str) -> Tokens:
        return self.grant("client_credentials", client_id=client_id, client_secret=secret)

    def refresh(self, refresh_token: str, *, client_id: str = WEB_CLIENT) -> Tokens:
        return self.grant("refresh_token", client_id=client_id, refresh_token=refresh_token)

    def code(self, username: str, *, client_id: str = WEB_CLIENT, redirect_uri: str = REDIRECT_URI) -> Tokens:
        """Authorization code with PKCE S256, through the login page as a browser would."""
        verifier = secrets.token_urlsafe(48)
        state = secrets.token_urlsafe(16)
        page = httpx.get(
            f"{self.issuer}/protocol/openid-connect/auth",
            params={
                "response_type": "code",
                "client_id": client_id,
                "redirect_uri": redirect_uri,
                "scope": "openid",
                "state": state,
                "code_challenge": _s256(verifier),
                "code_challenge_method": "S256",
            },
            timeout=30,
            trust_env=False,
        ).raise_for_status()
        back = _submit(page, {"username": username, "password": f"{username}-pw"})
        code = _code_of(back, redirect_uri=redirect_uri, state=state)
        return self.grant(
            "authorization_code", client_id=client_id, code=code, redirect_uri=redirect_uri, code_verifier=verifier
        )

    def grant(self, grant_type: str, **form: str) -> Tokens:
        """One call to the token endpoint."""
        body = self._token_endpoint({"grant_type": grant_type, **form})
        return Tokens(access=body["access_token"], refresh=body.get("refresh_token", ""), id=body.get("id_token", ""))

    def key_set(self) -> list[dict[str, Any]]:
        """The entries of the realm's JWKS."""
        answer = httpx.get(f"{self.issuer}/protocol/openid-connect/certs", timeout=30, trust_env=False)
        keys: list[dict[str, Any]] = answer.raise_for_status().json()["keys"]
        return keys

    def not_before(self) -> int:
        """The realm's not-before, seconds since the epoch; 0 = never set."""
        answer = httpx.get(self.issuer, timeout=30, trust_env=False).raise_for_status()
        return int(answer.json()["tokens-not-before"])

    def _token_endpoint(self, form: dict[str, str]) -> dict[str, Any]:
        url = f"{self.issuer}/protocol/openid-connect/token"
        answer = httpx.post(url, data=form, timeout=30, trust_env=False)
        body: dict[str, Any] = answer.json()
        if answer.status_code != 200:
            raise TokenRefused(
                status=answer.status_code, error=body["error"], description=body.get("error_description", "")
            )
        return body


class _LoginForm(HTMLParser):
    """The form of Keycloak's login page: where it goes, and the hidden fields that go with it."""

    def __init__(self) -> None:
        super().__init__()
        self.action, self.fields = "", dict[str, str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "form" and named.get("id") == "kc-form-login":
            self.action = named.get("action") or ""
        elif tag == "input" and named.get("type") == "hidden" and named.get("name"):
            self.fields[str(named["name"])] = named.get("value") or ""


def _submit(page: httpx.Response, typed: dict[str, str]) -> httpx.Response:
    """Send the page's login form back with its cookies; Secure ones too, as browsers do for localhost."""
    form = _login_form(page.text)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in page.cookies.jar)
    return httpx.post(form.action, data=form.fields | typed, headers={"Cookie": cookies}, timeout=30, trust_env=False)


def _login_form(page: str) -> _LoginForm:
    form = _LoginForm()
    form.feed(page)
    assert form.action, f"no login form in:\n{page[:2000]}"
    return form


def _code_of(answer: httpx.Response, *, redirect_uri: str, state: str) -> str:
    """The code out of the redirect, which is read and not followed."""
    assert answer.status_code == 302, f"the login page answered {answer.status_code} instead of a redirect"
    location = answer.headers["Location"]
    assert location.startswith(f"{redirect_uri}?"), location
    query = parse_qs(urlsplit(location).query)
    assert query["state"] == [state]
    return query["code"][0]


def _s256(verifier: str) -> str:
    """RFC 7636 section 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
