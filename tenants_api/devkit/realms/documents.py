"""The public documents of a realm in the format of Keycloak 26.7, and the endpoints that serve them."""

from __future__ import annotations

import base64
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tenants_api.devkit.realms.keys import public_der
from tenants_api.devkit.realms.realm import DevRealm

_ASYMMETRIC: Final = ["PS384", "RS384", "EdDSA", "ES384", "ES256", "RS256", "ES512", "PS256", "PS512", "RS512"]
_SIGNATURES: Final = [*_ASYMMETRIC[:4], "HS256", "HS512", *_ASYMMETRIC[4:6], "HS384", *_ASYMMETRIC[6:]]
_WRAPS: Final = ["ECDH-ES+A256KW", "ECDH-ES+A192KW", "ECDH-ES+A128KW", "RSA-OAEP", "RSA-OAEP-256", "RSA1_5", "ECDH-ES"]
_CIPHERS: Final = ["A256GCM", "A192GCM", "A128GCM", "A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512"]
_CLIENT_AUTH: Final = [
    "private_key_jwt",
    "client_secret_basic",
    "client_secret_post",
    "tls_client_auth",
    "client_secret_jwt",
]
_CLAIMS: Final = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "name",
    "given_name",
    "family_name",
    "preferred_username",
    "email",
    "acr",
    "azp",
    "nonce",
]
_SCOPES: Final = [
    "openid",
    "roles",
    "microprofile-jwt",
    "offline_access",
    "web-origins",
    "phone",
    "organization",
    "service_account",
    "basic",
    "profile",
    "acr",
    "address",
    "email",
]
_GRANTS: Final = [
    "authorization_code",
    "client_credentials",
    "implicit",
    "password",
    "refresh_token",
    *(f"urn:ietf:params:oauth:grant-type:{name}" for name in ("device_code", "jwt-bearer", "token-exchange")),
    "urn:ietf:params:oauth:grant-type:uma-ticket",
    "urn:openid:params:grant-type:ciba",
]
_RESPONSES: Final = [
    "code",
    "none",
    "id_token",
    "token",
    "id_token token",
    "code id_token",
    "code token",
    "code id_token token",
]


def discovery_document(realm: DevRealm) -> dict[str, Any]:
    """`/.well-known/openid-configuration` with Keycloak's members; all URLs are below the issuer."""
    endpoints = _endpoints(realm.issuer)
    aliases = {name: url for name, url in endpoints.items() if name not in _NO_MTLS_ALIAS}
    document = {"issuer": realm.faults.wrong_issuer or realm.issuer} | endpoints
    return document | _capabilities() | _encryption() | {"mtls_endpoint_aliases": aliases}


def realm_info(realm: DevRealm) -> dict[str, Any]:
    """`GET /realms/{realm}`: the not-before and the realm's RSA key (base64 DER, no line breaks)."""
    return {
        "realm": realm.name,
        "public_key": _public_key(realm),
        "token-service": f"{realm.issuer}/protocol/openid-connect",
        "account-service": f"{realm.issuer}/account",
        "tokens-not-before": realm.not_before,
    }


_NO_MTLS_ALIAS: Final = {"authorization_endpoint", "end_session_endpoint", "jwks_uri", "check_session_iframe"}


def _endpoints(issuer: str) -> dict[str, str]:
    below = f"{issuer}/protocol/openid-connect"
    return {
        "authorization_endpoint": f"{below}/auth",
        "token_endpoint": f"{below}/token",
        "introspection_endpoint": f"{below}/token/introspect",
        "userinfo_endpoint": f"{below}/userinfo",
        "end_session_endpoint": f"{below}/logout",
        "jwks_uri": f"{below}/certs",
        "check_session_iframe": f"{below}/login-status-iframe.html",
        "registration_endpoint": f"{issuer}/clients-registrations/openid-connect",
        "revocation_endpoint": f"{below}/revoke",
        "device_authorization_endpoint": f"{below}/auth/device",
        "backchannel_authentication_endpoint": f"{below}/ext/ciba/auth",
        "pushed_authorization_request_endpoint": f"{below}/ext/par/request",
    }


