"""Libraries that verify a token, each used as its documentation describes; keys are read once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

from fastapi import FastAPI, HTTPException
from where import CERTS, CLIENT_ID, ISSUER, Bearer


def key_set() -> dict[str, Any]:
    """The realm's signing keys."""
    with urlopen(CERTS, timeout=5) as answer:
        keys = json.load(answer)["keys"]
    return {"keys": [key for key in keys if key.get("use") == "sig"]}


def python_jose(app: FastAPI) -> Callable[..., Any]:
    """In a thread, because FastAPI runs plain functions in one."""
    from jose import JWTError, jwt

    keys = key_set()

    def verified(bearer: Bearer) -> dict[str, Any]:
        try:
            return jwt.decode(bearer.credentials, keys, algorithms=["RS256"], audience=CLIENT_ID, issuer=ISSUER)
        except JWTError as error:
            raise HTTPException(401) from error

    return verified


def python_jose_async(app: FastAPI) -> Callable[..., Any]:
    """The same in the event loop."""
    in_a_thread = python_jose(app)

    async def verified(bearer: Bearer) -> dict[str, Any]:
        return in_a_thread(bearer)

    return verified


def pyjwk_client(app: FastAPI) -> Callable[..., Any]:
    """PyJWT with its client for keys, which may fetch them: so in a thread."""
    import jwt

    client = jwt.PyJWKClient(CERTS)

    def verified(bearer: Bearer) -> dict[str, Any]:
        try:
            key = client.get_signing_key_from_jwt(bearer.credentials)
            return jwt.decode(bearer.credentials, key, algorithms=["RS256"], audience=CLIENT_ID, issuer=ISSUER)
        except jwt.PyJWTError as error:
            raise HTTPException(401) from error

    return verified


def authlib(app: FastAPI) -> Callable[..., Any]:
    from authlib.jose import JsonWebKey, JsonWebToken
    from authlib.jose.errors import JoseError

    keys, tokens = JsonWebKey.import_key_set(key_set()), JsonWebToken(["RS256"])
    options = {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": CLIENT_ID}}

    async def verified(bearer: Bearer) -> dict[str, Any]:
        try:
            claims = tokens.decode(bearer.credentials, keys, claims_options=options)
            claims.validate()
        except JoseError as error:
            raise HTTPException(401) from error
        return claims

    return verified


def joserfc(app: FastAPI) -> Callable[..., Any]:
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    keys = KeySet.import_key_set(key_set())
    rules = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": CLIENT_ID}, exp={"essential": True}
    )

    async def verified(bearer: Bearer) -> dict[str, Any]:
        try:
            token = jwt.decode(bearer.credentials, keys, algorithms=["RS256"])
            rules.validate(token.claims)
        except JoseError as error:
            raise HTTPException(401) from error
        return token.claims

    return verified
