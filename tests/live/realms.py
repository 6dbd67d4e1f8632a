"""The realms of the live tests, made from tests/data/keycloak-realm.json: one realm a tenant, and the platform's.

Users, each with password `<username>-pw`, roles on the client `tenants-api` unless said otherwise:
alice editor, bob viewer, carol admin (and the *realm role* `platform-admin`, which must open nothing here),
dave none, but `admin` on the client `web` and as realm role; erin none at all.
Clients: `web` public with the audience mapper, `robot` a service account with role viewer,
`no-audience` public without the mapper, `light` public with lightweight tokens.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

API_CLIENT = "tenants-api"
ROBOT_CLIENT, ROBOT_SECRET = "robot", "robot-secret"
NO_AUDIENCE_CLIENT = "no-audience"
LIGHT_CLIENT = "light"
PLATFORM_REALM = "platform"
PLATFORM_ROLE = "platform-admin"
PLATFORM_ADMIN, PLATFORM_GUEST = "paula", "gustav"
APPLICATION_ROLES = ("viewer", "editor", "admin")

# Keycloak adds it to service accounts that it makes itself, not to those of an imported user with roles.
_CLIENT_ID_MAPPER = {
    "name": "Client ID",
    "protocol": "openid-connect",
    "protocolMapper": "oidc-usersessionmodel-note-mapper",
    "config": {
        "user.session.note": "client_id",
        "claim.name": "client_id",
        "jsonType.label": "String",
        "access.token.claim": "true",
        "introspection.token.claim": "true",
    },
}
_TEMPLATE = Path(__file__).parent.parent / "data" / "keycloak-realm.json"


def tenant_realm(name: str) -> dict[str, Any]:
    """A realm of a customer, ready for import."""
    realm = _empty_realm(name)
    realm["roles"] = {
        "realm": [{"name": "tenant-user"}, {"name": "admin"}, {"name": PLATFORM_ROLE}],
        "client": {API_CLIENT: [{"name": role} for role in APPLICATION_ROLES], "web": [{"name": "admin"}]},
    }
    web = next(client for client in realm["clients"] if client["clientId"] == "web")
    realm["clients"] += [_robot(web), _no_audience(web), _light(web)]
    realm["users"] = [
        _user("alice", realm=name, clients={API_CLIENT: ["editor"]}),
        _user("bob", realm=name, clients={API_CLIENT: ["viewer"]}),
        _user("carol", realm=name, clients={API_CLIENT: ["admin"]}, roles=[PLATFORM_ROLE]),
        _user("dave", realm=name, clients={"web": ["admin"]}, roles=["admin"]),
        _user("erin", realm=name),
        _robot_user(name),
    ]
    return realm


def platform_realm() -> dict[str, Any]:
    """The realm whose `platform-admin` may use the admin plane; its guest has every other role."""
    realm = _empty_realm(PLATFORM_REALM)
    realm["roles"] = {
        "realm": [{"name": PLATFORM_ROLE}, {"name": "admin"}],
        "client": {API_CLIENT: [{"name": role} for role in APPLICATION_ROLES]},
    }
    realm["users"] = [
        _user(PLATFORM_ADMIN, realm=PLATFORM_REALM, roles=[PLATFORM_ROLE]),
        _user(PLATFORM_GUEST, realm=PLATFORM_REALM, clients={API_CLIENT: ["admin"]}, roles=["admin"]),
    ]
    return realm


def _empty_realm(name: str) -> dict[str, Any]:
    realm: dict[str, Any] = json.loads(_TEMPLATE.read_text(encoding="utf-8"))
    return realm | {"realm": name, "users": []}


def _user(
    username: str, *, realm: str, clients: dict[str, list[str]] | None = None, roles: list[str] | None = None
) -> dict[str, Any]:
    return {
        "username": username,
        "enabled": True,
        "email": f"{username}@{realm}.example",
        "emailVerified": True,
        # Without both names Keycloak holds the account for unfinished and refuses the password grant.
        "firstName": username.capitalize(),
        "lastName": "Doe",
        "credentials": [{"type": "password", "value": f"{username}-pw", "temporary": False}],
        # Imported users get no default roles by themselves.
        "realmRoles": [f"default-roles-{realm}", *(roles or [])],
        "clientRoles": clients or {},
    }


def _robot(web: dict[str, Any]) -> dict[str, Any]:
    return {
        "clientId": ROBOT_CLIENT,
        "secret": ROBOT_SECRET,
        "enabled": True,
        "publicClient": False,
        "standardFlowEnabled": False,
        "serviceAccountsEnabled": True,
        "protocolMappers": [*copy.deepcopy(web["protocolMappers"]), _CLIENT_ID_MAPPER],
    }


def _robot_user(realm: str) -> dict[str, Any]:
    return {
        "username": f"service-account-{ROBOT_CLIENT}",
        "enabled": True,
        "serviceAccountClientId": ROBOT_CLIENT,
        "realmRoles": [f"default-roles-{realm}"],
        "clientRoles": {API_CLIENT: ["viewer"]},
    }


def _no_audience(web: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(web) | {"clientId": NO_AUDIENCE_CLIENT, "protocolMappers": []}


def _light(web: dict[str, Any]) -> dict[str, Any]:
    attributes = {"client.use.lightweight.access.token.enabled": "true"}
    return copy.deepcopy(web) | {"clientId": LIGHT_CLIENT, "attributes": attributes}
