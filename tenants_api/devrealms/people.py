"""The users and clients of a development realm, as values. Knows no tokens and no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, uuid5

API_CLIENT = "tenants-api"
ACCOUNT_ROLES = ("manage-account", "manage-account-links", "view-profile")
CONFIDENTIAL_SECRET = "s3cret"  # noqa: S105 - a development realm is reachable from this machine only


@dataclass(frozen=True, slots=True)
class DevUser:
    """A user. `client_roles` maps client id to role names; every user also has the realm's default roles.

    `groups` are full paths (`/staff`); the claim `groups` exists only for a user who has some.
    `organizations` are aliases, put into the token when the scope `organization` is asked for.
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
        """`sub`: a UUID of its own in each realm, and the same one after a restart."""
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
    """A client. `secret` None means public; `audience` is what its audience mapper adds, None means no mapper.

    `full_scope` puts every client role of the user into the token (Keycloak's default); without it only those of
    `account`, so that Keycloak's audience-resolve mapper finds no other audience either.
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
