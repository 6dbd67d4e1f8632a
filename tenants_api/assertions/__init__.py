"""The internal assertion: what services behind this API are told about a caller, signed with keys of our own.

They trust one issuer and one key set instead of those of every realm. Knows no HTTP.
"""

from tenants_api.assertions.minting import (
    AHEAD,
    CACHED,
    KEPT,
    TYPE,
    AssertionPolicy,
    Assertions,
    SigningKey,
    build_assertions,
)
from tenants_api.encoding.sealing import UNREADABLE, Seal, Unreadable

__all__ = [
    "AHEAD",
    "CACHED",
    "KEPT",
    "TYPE",
    "UNREADABLE",
    "AssertionPolicy",
    "Assertions",
    "Seal",
    "SigningKey",
    "Unreadable",
    "build_assertions",
]
