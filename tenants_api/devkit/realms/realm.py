"""A development realm: its state, its users, and the tokens that it issues."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from tenants_api.devkit.realms.faults import Faults
from tenants_api.devkit.realms.keys import REMOVE, SigningKeys
from tenants_api.devkit.realms.people import API_CLIENT, DevClient, DevUser, Sessions, default_clients, default_users
from tenants_api.devkit.realms.tokens import (
    CLAIMS,
    SERVICE_SCOPE,
    USER_SCOPE,
    Grant,
    Kind,
    OrganizationClaim,
    at_hash,
    new_sid,
    new_thumbprint,
)

__all__ = ["API_CLIENT", "REMOVE", "DevRealm", "DevUser"]


class DevRealm:
    """A realm, with its own keys unless `keys` of another realm are given.

    `base_url` is the URL of the server; `frontend_url` is that of the issuer and every URL of the discovery document,
    as Keycloak's realm attribute `frontendUrl`. `clock` returns epoch seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        client_id: str = API_CLIENT,
        users: Iterable[DevUser] | None = None,
        keys: SigningKeys | None = None,
        frontend_url: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.base_url = base_url
        self.client_id = client_id
        self.realm_url = f"{base_url}/realms/{quote(name, safe='')}"
        self.issuer = f"{frontend_url or base_url}/realms/{quote(name, safe='')}"
        self.keys = keys or SigningKeys(subject=name)
        self.faults = Faults()
        self.requests: Counter[str] = Counter()
        self.sessions = Sessions()
        self.clock = clock
        self.enabled = True
        self.not_before = 0
        people = default_users(name, client_id=client_id) if users is None else users
        self.users = {user.username: user for user in people}
        self.clients = {client.client_id: client for client in default_clients(client_id)}

    def mint(
        self,
        *,
        username: str = "alice",
        client: str = "web",
        now: float | None = None,
        header: Mapping[str, Any] | None = None,
        claims: Mapping[str, Any] | None = None,
        kind: Kind = "access",
        algorithm: str | None = None,
        organizations: OrganizationClaim | None = None,
        scope: str | None = None,
        sid: str | None = None,
    ) -> str:
        """A token in Keycloak's format, signed by this realm; without any check of password, user or client.

        `header` and `claims` override members, and remove one with the value `REMOVE` (or `...`); the signature's
        algorithm is `algorithm` (also HS256 and `none`). An unregistered `client` is a public one like `web`. A
        `service_account` token is of `client_id` unless another client is given. Raises KeyError for an unknown user.
        """
        holder = self.client_id if kind == "service_account" and client == "web" else client
        issued_at = self.clock() if now is None else now
        if kind == "service_account":
            grant = self.service_grant(self.client(holder), now=issued_at)
        else:
            grant = self.user_grant(
                self.users[username],
                client=self.client(holder),
                now=issued_at,
                scope=scope,
                sid=sid,
                organizations=organizations,
                jkt=new_thumbprint() if kind == "dpop" else None,
            )
        return self.sign(grant, kind=kind, algorithm=algorithm, header=header, claims=claims)

    def sign(
        self,
        grant: Grant,
        *,
        kind: Kind,
        algorithm: str | None = None,
        header: Mapping[str, Any] | None = None,
        claims: Mapping[str, Any] | None = None,
        access_token: str | None = None,
    ) -> str:
        """A token of a grant. An ID token without `access_token` hashes a new access token."""
        body = CLAIMS[kind](grant)
        if kind == "id":
            hashed = access_token or self.sign(grant, kind="access", algorithm=algorithm)
            body["at_hash"] = at_hash(hashed, algorithm=algorithm or self.keys.signing().algorithm)
        return self.keys.encode(
            body | dict(claims or {}),
            algorithm=algorithm or ("HS512" if kind == "refresh" else None),
            typ="logout+jwt" if kind == "logout" else "JWT",
            header=header,
        )

    def user_grant(
        self,
        user: DevUser,
        *,
        client: DevClient,
        now: float | None = None,
        scope: str | None = None,
        sid: str | None = None,
        organizations: OrganizationClaim | None = None,
        **extra: Any,
    ) -> Grant:
        """The grant for a login of `user` at `client`; `extra` are other fields of `Grant` (auth_time, nonce, jkt)."""
        asked = scope or USER_SCOPE
        return Grant(
            realm=self.name,
            issuer=self.issuer,
            user=user,
            client=client,
            sid=sid or new_sid(),
            now=int(self.clock() if now is None else now),
            scope=f"{asked} organization" if organizations is not None and "organization" not in asked else asked,
            organizations=organizations,
            **extra,
        )

    def service_grant(self, client: DevClient, *, now: float | None = None, jkt: str | None = None) -> Grant:
        """The grant for client_credentials: the client's service account, without session and client roles."""
        user = DevUser(f"service-account-{client.client_id.lower()}", "", "", "", "")
        issued_at = int(self.clock() if now is None else now)
        return Grant(self.name, self.issuer, user, client, "", issued_at, scope=SERVICE_SCOPE, jkt=jkt)

    def client(self, client_id: str) -> DevClient:
        """The registered client, or a public one like `web` with this id."""
        return self.clients.get(client_id) or DevClient(client_id, audience=self.client_id)

    def find_user(self, login: str) -> DevUser | None:
        """The user with this name or e-mail address, as in Keycloak's login."""
        return self.users.get(login) or next((user for user in self.users.values() if user.email == login), None)

    def find_subject(self, subject: object) -> DevUser | None:
        """The user with this `sub`."""
        return next((user for user in self.users.values() if user.subject(self.name) == subject), None)

    def add_user(self, user: DevUser) -> None:
        """Add a user, or replace the one with this name."""
        self.users[user.username] = user

    def add_client(self, client: DevClient) -> None:
        """Add a client, or replace the one with this id."""
        self.clients[client.client_id] = client

    def rotate(self, *, algorithm: str = "RS256", keep_old: bool = True) -> str:
        """Sign with a new key; its kid. The old key stays in the set unless `keep_old` is False."""
        return self.keys.rotate(algorithm=algorithm, keep_old=keep_old)

    def withdraw(self, kid: str) -> None:
        """Remove a key from the set. Raises KeyError for an unknown kid."""
        self.keys.withdraw(kid)

    def disable(self) -> None:
        """Disable the realm; as observed on 26.7, keys, discovery and info still respond with 200."""
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def push_not_before(self, now: float | None = None) -> int:
        """Set not-before to `now` (epoch seconds) and return it: tokens issued earlier are stale."""
        self.not_before = int(self.clock() if now is None else now)
        return self.not_before
