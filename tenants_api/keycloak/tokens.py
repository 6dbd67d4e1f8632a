"""The password grant at a realm's token endpoint (RFC 6749 section 4.3), for the opt-in login route."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tenants_api.keycloak.realm import check_status, parse_object
from tenants_api.outbound.client import RealmClient, RealmResponse
from tenants_api.outbound.errors import LoginRefused, RealmFault

# RFC 6749 section 5.2. Only these are logged: any other text could be the password that the realm was sent.
_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """The realm's tokens, which no repr shows. Times are seconds from now."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: int
    refresh_expires_in: int | None
    token_type: str
    scope: str | None


async def password_grant(
    client: RealmClient,
    realm_url: str,
    *,
    client_id: str,
    username: str,
    password: str,
    scope: str = "openid",
    ca_bundle: str | None = None,
) -> TokenResponse:
    """Exchange a user name and a password for tokens.

    Raises:
        LoginRefused: the realm refused; `kind` is the reason for the operator.
        RealmFault: the realm cannot be reached, or its response is invalid.
    """
    url = f"{realm_url}/protocol/openid-connect/token"
    form = {"grant_type": "password", "client_id": client_id, "username": username, "password": password}
    response = await client.post_form(url, {**form, "scope": scope}, ca_bundle=ca_bundle)
    if response.status in (400, 401, 403):
        raise _refused(response, url=url)
    check_status(response, url=url)
    return _token_response(parse_object(response.body, url=url), url=url)


def _refused(response: RealmResponse, *, url: str) -> LoginRefused:
    body = parse_object(response.body, url=url)
    error, description = str(body.get("error", ""))[:40], str(body.get("error_description", ""))[:100]
    known = error if error in _ERRORS else "other"
    if error != "invalid_grant":
        return LoginRefused("client_refused", error=known, message=f"the realm refused the login client: {error}")
    # 401 before Keycloak 26.6, 400 since; only the description distinguishes a wrong password from an account that is
    # not ready, and a response never does.
    if "credentials" in description:
        return LoginRefused("invalid_credentials", error=known, message="wrong user name or password")
    return LoginRefused("account_not_ready", error=known, message=f"the realm refused the account: {description}")


def _token_response(body: dict[str, Any], *, url: str) -> TokenResponse:
    access, refresh, lifetime = body.get("access_token"), body.get("refresh_token"), body.get("expires_in")
    if not isinstance(access, str) or type(lifetime) is not int:
        raise RealmFault("NotJson", message=f"expected a token response at {url}, found something else")
    refresh_lifetime, scope = body.get("refresh_expires_in"), body.get("scope")
    return TokenResponse(
        access_token=access,
        refresh_token=refresh if isinstance(refresh, str) else None,
        expires_in=lifetime,
        refresh_expires_in=refresh_lifetime if type(refresh_lifetime) is int else None,
        token_type=str(body.get("token_type", "Bearer"))[:20],
        scope=scope if isinstance(scope, str) else None,
    )
