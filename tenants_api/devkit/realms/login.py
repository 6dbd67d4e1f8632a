"""The endpoints for browsers: login page, redirect with a code, and logout, with the ids of Keycloak's pages."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tenants_api.devkit.realms.guard import is_loopback_name
from tenants_api.devkit.realms.people import NO_STORE, DevClient, DevUser, Login, Refused, granted_scope
from tenants_api.devkit.realms.realm import DevRealm
from tenants_api.devkit.realms.token_endpoint import authenticate_client, check_password, read_form, read_refresh_token
from tenants_api.devkit.realms.tokens import new_sid

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in to {realm}</title>
<style>body{{font:16px system-ui,sans-serif;max-width:22rem;margin:4rem auto;padding:0 1rem}}
label,input,button{{display:block;width:100%;box-sizing:border-box;margin:.4rem 0;font:inherit;padding:.4rem}}
label{{padding:0}}.error{{color:#a00}}</style></head>
<body><h1>{realm}</h1><p>A development realm. Try <code>alice</code> with <code>alice-pw</code>.</p>
<p class="error" role="alert">{error}</p>
<form id="kc-form-login" action="{action}" method="post">
<label for="username">Username or email</label>
<input id="username" name="username" autocomplete="username" autofocus required>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button id="kc-login" type="submit">Sign In</button></form></body></html>
"""
_MESSAGE: Final = "<!doctype html><html lang='en'><title>{text}</title><p id='kc-page-title'>{text}</p></html>"


async def authorize(realm: DevRealm, request: Request) -> Response:
    """GET shows the login page; POST redirects with `state`, `session_state`, `iss` and `code` (RFC 9207).

    A wrong client or redirect URI gets a 400 page, never a redirect; redirect URIs must be of this machine.
    """
    query = request.query_params
    problem = _page_problem(realm, query)
    if problem is not None:
        return problem
    refused = _redirect_problem(query)
    if refused is not None:
        return _redirect(realm, query, {"error": refused.error, "error_description": refused.description})
    if request.method == "GET":
        return _login_page(realm, request)
    return await _sign_in(realm, request)


async def logout(realm: DevRealm, request: Request) -> Response:
    """RP-initiated logout with `id_token_hint`, or a POST with client and `refresh_token` (204)."""
    fields = dict(request.query_params) | (await read_form(request) if request.method == "POST" else {})
    if "refresh_token" in fields:
        return _end_by_refresh_token(realm, fields, request)
    claims = realm.keys.decode(fields.get("id_token_hint", ""))
    if claims is None or claims.get("typ") != "ID" or claims.get("iss") != realm.issuer:
        return _message("Missing parameters: id_token_hint", status=400)
    realm.sessions.end(str(claims.get("sid")))
    return _after_logout(fields)


async def _sign_in(realm: DevRealm, request: Request) -> Response:
    query = request.query_params
    try:
        user = check_password(realm, await read_form(request))
        scope = granted_scope(query.get("scope", ""), user=user)
    except Refused as refused:
        if refused.error == "invalid_scope":
            return _redirect(realm, query, {"error": refused.error, "error_description": refused.description})
        return _login_page(realm, request, error="Invalid username or password.")
    login = _login(realm, query, user, scope=scope)
    code = realm.sessions.issue_code(login)
    return _redirect(realm, query, {"session_state": login.sid, "iss": realm.issuer, "code": code})


def _login(realm: DevRealm, query: Mapping[str, str], user: DevUser, *, scope: str) -> Login:
    return Login(
        username=user.username,
        client_id=query["client_id"],
        redirect_uri=query["redirect_uri"],
        scope=scope,
        sid=new_sid(),
        at=realm.clock(),
        nonce=query.get("nonce"),
        challenge=query.get("code_challenge"),
        challenge_method=query.get("code_challenge_method", "plain"),
    )


def _page_problem(realm: DevRealm, query: Mapping[str, str]) -> Response | None:
    """An error that must not be sent to the redirect URI, because it may not be the client's."""
    if not realm.enabled:
        return _message("Realm not enabled", status=403)
    client: DevClient | None = realm.clients.get(query.get("client_id", ""))
    if client is None:
        return _message("Client not found.", status=400)
    if not client.login:
        return _message("Client is not allowed to initiate browser login", status=403)
    if not _is_local_url(query.get("redirect_uri", "")):
        return _message("Invalid parameter: redirect_uri", status=400)
    return None


def _redirect_problem(query: Mapping[str, str]) -> Refused | None:
    if "response_type" not in query:
        return Refused("invalid_request", "Missing parameter: response_type")
    if query["response_type"] != "code":
        return Refused("unsupported_response_type", "Invalid parameter: response_type")
    if query.get("code_challenge_method", "plain") not in ("plain", "S256"):
        return Refused("invalid_request", "Invalid parameter: code challenge method")
    return None


def _redirect(realm: DevRealm, query: Mapping[str, str], parameters: dict[str, str]) -> Response:
    state = {"state": query["state"]} if "state" in query else {}
    parameters = state | {"iss": realm.issuer} | parameters
    joint = "&" if urlsplit(query["redirect_uri"]).query else "?"
    location = f"{query['redirect_uri']}{joint}{urlencode(parameters)}"
    return RedirectResponse(location, status_code=302, headers=NO_STORE)


def _login_page(realm: DevRealm, request: Request, *, error: str = "") -> Response:
    action = f"{realm.realm_url}/protocol/openid-connect/auth?{request.url.query}"
    page = _PAGE.format(realm=escape(realm.name), action=escape(action), error=escape(error))
    return HTMLResponse(page, headers=NO_STORE)


def _end_by_refresh_token(realm: DevRealm, fields: Mapping[str, str], request: Request) -> Response:
    try:
        client = authenticate_client(realm, fields, request)
        claims = read_refresh_token(realm, fields["refresh_token"], client=client)
    except Refused as refused:
        return refused.response()
    realm.sessions.end(claims["sid"])
    return Response(status_code=204)


def _after_logout(fields: Mapping[str, str]) -> Response:
    target = fields.get("post_logout_redirect_uri")
    if target is None:
        return _message("You are logged out", status=200)
    if not _is_local_url(target):
        return _message("Invalid redirect uri", status=400)
    state = f"?{urlencode({'state': fields['state']})}" if "state" in fields else ""
    return RedirectResponse(f"{target}{state}", status_code=302)


def _is_local_url(url: str) -> bool:
    """Whether a URL is http(s) to this machine, on any port: codes must not leave it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain = not parts.fragment and "@" not in parts.netloc and "\\" not in url
    return plain and parts.scheme in ("http", "https") and is_loopback_name(parts.hostname)


def _message(text: str, *, status: int) -> Response:
    return HTMLResponse(_MESSAGE.format(text=escape(text)), status_code=status)
