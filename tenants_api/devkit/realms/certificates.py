"""Self-signed certificates for the key set (`x5c`, `x5t`), as Keycloak adds to every RSA key; and thumbprints."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from tenants_api.devkit.realms.people import Refused

_TEN_YEARS = timedelta(days=3652)


def certificate_members(key: RSAPrivateKey, *, subject: str) -> dict[str, list[str] | str]:
    """`x5c` (base64 DER), `x5t` (SHA-1) and `x5t#S256` of a fresh certificate (RFC 7517 sections 4.7 to 4.9)."""
    der = _self_signed(key, subject=subject).public_bytes(Encoding.DER)
    return {
        "x5c": [base64.b64encode(der).decode()],
        "x5t": base64url(hashlib.sha1(der, usedforsecurity=False).digest()),
        "x5t#S256": base64url(hashlib.sha256(der).digest()),
    }


def base64url(raw: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _self_signed(key: RSAPrivateKey, *, subject: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject[:64] or "dev")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject_name=name,
        issuer_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now,
        not_valid_after=now + _TEN_YEARS,
    )
    return builder.sign(key, hashes.SHA256())


_MEMBERS: Final = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}


def proof_thumbprint(proof: str | None) -> str | None:
    """The thumbprint of the key that signed a DPoP proof; None without one. Raises `Refused` for an invalid proof."""
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
