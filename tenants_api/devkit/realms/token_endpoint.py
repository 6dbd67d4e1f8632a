"""`POST …/token`: password, client_credentials, refresh_token and authorization_code with PKCE, as in Keycloak."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tenants_api.devkit.realms.certificates import proof_thumbprint
from tenants_api.devkit.realms.people import (
    INVALID_CLIENT,
    NO_STORE,
    DevClient,
    DevUser,
    Login,
    Refused,
    granted_scope,
    invalid_grant,
    organizations_of,
    shown_scope,
)
from tenants_api.devkit.realms.realm import DevRealm
from tenants_api.devkit.realms.tokens import ACCESS_SECONDS, REFRESH_SECONDS, Grant, s256

Form = Mapping[str, str]


async def token(realm: DevRealm, request: Request) -> Response:
    """The token endpoint. An empty form gets 400 from an enabled realm, 403 from a disabled one."""
    try:
        form = await read_form(request)
        return _answer(realm, form, request)
    except Refused as refused:
        return refused.response()


async def read_form(request: Request) -> dict[str, str]:
    """The text fields of the form; the last value of a repeated one."""
    async with request.form() as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


def authenticate_client(realm: DevRealm, form: Form, request: Request) -> DevClient:
    """The client by HTTP Basic or form fields. Raises `Refused` (401) for an unknown one or a wrong secret."""
    client_id, secret = _basic(request) or (form.get("client_id", ""), form.get("client_secret", ""))
    client = realm.clients.get(client_id)
    if client is None:
        raise Refused("invalid_client", INVALID_CLIENT, 401)
    if client.secret is not None and not hmac.compare_digest(client.secret.encode(), secret.encode()):
        raise Refused("unauthorized_client", INVALID_CLIENT, 401)
    return client


def check_password(realm: DevRealm, form: Form) -> DevUser:
    """The user of a form; raises the errors of Keycloak's direct grant flow in its order."""
    user = realm.find_user(form.get("username", ""))
    if user is None:
        raise invalid_grant("Invalid user credentials")
    if not user.enabled:
        raise invalid_grant("Account disabled")
    if not hmac.compare_digest(user.password.encode(), form.get("password", "").encode()):
        raise invalid_grant("Invalid user credentials")
    if user.required_action:
        raise invalid_grant("Account is not fully set up")
    return user


def _answer(realm: DevRealm, form: Form, request: Request) -> Response:
    if not realm.enabled:
        raise Refused("access_denied", "Realm not enabled", 403)  # only this endpoint shows it (26.7)
    if "grant_type" not in form:
        raise Refused("invalid_request", "Missing form parameter: grant_type")
    grant_type = _GRANTS.get(form["grant_type"])
    if grant_type is None:
        raise Refused("unsupported_grant_type", "Unsupported grant_type")
    client = authenticate_client(realm, form, request)
    return grant_type(realm, form, client, proof_thumbprint(request.headers.get("DPoP")))


def _password(realm: DevRealm, form: Form, client: DevClient, jkt: str | None) -> Response:
    if not client.login:
        raise Refused("unauthorized_client", "Client not allowed for direct access grants")
    user = check_password(realm, form)
    scope = granted_scope(form.get("scope", ""), user=user)
    return _tokens(realm, _user_grant(realm, user, client=client, scope=scope, jkt=jkt))


def _client_credentials(realm: DevRealm, form: Form, client: DevClient, jkt: str | None) -> Response:
    if client.secret is None:
        raise Refused("unauthorized_client", "Public client not allowed to retrieve service account", 401)
    if not client.service_account:
        raise Refused("unauthorized_client", "Client not enabled to retrieve service account", 401)
    grant = realm.service_grant(client, jkt=jkt)
    body = {"access_token": realm.sign(grant, kind="service_account"), "expires_in": ACCESS_SECONDS}
    body |= {"refresh_expires_in": 0, "token_type": _token_type(grant)}
    return JSONResponse(body | {"not-before-policy": realm.not_before, "scope": grant.scope}, headers=NO_STORE)


