"""Self-signed certificates for the key set (`x5c`, `x5t`). Keycloak makes one for every RSA key; nobody checks them."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

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
