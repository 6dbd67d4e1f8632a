"""The users, clients, sessions and scopes of a development realm, as values."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from starlette.responses import JSONResponse


class Refused(Exception):
    """An OAuth error of the token endpoint (RFC 6749 section 5.2)."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{status} {error}: {description}")
        self.error, self.description, self.status = error, description, status

    def response(self) -> JSONResponse:
        body = {"error": self.error, "error_description": self.description}
        return JSONResponse(body, status_code=self.status, headers=NO_STORE)


NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
INVALID_CLIENT = "Invalid client or Invalid client credentials"


def invalid_grant(description: str) -> Refused:
    return Refused("invalid_grant", description)


API_CLIENT = "tenants-api"
ACCOUNT_ROLES = ("manage-account", "manage-account-links", "view-profile")
CONFIDENTIAL_SECRET = "s3cret"  # noqa: S105 - a development realm is reachable from this machine only


@dataclass(frozen=True, slots=True)
class DevUser:
    """A user. `client_roles` maps client id to role names; a user also has the realm's default roles.

    `groups` are full paths (`/staff`); without any there is no claim `groups`. `organizations` are aliases, which the
    scope `organization` adds to the token.
    """

    username: str
    password: str
    email: str
    first_name: str
    last_name: str
    realm_roles: tuple[str, ...] = ()
    client_roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    enabled: bool = True
    required_action: bool = False
    organizations: tuple[str, ...] = ()

    def subject(self, realm: str) -> str:
        """`sub`: a UUID that depends on realm and user name only."""
        return str(uuid5(NAMESPACE_URL, f"{realm}/{self.username}"))

    def profile(self) -> dict[str, Any]:
        """The claims of the scopes `profile` and `email`."""
        return {
            "email_verified": True,
            "name": f"{self.first_name} {self.last_name}",
            "preferred_username": self.username,
            "given_name": self.first_name,
            "family_name": self.last_name,
            "email": self.email,
        }


@dataclass(frozen=True, slots=True)
class DevClient:
    """A client. `secret` None means public; `audience` is the value of its audience mapper, None without one.

    `full_scope` adds every client role of the user to the token (Keycloak's default), and so the audiences of
    Keycloak's audience-resolve mapper; without it only the roles of `account`.
    """

    client_id: str
    secret: str | None = None
    audience: str | None = None
    full_scope: bool = True
    login: bool = True
    service_account: bool = False
    lightweight: bool = False
    origins: tuple[str, ...] = ("http://localhost:8000",)


def default_users(realm: str, *, client_id: str) -> list[DevUser]:
    """alice (editor), bob (viewer) and carol (admin) on the client `client_id`; passwords `<name>-pw`."""
    return [
        _user("alice", realm=realm, client_id=client_id, role="editor"),
        _user("bob", realm=realm, client_id=client_id, role="viewer"),
        _user("carol", realm=realm, client_id=client_id, role="admin"),
    ]


def default_clients(client_id: str) -> list[DevClient]:
    """`web` public, the API's own client with a service account, `no-audience` without mapper, `light` lightweight."""
    return [
        DevClient("web", audience=client_id),
        DevClient(client_id, secret=CONFIDENTIAL_SECRET, audience=client_id, login=False, service_account=True),
        DevClient("no-audience", full_scope=False),
        DevClient("light", audience=client_id, lightweight=True),
    ]


def _user(username: str, *, realm: str, client_id: str, role: str) -> DevUser:
    return DevUser(
        username=username,
        password=f"{username}-pw",
        email=f"{username}@{realm}.example",
        first_name=username.capitalize(),
        last_name="Doe",
        realm_roles=("tenant-user",),
        client_roles={client_id: (role,)},
    )


CODE_SECONDS: Final = 60
_MAX_CODES: Final = 1000


@dataclass(frozen=True, slots=True)
class Login:
    """The parameters of a login, which the token endpoint compares."""

    username: str
    client_id: str
    redirect_uri: str
    scope: str
    sid: str
    at: float
    nonce: str | None = None
    challenge: str | None = None
    challenge_method: str = "plain"


@dataclass(slots=True)
class Sessions:
    """A code is valid once, for `CODE_SECONDS`. A session is open until `end`, also that of a token of `mint`."""

    _codes: dict[str, Login] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)

    def issue_code(self, login: Login) -> str:
        """A code for a login; above `_MAX_CODES` the oldest unused code is dropped."""
        code = f"{secrets.token_urlsafe(24)}.{login.sid}"
        while len(self._codes) >= _MAX_CODES:
            del self._codes[next(iter(self._codes))]
        self._codes[code] = login
        return code

    def redeem(self, code: str, *, now: float) -> Login | None:
        """The login of a code; None for an unknown, used or expired one."""
        login = self._codes.pop(code, None)
        return login if login is not None and now - login.at <= CODE_SECONDS else None

    def end(self, sid: str) -> None:
        self._ended.add(sid)

    def is_live(self, sid: str) -> bool:
        return sid not in self._ended


_OPTIONAL: Final = {"openid", "profile", "email", "offline_access", "phone", "address", "microprofile-jwt", "roles"}
_DEFAULT: Final = ("profile", "email")
_HIDDEN: Final = ("roles", "basic", "web-origins", "acr")
_ORGANIZATION: Final = "organization"


def granted_scope(requested: str, *, user: DevUser) -> str:
    """`openid` if requested, the client's default scopes, and the organization scope as requested.

    Raises `Refused` (400 `invalid_scope`) for an unknown scope or an organization of which the user is not a member.
    """
    asked = requested.split()
    organizations = [scope for scope in asked if _is_organization(scope)]
    unknown = set(asked) - _OPTIONAL - set(organizations)
    foreign = [scope for scope in organizations if not _is_member(user, scope)]
    if unknown or foreign:
        raise Refused("invalid_scope", f"Invalid scopes: {requested}")
    return " ".join([*(["openid"] if "openid" in asked else []), *_DEFAULT, *organizations])


def organizations_of(user: DevUser, scope: str) -> list[str] | None:
    """The aliases for the claim; None if the scope is not requested, or the user has no organization."""
    asked = next((entry for entry in scope.split() if _is_organization(entry)), None)
    if asked is None or not user.organizations:
        return None
    alias = asked.partition(":")[2]
    return [alias] if alias not in ("", "*") else list(user.organizations)


def refresh_scope(scope: str) -> str:
    """The scope of a refresh token, which has also the scopes that an access token hides."""
    first = ["openid"] if "openid" in scope.split() else []
    rest = [entry for entry in scope.split() if entry not in ("openid", "profile", "email")]
    return " ".join([*first, "roles", "basic", "profile", "web-origins", "acr", "email", *rest])


def shown_scope(refresh: str) -> str:
    """The scope of the access token for the scope of a refresh token."""
    return " ".join(entry for entry in refresh.split() if entry not in _HIDDEN)


def _is_organization(scope: str) -> bool:
    return scope == _ORGANIZATION or scope.startswith(f"{_ORGANIZATION}:")


def _is_member(user: DevUser, scope: str) -> bool:
    alias = scope.partition(":")[2]
    return alias in ("", "*") or alias in user.organizations
