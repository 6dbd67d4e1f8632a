"""The claims of a realm's tokens in the format of Keycloak 26.7, one function for each kind."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import uuid4

from tenants_api.devkit.realms.certificates import base64url
from tenants_api.devkit.realms.people import ACCOUNT_ROLES, DevClient, DevUser, refresh_scope

Kind = Literal["access", "id", "refresh", "logout", "lightweight", "dpop", "service_account"]
OrganizationClaim = Sequence[str] | Mapping[str, Any] | str
"""The three forms of the claim: aliases; alias to id and attributes; one alias (mapper not multivalued)."""

ACCESS_SECONDS: Final = 300
REFRESH_SECONDS: Final = 1800
LOGOUT_SECONDS: Final = 120
USER_SCOPE: Final = "openid profile email"
SERVICE_SCOPE: Final = "profile email"
_LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, slots=True)
class Grant:
    """What the tokens of one response share: user, client, session and time."""

    realm: str
    issuer: str
    user: DevUser
    client: DevClient
    sid: str
    now: int
    scope: str = USER_SCOPE
    auth_time: int | None = None
    nonce: str | None = None
    organizations: OrganizationClaim | None = None
    jkt: str | None = None

    @property
    def subject(self) -> str:
        return self.user.subject(self.realm)


def new_sid() -> str:
    """24 characters base64url, as since Keycloak 26.5 (a UUID before)."""
    return secrets.token_urlsafe(18)


def new_thumbprint() -> str:
    """A random value in the form of a JWK thumbprint."""
    return secrets.token_urlsafe(32)


def access_claims(grant: Grant) -> dict[str, Any]:
    """An access token of a user; bound to a DPoP key (`cnf`) if the grant is."""
    claims = _common(grant, jti="onrtro", seconds=ACCESS_SECONDS) | _audience(grant)
    claims |= {"sub": grant.subject, "typ": "DPoP" if grant.jkt else "Bearer", "azp": grant.client.client_id}
    claims |= {"sid": grant.sid, "acr": "1", "allowed-origins": list(grant.client.origins)}
    claims |= _authentication(grant) | _roles(grant) | {"scope": grant.scope} | grant.user.profile()
    return claims | _groups(grant) | _organizations(grant) | _confirmation(grant)


def lightweight_claims(grant: Grant) -> dict[str, Any]:
    """Keycloak's lightweight token: no `sub`, no `aud`, no roles."""
    claims = _common(grant, jti="onltro", seconds=ACCESS_SECONDS) | {"typ": "Bearer", "azp": grant.client.client_id}
    return claims | {"sid": grant.sid, "scope": grant.scope} | _confirmation(grant)


def service_account_claims(grant: Grant) -> dict[str, Any]:
    """A client_credentials token: no `sid`; the service account and the client's address."""
    claims = _common(grant, jti="trrtcc", seconds=ACCESS_SECONDS) | _audience(grant)
    claims |= {"sub": grant.subject, "typ": "Bearer", "azp": grant.client.client_id, "acr": "1"}
    claims |= _roles(grant) | {"scope": grant.scope, "clientHost": "127.0.0.1", "email_verified": False}
    claims |= {"preferred_username": grant.user.username, "clientAddress": "127.0.0.1"}
    return claims | {"client_id": grant.client.client_id} | _confirmation(grant)


def refresh_claims(grant: Grant) -> dict[str, Any]:
    """A refresh token: its audience is the issuer; `aud_x` has the audience of the access token."""
    claims = _common(grant, jti=None, seconds=REFRESH_SECONDS) | {"aud": grant.issuer, "sub": grant.subject}
    claims |= {"typ": "Refresh", "azp": grant.client.client_id, "sid": grant.sid, "scope": refresh_scope(grant.scope)}
    audience = _audience(grant)
    return claims | {"aud_x": audience.get("aud"), "prov": "default"} | _confirmation(grant)


