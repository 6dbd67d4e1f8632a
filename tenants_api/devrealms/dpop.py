"""The DPoP proof at the token endpoint (RFC 9449 section 5): a proof binds the token of any client."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import jwt

from tenants_api.devrealms.certificates import base64url
from tenants_api.devrealms.refusals import Refused

_MEMBERS: Final = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}


def proof_thumbprint(proof: str | None) -> str | None:
    """The thumbprint of the key that signed the proof; None without a proof. Raises `Refused` for a bad one."""
    if proof is None:
        return None
    try:
        header = jwt.get_unverified_header(proof)
        key = jwt.PyJWK(header["jwk"], algorithm=header["alg"])
        jwt.decode(
            proof, key, algorithms=[header["alg"]], options={"verify_aud": False, "require": ["htm", "htu", "jti"]}
        )
        return thumbprint(header["jwk"])
    except (jwt.InvalidTokenError, jwt.PyJWKError, KeyError, TypeError) as error:
        raise Refused("invalid_request", "DPoP proof is invalid") from error


def thumbprint(jwk: dict[str, Any]) -> str:
    """The SHA-256 thumbprint of a public key (RFC 7638 section 3). KeyError for an unknown kind of key."""
    required = {name: jwk[name] for name in _MEMBERS[jwk["kty"]]}
    return base64url(hashlib.sha256(json.dumps(required, separators=(",", ":"), sort_keys=True).encode()).digest())
