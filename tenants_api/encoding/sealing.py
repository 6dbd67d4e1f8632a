"""Private keys at rest: sealed with AES-256-GCM under a key that the database never sees. Knows no table.

A stolen backup, or a statement smuggled into another query, then forges no assertion. Neither does a row that somebody
writes: the public half is always computed from the private one, and what a seal was not made for does not open.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12  # bytes; NIST SP 800-38D section 8.2
_PURPOSE = b"tenants-api assertion keys 1"


UNREADABLE = (
    "the stored assertion keys were sealed under another secret; give it as well: TENANTS_ASSERTION_SECRET=new,old"
)


class Unreadable(Exception):
    """A stored key was sealed under a secret that this process does not have, or was tampered with."""


class Seal:
    """Seals under the first secret and opens what any of them sealed, so that a secret can be changed."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._ciphers = [AESGCM(_derived(secret)) for secret in secrets]

    def close(self, data: bytes, *, context: bytes) -> bytes:
        """Seal `data`; it opens only with the same `context`, so that a row cannot stand in for another."""
        nonce = os.urandom(_NONCE)
        return nonce + self._ciphers[0].encrypt(nonce, data, context)

    def open(self, sealed: bytes, *, context: bytes) -> bytes:
        """What was sealed. Raises Unreadable."""
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
            except (InvalidTag, ValueError):
                continue
        raise Unreadable


def _derived(secret: str) -> bytes:
    # The secret is long and random (32 characters at least), so a slow password hash would add nothing: RFC 5869.
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