def identity_claims(grant: Grant) -> dict[str, Any]:
    """An ID token, without `at_hash`; its audience is the client."""
    client_id = grant.client.client_id
    claims = _common(grant, jti=None, seconds=ACCESS_SECONDS) | {"aud": client_id, "sub": grant.subject, "typ": "ID"}
    claims |= {"azp": client_id, "sid": grant.sid, "acr": "1"} | _authentication(grant) | grant.user.profile()
    return claims | ({"nonce": grant.nonce} if grant.nonce else {})


def logout_claims(grant: Grant) -> dict[str, Any]:
    """A back-channel logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4)."""
    claims = _common(grant, jti=None, seconds=LOGOUT_SECONDS) | {"aud": grant.client.client_id, "sub": grant.subject}
    return claims | {"typ": "Logout", "sid": grant.sid, "events": {_LOGOUT_EVENT: {}}}


CLAIMS: Final[dict[Kind, Callable[[Grant], dict[str, Any]]]] = {
    "access": access_claims,
    "id": identity_claims,
    "refresh": refresh_claims,
    "logout": logout_claims,
    "lightweight": lightweight_claims,
    "dpop": access_claims,
    "service_account": service_account_claims,
}


def at_hash(access_token: str, *, algorithm: str) -> str:
    """The left half of the access token's hash (OpenID Connect Core section 3.1.3.6)."""
    name = {"256": "sha256", "384": "sha384"}.get(algorithm[-3:], "sha512")
    digest = hashlib.new(name, access_token.encode()).digest()
    return base64url(digest[: len(digest) // 2])


def s256(verifier: str) -> str:
    """The PKCE challenge of a verifier (RFC 7636 section 4.2)."""
    return base64url(hashlib.sha256(verifier.encode()).digest())


def _common(grant: Grant, *, jti: str | None, seconds: int) -> dict[str, Any]:
    """Common claims; the prefix of `jti`: `onrtro` user session, `onltro` lightweight, `trrtcc` client credentials."""
    number = str(uuid4())
    return {
        "exp": grant.now + seconds,
        "iat": grant.now,
        "jti": f"{jti}:{number}" if jti else number,
        "iss": grant.issuer,
    }


def _audience(grant: Grant) -> dict[str, Any]:
    """A string for one audience, a list for several, no claim for none (Keycloak's serializer)."""
    own = (grant.client.audience,) if grant.client.audience else ()
    resolved = [client for client in _client_roles(grant) if client != grant.client.client_id]
    names = list(dict.fromkeys((*own, *resolved)))
    return {"aud": names[0] if len(names) == 1 else names} if names else {}


def _client_roles(grant: Grant) -> dict[str, list[str]]:
    roles = {client: list(names) for client, names in grant.user.client_roles.items() if names}
    return (roles if grant.client.full_scope else {}) | {"account": list(ACCOUNT_ROLES)}


def _roles(grant: Grant) -> dict[str, Any]:
    realm_roles = ["offline_access", *grant.user.realm_roles, "uma_authorization", f"default-roles-{grant.realm}"]
    return {
        "realm_access": {"roles": realm_roles},
        "resource_access": {client: {"roles": names} for client, names in _client_roles(grant).items()},
    }


def _authentication(grant: Grant) -> dict[str, Any]:
    """`auth_time`, which only the code flow has."""
    return {} if grant.auth_time is None else {"auth_time": grant.auth_time}


def _groups(grant: Grant) -> dict[str, Any]:
    return {"groups": list(grant.user.groups)} if grant.user.groups else {}


def _organizations(grant: Grant) -> dict[str, Any]:
    shape = grant.organizations
    if shape is None:
        return {}
    if isinstance(shape, str):
        return {"organization": shape}
    return {"organization": dict(shape) if isinstance(shape, Mapping) else list(shape)}


def _confirmation(grant: Grant) -> dict[str, Any]:
    return {"cnf": {"jkt": grant.jkt, "kc-jkt-type": "DPoP"}} if grant.jkt else {}
