"""Keycloak's admin REST API, as far as the tests turn its screws: realms, keys, not-before, clients and users."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import httpx

# Admin tokens live 60 s.
ADMIN_TOKEN_LIFETIME = 40.0


class KeycloakAdmin:
    """The admin of the master realm. Every method raises `httpx.HTTPStatusError` when Keycloak says no."""

    def __init__(self, *, base_url: str, username: str, password: str) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=120, trust_env=False)
        self._credentials = {"username": username, "password": password}
        self._token, self._token_until = "", 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def own_token(self) -> str:
        """An access token of the master realm's admin."""
        return self._fresh_token()

    def forget_session(self) -> None:
        """Log in again with the next call: a server that was killed may not know the session any more."""
        self._token_until = 0.0

    def create_realm(self, document: dict[str, Any]) -> None:
        """Import one realm JSON into the running server."""
        self._call("POST", "", json=document)

    def delete_realm(self, realm: str) -> None:
        self._call("DELETE", f"/{realm}")

    def set_enabled(self, realm: str, *, enabled: bool) -> None:
        """A disabled realm still serves its key set; only its token endpoint tells."""
        self._call("PUT", f"/{realm}", json={"enabled": enabled})

    def signing_kid(self, realm: str) -> str:
        """The kid that signs RS256 tokens from now on."""
        return str(self._call("GET", f"/{realm}/keys").json()["active"]["RS256"])

    def rotate_signing_key(self, realm: str) -> str:
        """Add an RSA key that goes before the present one, which stays in the key set; gives the new kid."""
        provider = {
            "name": f"rsa-{time.time_ns()}",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "parentId": self._realm_id(realm),
            "config": {
                "priority": [str(self._highest_priority(realm) + 100)],
                "enabled": ["true"],
                "active": ["true"],
                "algorithm": ["RS256"],
                "keySize": ["2048"],
            },
        }
        self._call("POST", f"/{realm}/components", json=provider)
        return self.signing_kid(realm)

    def withdraw_key(self, realm: str, kid: str) -> None:
        """Delete the provider of that key: it leaves the key set at once, tokens that it signed live on."""
        self._call("DELETE", f"/{realm}/components/{self._provider_of(realm, kid)}")

    def disable_key(self, realm: str, kid: str) -> None:
        """Switch the provider of that key off: it leaves the key set at once, too."""
        provider_id = self._provider_of(realm, kid)
        component = self._call("GET", f"/{realm}/components/{provider_id}").json()
        component["config"] |= {"enabled": ["false"], "active": ["false"]}
        self._call("PUT", f"/{realm}/components/{provider_id}", json=component)

    def delete_retired_keys(self, realm: str) -> None:
        """Delete every RSA key that signs no more: their tokens end."""
        listed = self._call("GET", f"/{realm}/keys").json()
        retired = {
            key["providerId"]
            for key in listed["keys"]
            if key.get("use") == "SIG" and key.get("type") == "RSA" and key["kid"] != listed["active"]["RS256"]
        }
        for provider in retired:
            self._call("DELETE", f"/{realm}/components/{provider}")

    def logout_all(self, realm: str) -> None:
        """End all sessions and set the realm's not-before to this second."""
        self._call("POST", f"/{realm}/logout-all", json={})

    def set_not_before(self, realm: str, epoch: int) -> None:
        """What *Sessions, Revocation, Set to now* does in the console."""
        self._call("PUT", f"/{realm}", json={"notBefore": epoch})

    def push_revocation(self, realm: str) -> None:
        """Send the realm's not-before to the admin URLs of its clients."""
        self._call("POST", f"/{realm}/push-revocation")

    def create_client(self, realm: str, document: dict[str, Any]) -> None:
        self._call("POST", f"/{realm}/clients", json=document)

    def create_user(self, realm: str, document: dict[str, Any]) -> None:
        """The user gets the realm's default roles; roles inside the document are ignored by Keycloak here."""
        self._call("POST", f"/{realm}/users", json=document)

    def set_user_enabled(self, realm: str, username: str, *, enabled: bool) -> None:
        found = self._call("GET", f"/{realm}/users", params={"username": username, "exact": "true"}).json()
        self._call("PUT", f"/{realm}/users/{found[0]['id']}", json={"enabled": enabled})

    def _realm_id(self, realm: str) -> str:
        return str(self._call("GET", f"/{realm}").json()["id"])

    def _highest_priority(self, realm: str) -> int:
        keys = self._call("GET", f"/{realm}/keys").json()["keys"]
        return max((int(key["providerPriority"]) for key in keys), default=0)

    def _provider_of(self, realm: str, kid: str) -> str:
        keys = self._call("GET", f"/{realm}/keys").json()["keys"]
        return str(next(key["providerId"] for key in keys if key["kid"] == kid))

    def _call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._fresh_token()}"}
        return self._http.request(method, f"/admin/realms{path}", headers=headers, **more).raise_for_status()

    def _fresh_token(self) -> str:
        if time.monotonic() >= self._token_until:
            form = {"grant_type": "password", "client_id": "admin-cli", **self._credentials}
            answer = self._http.post("/realms/master/protocol/openid-connect/token", data=form).raise_for_status()
            self._token, self._token_until = answer.json()["access_token"], time.monotonic() + ADMIN_TOKEN_LIFETIME
        return self._token