def _capabilities() -> dict[str, Any]:
    return {
        "frontchannel_logout_session_supported": True,
        "frontchannel_logout_supported": True,
        "grant_types_supported": _GRANTS,
        "acr_values_supported": ["0", "1"],
        "response_types_supported": _RESPONSES,
        "subject_types_supported": ["public", "pairwise"],
        "prompt_values_supported": ["none", "login", "consent"],
        "response_modes_supported": [
            "query",
            "fragment",
            "form_post",
            "query.jwt",
            "fragment.jwt",
            "form_post.jwt",
            "jwt",
        ],
        "claims_supported": _CLAIMS,
        "claim_types_supported": ["normal"],
        "claims_parameter_supported": True,
        "scopes_supported": _SCOPES,
        "request_parameter_supported": True,
        "request_uri_parameter_supported": True,
        "require_request_uri_registration": True,
        "require_pushed_authorization_requests": False,
        "code_challenge_methods_supported": ["plain", "S256"],
        "tls_client_certificate_bound_access_tokens": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "backchannel_token_delivery_modes_supported": ["poll", "ping"],
        "authorization_response_iss_parameter_supported": True,
    } | _signatures()


def _signatures() -> dict[str, Any]:
    clients = ("token", "introspection", "revocation")
    return {
        "id_token_signing_alg_values_supported": _SIGNATURES,
        "userinfo_signing_alg_values_supported": [*_SIGNATURES, "none"],
        "request_object_signing_alg_values_supported": [*_SIGNATURES, "none"],
        "authorization_signing_alg_values_supported": _SIGNATURES,
        "backchannel_authentication_request_signing_alg_values_supported": _ASYMMETRIC,
        "dpop_signing_alg_values_supported": _ASYMMETRIC,
        **{f"{client}_endpoint_auth_methods_supported": _CLIENT_AUTH for client in clients},
        **{f"{client}_endpoint_auth_signing_alg_values_supported": _SIGNATURES for client in clients},
    }


def _encryption() -> dict[str, Any]:
    kinds = ("id_token", "userinfo", "request_object", "authorization")
    wraps = {f"{kind}_encryption_alg_values_supported": _WRAPS for kind in kinds}
    return wraps | {f"{kind}_encryption_enc_values_supported": _CIPHERS for kind in kinds}


def _public_key(realm: DevRealm) -> str:
    """The newest RSA key, whichever algorithm the realm signs with: Keycloak shows only RSA keys."""
    newest = realm.keys.signing()
    rsa = [key for key in realm.keys.listed if isinstance(key.private, RSAPrivateKey)]
    return base64.b64encode(public_der((rsa or [newest])[0].private)).decode()


_NO_CACHE = {"Cache-Control": "no-cache"}
_NO_STORE = {"Cache-Control": "no-cache, must-revalidate, no-transform, no-store"}
_PROFILE = ("email_verified", "name", "preferred_username", "given_name", "family_name", "email")


async def info(realm: DevRealm, request: Request) -> Response:
    return JSONResponse(realm_info(realm), headers=_NO_CACHE)


async def discovery(realm: DevRealm, request: Request) -> Response:
    return JSONResponse(discovery_document(realm), headers=_NO_STORE)


async def certs(realm: DevRealm, request: Request) -> Response:
    """The key set; no ETag and `no-cache`, as observed."""
    listed = [] if realm.faults.empty_keys else realm.keys.public_set()
    return JSONResponse({"keys": [*listed, *realm.faults.extra_keys]}, headers=_NO_CACHE)


async def userinfo(realm: DevRealm, request: Request) -> Response:
    """The profile of an access token's user. A refusal has an empty body and a challenge."""
    scheme, _, raw = request.headers.get("Authorization", "").partition(" ")
    claims = realm.keys.decode(raw.strip()) if scheme.lower() == "bearer" else None
    refusal = _refusal(realm, claims)
    if refusal is not None:
        return refusal
    names = ("sub", *_PROFILE)
    return JSONResponse({name: claims[name] for name in names if claims and name in claims}, headers=_NO_CACHE)


def _refusal(realm: DevRealm, claims: dict[str, Any] | None) -> Response | None:
    if claims is None or not _is_valid(realm, claims):
        return _challenge(realm, 401, "invalid_token", "Token verification failed")
    if "sub" not in claims:
        return _challenge(realm, 401, "invalid_token", "Lightweight access token not allowed for userinfo endpoint")
    if "openid" not in str(claims.get("scope", "")).split():
        return _challenge(realm, 403, "insufficient_scope", "Missing openid scope")
    return None


def _is_valid(realm: DevRealm, claims: dict[str, Any]) -> bool:
    """Whether these are claims of an access token of this realm, not expired, not stale, of an open session."""
    return (
        claims.get("iss") == realm.issuer
        and claims.get("typ") == "Bearer"
        and claims.get("exp", 0) > realm.clock()
        and claims.get("iat", 0) >= realm.not_before
        and realm.sessions.is_live(str(claims.get("sid", "")))
    )


def _challenge(realm: DevRealm, status: int, error: str, description: str) -> Response:
    challenge = f'Bearer realm="{realm.name}", error="{error}", error_description="{description}"'
    return Response(status_code=status, headers={"WWW-Authenticate": challenge})
