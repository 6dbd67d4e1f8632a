"""Seals private keys at rest: AES-256-GCM under a secret that is not in the database. Knows no table.

With a stolen backup, or with SQL injection, an attacker can neither read a sealed key nor insert one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12  # NIST SP 800-38D section 8.2
_PURPOSE = b"tenants-api assertion keys 1"

UNREADABLE = "the stored assertion keys were sealed under another secret; set TENANTS_ASSERTION_SECRET=new,old"


class Unreadable(Exception):
    """A stored key was sealed under a secret that this process does not have, or was tampered with."""


class Seal:
    """Seals under the first secret, and opens what was sealed under any of them, so that a secret can be rotated."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._ciphers = [AESGCM(_derived(secret)) for secret in secrets]

    def close(self, data: bytes, *, context: bytes) -> bytes:
        """Seal `data`; it opens only with the same `context`, so that one row cannot replace another."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, data, context)

    def open(self, sealed: bytes, *, context: bytes) -> bytes:
        """The data that was sealed. Raises Unreadable."""
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
            except (InvalidTag, ValueError):
                continue
        raise Unreadable


def _derived(secret: str) -> bytes:
    # The secret is long and random (32 characters at least), so a slow password hash would add nothing: RFC 5869.
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
