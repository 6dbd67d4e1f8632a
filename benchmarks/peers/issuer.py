"""The realm for the peers. `userinfo` and `introspect` accept every token, and responses are made once: the cost of a
peer that calls the realm for each request is a lower bound.
"""

from __future__ import annotations

import json
import os
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tenants_api.devkit.realms import DevRealm
from tenants_api.devkit.realms.documents import discovery_document, realm_info

PROFILE = ("sub", "email_verified", "name", "preferred_username", "given_name", "family_name", "email")


def answers_of(realm: DevRealm, *, url: str, claims: dict[str, Any]) -> str:
    """The responses of the realm at `url`, as JSON by path; their URLs are below `url`."""
    endpoints = json.loads(json.dumps(discovery_document(realm)).replace(f'"{realm.issuer}/', f'"{url}/'))
    below = f"/realms/{realm.name}/protocol/openid-connect"
    service = {name: {"roles": ["view-users"]} for name in ("account", "realm-management")}
    return json.dumps(
        {
            f"/realms/{realm.name}": realm_info(realm),
            f"/realms/{realm.name}/.well-known/openid-configuration": endpoints,
            f"{below}/certs": {"keys": realm.keys.public_set()},
            f"{below}/userinfo": {name: claims[name] for name in PROFILE},
            f"{below}/token/introspect": claims | {"active": True, "username": "alice", "client_id": claims["azp"]},
            f"{below}/token": {"access_token": realm.mint(claims={"resource_access": service}), "expires_in": 300},
        }
    )


def create() -> Starlette:
    """An application with the responses in ANSWERS, to GET and POST."""
    return Starlette(routes=[_route(path, answer=answer) for path, answer in json.loads(os.environ["ANSWERS"]).items()])


def _route(path: str, *, answer: object) -> Route:
    body = json.dumps(answer).encode()

    async def respond(request: Request) -> Response:
        return Response(body, media_type="application/json")

    return Route(path, respond, methods=["GET", "POST"])
