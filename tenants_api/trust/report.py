"""A realm's key ring as an admin sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """One key of a realm as an admin sees it."""

    kid: str
    alg: str
    use: str
    first_seen: datetime | None
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class KeyReport:
    """A realm's key ring as an admin sees it; `source` is `live`, `stored` or None (never fetched)."""

    keys: tuple[KeyInfo, ...]
    fetched_at: datetime | None
    next_refresh: datetime | None
    source: str | None


def epoch_time(seconds: float | None) -> datetime | None:
    """Epoch seconds as a UTC time; none stays none."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
