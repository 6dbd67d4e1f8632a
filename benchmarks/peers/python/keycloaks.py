"""Packages for Keycloak, each used as its documentation describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, HTTPException
from where import CLIENT_ID, ISSUER, REALM, SERVER, Bearer


def userinfo(app: FastAPI) -> Callable[..., Any]:
    """python-keycloak: calls userinfo for each request."""
    return _asked(lambda client, raw: client.userinfo(raw))


def introspect(app: FastAPI) -> Callable[..., Any]:
    """python-keycloak: introspects the token for each request."""
    return _asked(lambda client, raw: client.introspect(raw))


def decode_token(app: FastAPI) -> Callable[..., Any]:
    """python-keycloak: verifies the token with keys that it fetches for each request."""
    return _asked(lambda client, raw: client.decode_token(raw, check_claims={"iss": ISSUER, "aud": CLIENT_ID}))


def _asked(ask: Callable[[Any, str], dict[str, Any]]) -> Callable[..., Any]:
    from jwcrypto.common import JWException
    from keycloak import KeycloakOpenID
    from keycloak.exceptions import KeycloakError

    client = KeycloakOpenID(server_url=SERVER, realm_name=REALM, client_id=CLIENT_ID, client_secret_key="secret")

    def verified(bearer: Bearer) -> dict[str, Any]:
        try:
            claims = ask(client, bearer.credentials)
        except (KeycloakError, JWException, ValueError) as error:
            raise HTTPException(401) from error
        if not claims.get("active", True):
            raise HTTPException(401)
        return claims

    return verified


def middleware(app: FastAPI) -> Callable[..., Any]:
    """fastapi-keycloak-middleware: verifies the token in a middleware with cached keys."""
    from fastapi_keycloak_middleware import KeycloakConfiguration, get_user, setup_keycloak_middleware

    configuration = KeycloakConfiguration(
        realm=REALM,
        url=SERVER,
        client_id=CLIENT_ID,
        validation_options={"check_claims": {"iss": ISSUER, "aud": CLIENT_ID}},
    )
    setup_keycloak_middleware(app, keycloak_configuration=configuration)
    return get_user


def fastapi_keycloak(app: FastAPI) -> Callable[..., Any]:
    """fastapi-keycloak: verifies with python-jose; does not check the issuer, and the audience is `account`."""
    from fastapi_keycloak import FastAPIKeycloak

    realm = FastAPIKeycloak(
        server_url=SERVER,
        client_id=CLIENT_ID,
        client_secret="secret",
        realm=REALM,
        admin_client_secret="secret",
        callback_uri=f"{SERVER}/callback",
        algorithms=["RS256"],
    )
    return realm.get_current_user()
