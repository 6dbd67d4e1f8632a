"""The measured route, with the peer in PEER."""

from __future__ import annotations

import os
from typing import Any

import keycloaks
import libraries
from fastapi import Depends, FastAPI

PEERS = {
    "userinfo": keycloaks.userinfo,
    "introspect": keycloaks.introspect,
    "decode_token": keycloaks.decode_token,
    "fastapi-keycloak-middleware": keycloaks.middleware,
    "fastapi-keycloak": keycloaks.fastapi_keycloak,
    "python-jose": libraries.python_jose,
    "python-jose, async": libraries.python_jose_async,
    "PyJWKClient": libraries.pyjwk_client,
    "authlib": libraries.authlib,
    "joserfc": libraries.joserfc,
}


def create() -> FastAPI:
    app = FastAPI()
    verified = PEERS[os.environ["PEER"]](app)

    @app.get("/bench/tenant")
    async def ask(caller: Any = Depends(verified)) -> dict[str, str]:
        return {"tenant": "acme"}

    return app
