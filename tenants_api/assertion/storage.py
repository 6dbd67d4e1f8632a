"""Where the signing keys are kept. `assertion.repository` implements it; knows no SQLAlchemy."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A signing key as it is stored: `signs_from` is in epoch seconds."""

    sequence: int
    signs_from: int
    sealed: bytes


class KeyStorage(Protocol):
    """All replicas on one database share it. Both raise StorageError."""

    async def assertion_keys(self) -> list[SealedKey]:
        """All stored keys, oldest first."""

    async def add_assertion_key(self, key: SealedKey, *, outdated: Collection[int]) -> bool:
        """Store a key and remove the outdated ones; False when another replica took its place in the sequence."""