def _refresh_token(realm: DevRealm, form: Form, client: DevClient, jkt: str | None) -> Response:
    if "refresh_token" not in form:
        raise Refused("invalid_request", "No refresh token")
    claims = read_refresh_token(realm, form["refresh_token"], client=client)
    user = realm.find_subject(claims["sub"])
    if user is None:
        raise invalid_grant("Invalid refresh token")
    if not user.enabled:
        raise invalid_grant("User disabled")
    scope = shown_scope(claims["scope"])
    return _tokens(realm, _user_grant(realm, user, client=client, scope=scope, jkt=jkt, sid=claims["sid"]))


def read_refresh_token(realm: DevRealm, raw: str, *, client: DevClient) -> dict[str, Any]:
    """The claims of a valid refresh token of this realm and client. Raises `Refused`."""
    claims = realm.keys.decode(raw)
    if claims is None or claims.get("typ") != "Refresh" or claims.get("iss") != realm.issuer:
        raise invalid_grant("Invalid refresh token")
    if claims.get("azp") != client.client_id:
        raise invalid_grant("Invalid refresh token. Token client and authorized client don't match")
    if claims["exp"] <= realm.clock():
        raise invalid_grant("Token is not active")
    if claims["iat"] < realm.not_before:
        raise invalid_grant("Stale token")
    if not realm.sessions.is_live(claims["sid"]):
        raise invalid_grant("Session not active")
    return claims


def _authorization_code(realm: DevRealm, form: Form, client: DevClient, jkt: str | None) -> Response:
    if "code" not in form:
        raise Refused("invalid_request", "Missing parameter: code")
    login = realm.sessions.redeem(form["code"], now=realm.clock())
    if login is None or login.client_id != client.client_id or login.username not in realm.users:
        raise invalid_grant("Code not valid")
    _check_login(login, form)
    grant = _user_grant(
        realm,
        realm.users[login.username],
        client=client,
        scope=login.scope,
        jkt=jkt,
        sid=login.sid,
        auth_time=int(login.at),
        nonce=login.nonce,
    )
    return _tokens(realm, grant)


def _check_login(login: Login, form: Form) -> None:
    """Compare the redirect URI, and the PKCE verifier (RFC 7636 section 4.6)."""
    if form.get("redirect_uri", "") != login.redirect_uri:
        raise invalid_grant("Incorrect redirect_uri")
    if login.challenge is None:
        return
    verifier = form.get("code_verifier")
    if verifier is None:
        raise invalid_grant("PKCE code verifier not specified")
    challenge = s256(verifier) if login.challenge_method == "S256" else verifier
    if not hmac.compare_digest(challenge.encode(), login.challenge.encode()):
        raise invalid_grant("PKCE verification failed: Code mismatch")


def _user_grant(realm: DevRealm, user: DevUser, *, client: DevClient, scope: str, **extra: Any) -> Grant:
    return realm.user_grant(user, client=client, scope=scope, organizations=organizations_of(user, scope), **extra)


def _tokens(realm: DevRealm, grant: Grant) -> Response:
    """A token response with a session; with an ID token for the scope `openid`."""
    access = realm.sign(grant, kind="lightweight" if grant.client.lightweight else "access")
    body: dict[str, Any] = {
        "access_token": access,
        "expires_in": ACCESS_SECONDS,
        "refresh_expires_in": REFRESH_SECONDS,
        "refresh_token": realm.sign(grant, kind="refresh"),
        "token_type": _token_type(grant),
    }
    if "openid" in grant.scope.split():
        body["id_token"] = realm.sign(grant, kind="id", access_token=access)
    body |= {"not-before-policy": realm.not_before, "session_state": grant.sid, "scope": grant.scope}
    return JSONResponse(body, headers=NO_STORE)


def _token_type(grant: Grant) -> str:
    return "DPoP" if grant.jkt else "Bearer"


def _basic(request: Request) -> tuple[str, str] | None:
    """Client id and secret of HTTP Basic, both form-encoded (RFC 6749 section 2.3.1)."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ("", "")
    return unquote_plus(name), unquote_plus(secret)


_GRANTS: Final[dict[str, Callable[[DevRealm, Form, DevClient, str | None], Response]]] = {
    "password": _password,
    "client_credentials": _client_credentials,
    "refresh_token": _refresh_token,
    "authorization_code": _authorization_code,
}
